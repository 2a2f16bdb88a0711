//! Percent-encoding of values that travel in a query, a form or one segment of a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `value` with every character but the unreserved ones percent-encoded as UTF-8.
#[must_use]
pub fn percent_encode(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, &RESERVED)
}
