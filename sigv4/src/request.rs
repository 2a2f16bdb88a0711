//! The request as the caller is about to send it, borrowed. Decides nothing about canonical form.

use std::fmt;

use crate::Error;
use crate::host::{Scheme, without_user_information};

/// A request to be signed. Everything is borrowed, and nothing is changed.
///
/// ```
/// use sigv4::{Payload, Request, Scheme};
///
/// let request = Request::new("GET", "http://127.0.0.1:5000/items?page=2")?;
/// assert_eq!((request.scheme, request.authority), (Scheme::Http, "127.0.0.1:5000"));
/// assert_eq!((request.path, request.query), ("/items", "page=2"));
/// # Ok::<(), sigv4::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method as it is sent; its case is kept.
    pub method: &'a str,
    /// Decides which port is left out of the signed host.
    pub scheme: Scheme,
    /// Host and optional port. Not looked at when [`headers`](Self::headers) has a `Host`.
    pub authority: &'a str,
    /// The path as it stands on the request line; empty means `/`.
    pub path: &'a str,
    /// The query without its `?`, as it stands on the request line.
    pub query: &'a str,
    /// Names and values in arrival order; a name may stand more than once.
    ///
    /// A `Host` among them is what will be sent, and is signed as it is. The headers that a signature brings
    /// ([`REPLACED_HEADERS`](crate::REPLACED_HEADERS)) are taken as left over from an earlier attempt and
    /// ignored. `x-amz-content-sha256` is, unless the settings replace it, the payload hash that the service
    /// will compare.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, or what is known of it.
    pub payload: Payload<'a>,
}

impl<'a> Request<'a> {
    /// Takes `url` apart; a fragment is dropped, because it is never sent. There are no headers and no body
    /// yet.
    ///
    /// # Errors
    ///
    /// When `url` begins with neither `http://` nor `https://`.
    pub fn new(method: &'a str, url: &'a str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or(Error::Url)?;
        let scheme = if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else {
            return Err(Error::Url);
        };
        let rest = rest.split_once('#').map_or(rest, |(sent, _)| sent);
        let (target, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) =
            target.find('/').and_then(|slash| target.split_at_checked(slash)).unwrap_or((target, ""));
        Ok(Self { method, scheme, authority, path, query, headers: &[], payload: Payload::Bytes(b"") })
    }

    /// The same request with these headers.
    #[must_use]
    pub fn with_headers(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    /// The same request with this payload.
    #[must_use]
    pub fn with_payload(self, payload: Payload<'a>) -> Self {
        Self { payload, ..self }
    }

    pub(crate) fn checked_method(&self) -> Result<&'a str, Error> {
        if is_token(self.method) { Ok(self.method) } else { Err(Error::Method) }
    }
}

/// Shows method, authority and path. Query, headers and body may hold secrets and stay out.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("authority", &without_user_information(self.authority))
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What the signature says about the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The whole body; it is hashed here.
    Bytes(&'a [u8]),
    /// The SHA-256 digest of a body that was hashed elsewhere.
    Sha256([u8; 32]),
    /// `UNSIGNED-PAYLOAD`: the body is not covered. For presigned URLs of S3, and for S3 over TLS; over plain
    /// HTTP anybody on the way could replace the body.
    Unsigned,
}

/// Shows the kind and the length, never the content.
impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} B)", bytes.len()),
            Self::Sha256(_) => f.write_str("Sha256"),
            Self::Unsigned => f.write_str("Unsigned"),
        }
    }
}

/// Whether `text` is a token of RFC 9110, 5.6.2: what a method and a header's name must be.
pub(crate) fn is_token(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(valid)
}

#[cfg(test)]
mod tests {
    use super::{Request, Scheme};
    use crate::Error;

    #[test]
    fn takes_urls_apart() {
        for (url, expected) in [
            ("https://h", (Scheme::Https, "h", "", "")),
            ("HTTPS://h/", (Scheme::Https, "h", "/", "")),
            ("http://h?a=/b", (Scheme::Http, "h", "", "a=/b")),
            ("http://h/p?a?b#f?g", (Scheme::Http, "h", "/p", "a?b")),
            ("http://h#f/x?y", (Scheme::Http, "h", "", "")),
            ("http://[::1]:80//p//", (Scheme::Http, "[::1]:80", "//p//", "")),
        ] {
            let request = Request::new("GET", url).unwrap();
            assert_eq!((request.scheme, request.authority, request.path, request.query), expected, "{url}");
        }
        for url in ["", "h/p", "ftp://h", "/p", "https:/h"] {
            assert_eq!(Request::new("GET", url).map(|_| ()), Err(Error::Url), "{url}");
        }
    }
}
