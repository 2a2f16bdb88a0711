//! The canonical query: parameters decoded, strictly encoded, sorted. Sees nothing but the query and what is
//! added.

use std::cmp::Ordering;

use crate::encode::{Decoded, Encoded};
use crate::inline::Inline;
use crate::text::{Sink, put_ascii};

/// A parameter, either as it stands on the wire or as plain text.
#[derive(Clone, Copy)]
enum Text<'a> {
    Wire(&'a str),
    Plain(&'a str),
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Plain("")
    }
}

impl Text<'_> {
    fn put(self, sink: &mut impl Sink) {
        match self {
            Self::Wire(text) => put_ascii(sink, Encoded::new(Decoded::query(text))),
            Self::Plain(text) => put_ascii(sink, Encoded::new(text.bytes())),
        }
    }

    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Wire(a), Self::Wire(b)) => {
                Encoded::new(Decoded::query(a)).cmp(Encoded::new(Decoded::query(b)))
            }
            (Self::Wire(a), Self::Plain(b)) => Encoded::new(Decoded::query(a)).cmp(Encoded::new(b.bytes())),
            (Self::Plain(a), Self::Wire(b)) => Encoded::new(a.bytes()).cmp(Encoded::new(Decoded::query(b))),
            (Self::Plain(a), Self::Plain(b)) => Encoded::new(a.bytes()).cmp(Encoded::new(b.bytes())),
        }
    }
}

/// The parameters of one request, in canonical order once [`Query::sort`] has run.
pub(crate) struct Query<'a> {
    parameters: Inline<(Text<'a>, Text<'a>), 16>,
}

impl<'a> Query<'a> {
    /// Takes apart the query of a URL. A piece between two `&` with nothing in it is no parameter (botocore
    /// makes it a `=`; aws-sigv4 and aws-c-auth skip it as servers do); one without `=` has an empty value.
    pub(crate) fn parse(query: &'a str) -> Self {
        let mut parameters = Inline::new();
        for piece in query.split('&').filter(|piece| !piece.is_empty()) {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            parameters.push((Text::Wire(key), Text::Wire(value)));
        }
        Self { parameters }
    }

    /// The same without the parameters whose decoded name is in `names`.
    pub(crate) fn parse_without(query: &'a str, names: &[&str]) -> Self {
        let all = Self::parse(query);
        let mut parameters = Inline::new();
        for &(key, value) in all.parameters.as_slice() {
            if !names.iter().any(|name| key.compare(Text::Plain(name)).is_eq()) {
                parameters.push((key, value));
            }
        }
        Self { parameters }
    }

    /// Adds a parameter that is not encoded yet.
    pub(crate) fn add(&mut self, key: &'a str, value: &'a str) {
        self.parameters.push((Text::Plain(key), Text::Plain(value)));
    }

    /// Sorts by encoded key, then by encoded value. Comparing joined `key=value` texts would put `Param-3`
    /// before `Param`, because `-` is less than `=`.
    pub(crate) fn sort(&mut self) {
        self.parameters
            .as_mut_slice()
            .sort_unstable_by(|a, b| a.0.compare(b.0).then_with(|| a.1.compare(b.1)));
    }

    pub(crate) fn put(&self, sink: &mut impl Sink) {
        for (index, (key, value)) in self.parameters.as_slice().iter().enumerate() {
            if index > 0 {
                sink.put("&");
            }
            key.put(sink);
            sink.put("=");
            value.put(sink);
        }
    }
}

/// Writes `text` percent-encoded, as a parameter's value.
pub(crate) fn put_value(sink: &mut impl Sink, text: &str) {
    Text::Plain(text).put(sink);
}

#[cfg(test)]
mod tests {
    use super::Query;

    fn canonical(query: &str) -> String {
        let mut parsed = Query::parse(query);
        parsed.sort();
        let mut text = String::new();
        parsed.put(&mut text);
        text
    }

    #[test]
    fn sorts_keys_and_values_apart() {
        assert_eq!(canonical("Param-3=c&Param=b&b&a=1&a=0"), "Param=b&Param-3=c&a=0&a=1&b=");
        assert_eq!(canonical("P=1&%E1%88%B4=2"), "%E1%88%B4=2&P=1");
        assert_eq!(canonical("a=%7E&a=-&a=%2D1&a"), "a=&a=-&a=-1&a=~");
    }

    #[test]
    fn encodes_strictly() {
        assert_eq!(
            canonical("a b=c+d&e=%2b%20&f='(*)!&g=a=b"),
            "a%20b=c%20d&e=%2B%20&f=%27%28%2A%29%21&g=a%3Db"
        );
        assert_eq!(canonical("k=%c3%a9&l=é"), "k=%C3%A9&l=%C3%A9");
    }

    #[test]
    fn skips_what_is_no_parameter() {
        assert_eq!(canonical(""), "");
        assert_eq!(canonical("&&"), "");
        assert_eq!(canonical("&b&&a&"), "a=&b=");
        assert_eq!(canonical("="), "=");
        assert_eq!(canonical("=v"), "=v");
    }

    #[test]
    fn sorts_more_parameters_than_fit_inline() {
        let query = (0..100).rev().map(|n| format!("k{n:03}={n}")).collect::<Vec<_>>();
        let mut sorted = query.clone();
        sorted.sort();
        assert_eq!(canonical(&query.join("&")), sorted.join("&"));
    }

    #[test]
    fn drops_names_in_any_spelling() {
        let mut query = Query::parse_without("X-Amz-Date=1&X%2dAmz-Date=2&x-amz-date=3&y", &["X-Amz-Date"]);
        query.sort();
        let mut text = String::new();
        query.put(&mut text);
        assert_eq!(text, "x-amz-date=3&y=");
    }
}
