//! What can be wrong with the input of a signature. Every variant is the caller's mistake: signing itself
//! cannot fail, unless somebody else's key does it.
//!
//! No variant carries a header's value, a secret or a session token, so that an error may be logged.

use std::fmt;

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The method is empty or holds a character that RFC 9110 does not allow in a token.
    Method,
    /// The URL does not begin with `http://` or `https://`.
    Url,
    /// Neither the authority nor a `Host` header says where the request goes.
    HostMissing,
    /// The authority holds no valid host, or a port outside 0 to 65535.
    Authority {
        /// The authority as given, without user information.
        authority: String,
    },
    /// The path is neither empty nor does it begin with `/`.
    PathNotAbsolute,
    /// A header's name is empty or holds a character that RFC 9110 does not allow in a token.
    HeaderName {
        /// The name as given.
        name: String,
    },
    /// A header's value holds a control character, or a line break that is not a fold.
    HeaderValue {
        /// The header's name as given; the value may be secret and stays out.
        name: String,
        /// The offset of the first offending byte in the value.
        offset: usize,
    },
    /// The access key id is empty, or holds a character that would break the credential's syntax.
    AccessKeyId,
    /// The session token holds a character that cannot travel in a header.
    SessionToken,
    /// The region is empty, or holds a character that would break the scope's syntax.
    Region {
        /// The region as given.
        region: String,
    },
    /// The service is empty, or holds a character that would break the scope's syntax.
    Service {
        /// The service as given.
        service: String,
    },
    /// The instant lies outside the years 0 to 9999 in UTC, which is all that `yyyymmdd` can say.
    Instant,
    /// A presigned URL lives 1 to 604 800 seconds, that is one week at most.
    Expires {
        /// The whole seconds that were asked for.
        seconds: u64,
    },
    /// The kept key was derived for another day than the instant's, so the service would refuse the
    /// signature.
    KeyOfAnotherDay,
    /// The private key of an X.509 certificate made no signature.
    PrivateKey,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("the method is not a token"),
            Self::Url => f.write_str("the URL does not begin with `http://` or `https://`"),
            Self::HostMissing => f.write_str("the request names no host"),
            Self::Authority { authority } => {
                write!(f, "`{}` is not a host with an optional port", authority.escape_debug())
            }
            Self::PathNotAbsolute => f.write_str("the path does not begin with `/`"),
            Self::HeaderName { name } => write!(f, "`{}` is not a header name", name.escape_debug()),
            Self::HeaderValue { name, offset } => {
                write!(f, "the value of header `{name}` cannot travel: control character at byte {offset}")
            }
            Self::AccessKeyId => f.write_str("the access key id is empty or not plain text"),
            Self::SessionToken => f.write_str("the session token cannot travel in a header"),
            Self::Region { region } => write!(f, "`{}` is not a region name", region.escape_debug()),
            Self::Service { service } => write!(f, "`{}` is not a service name", service.escape_debug()),
            Self::Instant => f.write_str("the instant lies outside the years 0 to 9999"),
            Self::Expires { seconds } => {
                write!(f, "a presigned URL cannot live `{seconds}` seconds: 1 to 604800 are possible")
            }
            Self::KeyOfAnotherDay => f.write_str("the signing key was derived for another day"),
            Self::PrivateKey => f.write_str("the private key made no signature"),
        }
    }
}

impl std::error::Error for Error {}
