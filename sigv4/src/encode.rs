//! Percent-encoding as SigV4 wants it: everything but `A-Za-z0-9-._~` becomes `%XX` with capitals.
//!
//! Works on iterators of bytes, so that encoded text can be compared and written without being built.

/// Percent-decodes a piece of a URL as it stands on the wire; what is no valid `%XX` stands for itself.
pub(crate) struct Decoded<'a> {
    rest: &'a [u8],
    plus: u8,
}

impl<'a> Decoded<'a> {
    /// Of a query's key or value.
    ///
    /// A raw `+` is a space: so the form encoding of queries has it, and so aws-sigv4 signs it. botocore
    /// signs a raw `+` as it stands, but only ever sees queries that it has encoded itself, without any `+`.
    pub(crate) fn query(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), plus: b' ' }
    }

    /// Of a path segment, where `+` has no second meaning.
    pub(crate) fn segment(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), plus: b'+' }
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        if first == b'%'
            && let [high, low, rest @ ..] = rest
            && let (Some(high), Some(low)) = (nibble(*high), nibble(*low))
        {
            self.rest = rest;
            return Some(high << 4 | low);
        }
        Some(if first == b'+' { self.plus } else { first })
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Percent-encodes the bytes of `source`.
pub(crate) struct Encoded<I> {
    source: I,
    high: Option<u8>,
    low: Option<u8>,
}

impl<I: Iterator<Item = u8>> Encoded<I> {
    pub(crate) fn new(source: I) -> Self {
        Self { source, high: None, low: None }
    }
}

impl<I: Iterator<Item = u8>> Iterator for Encoded<I> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let Some(digit) = self.high.take().or_else(|| self.low.take()) {
            return Some(digit);
        }
        let byte = self.source.next()?;
        if is_unreserved(byte) {
            return Some(byte);
        }
        self.high = Some(digit(byte >> 4));
        self.low = Some(digit(byte & 0x0f));
        Some(b'%')
    }
}

fn digit(nibble: u8) -> u8 {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    DIGITS.get(usize::from(nibble)).copied().unwrap_or_default()
}

pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::{Decoded, Encoded};

    fn encode(source: impl Iterator<Item = u8>) -> String {
        Encoded::new(source).map(char::from).collect()
    }

    #[test]
    fn encodes_every_byte_that_is_not_unreserved() {
        assert_eq!(encode("aZ09-._~".bytes()), "aZ09-._~");
        assert_eq!(encode(" /+%é\u{0}".bytes()), "%20%2F%2B%25%C3%A9%00");
    }

    #[test]
    fn decodes_only_whole_triplets() {
        assert_eq!(encode(Decoded::query("a+b%2bc%2Bd")), "a%20b%2Bc%2Bd");
        assert_eq!(encode(Decoded::segment("a+b%2bc")), "a%2Bb%2Bc");
        assert_eq!(encode(Decoded::query("%")), "%25");
        assert_eq!(encode(Decoded::query("%4")), "%254");
        assert_eq!(encode(Decoded::query("%zz%41%+1")), "%25zzA%25%201");
        assert_eq!(encode(Decoded::query("%ff%FE")), "%FF%FE");
        assert_eq!(encode(Decoded::query("%2541")), "%2541");
    }
}
