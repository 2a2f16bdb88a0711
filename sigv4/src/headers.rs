//! Which headers are signed, in which order, and with which text. Sees no path, no query and no key.

use std::cmp::Ordering;

use crate::Error;
use crate::host::Host;
use crate::inline::Inline;
use crate::request::{Request, is_token};
use crate::text::{Sink, put_lower_case};

/// The headers that a signature brings. In a request they are left over from an earlier attempt: they are
/// ignored, and the caller replaces them with what the new signature brings, or removes them where it brings
/// none.
pub const REPLACED_HEADERS: [&str; 3] = ["authorization", X_AMZ_DATE, X_AMZ_SECURITY_TOKEN];

pub(crate) const X_AMZ_DATE: &str = "x-amz-date";
pub(crate) const X_AMZ_SECURITY_TOKEN: &str = "x-amz-security-token";
pub(crate) const X_AMZ_CONTENT_SHA256: &str = "x-amz-content-sha256";
pub(crate) const X_AMZ_X509: &str = "x-amz-x509";
pub(crate) const X_AMZ_X509_CHAIN: &str = "x-amz-x509-chain";

/// Headers that proxies and tracers on the way change, add or remove; signed, they would break the signature
/// there.
const NEVER_SIGNED: [&str; 12] = [
    "baggage",
    "connection",
    "expect",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// What whoever follows a presigned URL will not send although the SDK that made it does. Same rule as
/// aws-sigv4.
const NEVER_PRESIGNED: [&str; 2] = ["x-amz-user-agent", "x-amz-checksum-mode"];

/// Where the signature will travel, as far as it matters to the headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location {
    Header,
    Query,
}

#[derive(Clone, Copy, Default)]
struct Line<'a> {
    name: &'a str,
    value: &'a str,
    arrival: usize,
}

/// The signed headers in canonical order, once [`Headers::sort`] has run.
pub(crate) struct Headers<'a> {
    lines: Inline<Line<'a>, 20>,
    arrived: usize,
    /// Stands in for the empty value of the `host` line, unless the request brings a `Host` header.
    host: Option<Host<'a>>,
}

impl<'a> Headers<'a> {
    /// Takes the headers of `request` that are to be signed, and its host.
    ///
    /// `replaced` are headers that this signature brings beside [`REPLACED_HEADERS`].
    pub(crate) fn of(request: &Request<'a>, location: Location, replaced: &[&str]) -> Result<Self, Error> {
        let mut headers = Self { lines: Inline::new(), arrived: 0, host: None };
        let mut host_given = false;
        for &(name, value) in request.headers {
            if !is_token(name) {
                return Err(Error::HeaderName { name: name.to_owned() });
            }
            if !is_signed(name, location) || is_among(replaced, name) {
                continue;
            }
            if let Some(offset) = untransportable(value) {
                return Err(Error::HeaderValue { name: name.to_owned(), offset });
            }
            host_given |= name.eq_ignore_ascii_case("host");
            headers.add(name, value);
        }
        if !host_given {
            headers.host = Some(Host::parse(request.scheme, request.authority)?);
            headers.add("host", "");
        }
        Ok(headers)
    }

    /// Adds a header whose value is known to be able to travel.
    pub(crate) fn add(&mut self, name: &'a str, value: &'a str) {
        self.lines.push(Line { name, value, arrival: self.arrived });
        self.arrived = self.arrived.saturating_add(1);
    }

    /// Sorts by lower-case name; headers of one name stay in the order of their arrival.
    pub(crate) fn sort(&mut self) {
        self.lines
            .as_mut_slice()
            .sort_unstable_by(|a, b| compare_names(a.name, b.name).then_with(|| a.arrival.cmp(&b.arrival)));
    }

    /// Writes one `name:value` line per name; values of one name are joined with a comma.
    pub(crate) fn put(&self, sink: &mut impl Sink) {
        for group in self.groups() {
            for (index, line) in group.iter().enumerate() {
                if index == 0 {
                    put_lower_case(sink, line.name);
                    sink.put(":");
                } else {
                    sink.put(",");
                }
                match self.host {
                    Some(host) if line.name == "host" => host.put(sink),
                    Some(_) | None => put_normalised(sink, line.value),
                }
            }
            sink.put("\n");
        }
    }

    /// Writes the names, joined with semicolons.
    pub(crate) fn put_names(&self, sink: &mut impl Sink) {
        for (index, group) in self.groups().enumerate() {
            if index > 0 {
                sink.put(";");
            }
            if let [first, ..] = group {
                put_lower_case(sink, first.name);
            }
        }
    }

    fn groups(&self) -> impl Iterator<Item = &[Line<'a>]> {
        self.lines.as_slice().chunk_by(|a, b| a.name.eq_ignore_ascii_case(b.name))
    }
}

fn is_signed(name: &str, location: Location) -> bool {
    let proxy = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
    !(proxy
        || is_among(&NEVER_SIGNED, name)
        || is_among(&REPLACED_HEADERS, name)
        || location == Location::Query && is_among(&NEVER_PRESIGNED, name))
}

fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

fn compare_names(a: &str, b: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Whether `text` holds a control character, a tab included.
pub(crate) fn control_character(text: &str) -> bool {
    // A fold without an early exit is a loop that the compiler vectorises; session tokens are long.
    text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == 0x7f))
}

/// The offset of the first byte that cannot travel in a header's value.
///
/// A line break may only be a fold, that is, a space or a tab follows it. Text beyond ASCII travels as UTF-8.
fn untransportable(value: &str) -> Option<usize> {
    if !control_character(value) {
        return None;
    }
    let bytes = value.as_bytes();
    let follows = |offset: usize, set: &[u8]| {
        offset.checked_add(1).and_then(|next| bytes.get(next)).is_some_and(|byte| set.contains(byte))
    };
    bytes.iter().enumerate().position(|(offset, byte)| match byte {
        b'\t' => false,
        b'\n' => !follows(offset, b" \t"),
        b'\r' => !follows(offset, b"\n"),
        0x00..0x20 | 0x7f => true,
        _ => false,
    })
}

/// Writes `value` trimmed, with every run of blanks as one space, inside quotes as well.
///
/// Blanks are what RFC 9110 calls optional white space, and folds. aws-sigv4 collapses spaces only and signs
/// a tab as it is; botocore collapses whatever Unicode calls white space, a no-break space for instance.
pub(crate) fn put_normalised(sink: &mut impl Sink, value: &str) {
    let blank = value.bytes().fold(false, |found, byte| found | (byte <= b' '));
    if !blank {
        return sink.put(value);
    }
    for (index, word) in value.split(is_blank).filter(|word| !word.is_empty()).enumerate() {
        if index > 0 {
            sink.put(" ");
        }
        sink.put(word);
    }
}

#[cfg(test)]
mod tests {
    use super::{Location, is_signed, put_normalised, untransportable};

    #[test]
    fn collapses_blanks_even_in_quotes() {
        for (value, expected) in [
            ("", ""),
            ("  ", ""),
            ("plain", "plain"),
            ("  a   b  ", "a b"),
            ("\"a   b\"", "\"a b\""),
            ("a\t\tb", "a b"),
            ("a\r\n  b\n\tc", "a b c"),
            ("a\u{a0}\u{a0}b", "a\u{a0}\u{a0}b"),
        ] {
            let mut text = String::new();
            put_normalised(&mut text, value);
            assert_eq!(text, expected, "{value:?}");
        }
    }

    #[test]
    fn finds_what_cannot_travel() {
        for (value, offset) in [
            ("a b\tc", None),
            ("\u{fc}", None),
            ("a\n b", None),
            ("a\r\n\tb", None),
            ("a\nb", Some(1)),
            ("a\n", Some(1)),
            ("a\r\n", Some(2)),
            ("a\rb", Some(1)),
            ("a\n \u{0}", Some(3)),
            ("\u{7f}", Some(0)),
            ("\u{b}", Some(0)),
        ] {
            assert_eq!(untransportable(value), offset, "{value:?}");
        }
    }

    #[test]
    fn knows_what_is_never_signed() {
        for name in
            ["Authorization", "USER-AGENT", "proxy-anything", "Proxy-Authorization", "TE", "x-amz-date"]
        {
            assert!(!is_signed(name, Location::Header), "{name}");
        }
        for name in ["content-type", "proxy", "x-proxy-a", "tex", "x-amz-user-agent", "range", "date"] {
            assert!(is_signed(name, Location::Header), "{name}");
        }
        assert!(!is_signed("X-Amz-User-Agent", Location::Query));
    }
}
