//! AWS Signature Version 4: header signing and presigned URLs.
//!
//! A pure function of its arguments: it borrows the request and the credentials, takes the instant as a
//! parameter, and reads no clock, no environment and no file, and writes no log. It knows nothing of where
//! credentials come from or how requests are sent, so it fits every HTTP client.
//!
//! # One request from start to end
//!
//! STS is asked who we are. The body is hashed, the headers are put into canonical form, and what comes back
//! is the headers to set:
//!
//! ```
//! use sigv4::{Credentials, Payload, Request, Scope, Settings, sign};
//! use time::{Date, Month, Time};
//!
//! let form = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
//! let body = b"Action=GetCallerIdentity&Version=2011-06-15";
//! let request = Request::new("POST", "https://sts.eu-central-1.amazonaws.com/")?
//!     .with_headers(&form)
//!     .with_payload(Payload::Bytes(body));
//! let credentials =
//!     Credentials::new("ASIAMADEUPKEY0000001", "a made-up secret access key", Some("a made-up session token"));
//! # let date = Date::from_calendar_date(2026, Month::November, 23)?;
//! # let at = date.with_time(Time::from_hms(20, 30, 0)?).assume_utc();
//!
//! // `at` is 2026-11-23T20:30:00Z; a program takes the corrected time of its host.
//! let scope = Scope::new("eu-central-1", "sts");
//! let signed = sign(&request, &credentials, scope, at, Settings::default())?;
//!
//! let names: Vec<_> = signed.headers().map(|header| header.name).collect();
//! assert_eq!(names, ["x-amz-date", "x-amz-security-token", "authorization"]);
//! assert_eq!(
//!     signed.authorization(),
//!     "AWS4-HMAC-SHA256 Credential=ASIAMADEUPKEY0000001/20261123/eu-central-1/sts/aws4_request, \
//!      SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
//!      Signature=fe7c2049e5eb6657282835910ed99f5dc7cc4f72e41bd44c64cc52c9c1dcff47"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The host is signed as the service sees it: lower case, without the scheme's own port. A client that sends
//! `Host` otherwise gives its own as a header of the request.
//!
//! # Many requests
//!
//! The key depends on secret, day, region and service only. A [`KeyCache`] keeps it, wipes what it replaces,
//! and with [`sign_into`] a signature needs no allocation at all:
//!
//! ```
//! # use sigv4::{Credentials, KeyCache, Request, Scope, Settings, sign_into};
//! # let at = time::OffsetDateTime::UNIX_EPOCH;
//! let credentials = Credentials::new("AKIAMADEUPKEY0000001", "a made-up secret access key", None);
//! let mut cache = KeyCache::new();
//! let mut buffer = String::with_capacity(512);
//! for url in ["https://iam.amazonaws.com/?Action=GetUser", "https://iam.amazonaws.com/?Action=ListRoles"] {
//!     let key = cache.key("a made-up secret access key", Scope::new("us-east-1", "iam"), at)?;
//!     let request = Request::new("GET", url)?;
//!     let signed = sign_into(&request, &credentials, key, at, Settings::default(), &mut buffer)?;
//!     assert!(signed.authorization().starts_with("AWS4-HMAC-SHA256 Credential=AKIAMADEUPKEY0000001/19700101/"));
//! }
//! # Ok::<(), sigv4::Error>(())
//! ```
//!
//! # Choices
//!
//! [`Settings::default`] suits STS and every service but S3, which has [`Settings::S3`]. [`presign`] makes a
//! URL. [`sign_x509`] signs with the private key of a certificate, as IAM Roles Anywhere wants it; the key may be of any
//! library, or in a device. When a service answers `SignatureDoesNotMatch`, [`explain`] shows the canonical request and the
//! string to sign to compare with those in the answer.
//!
//! Where the official signers differ from each other, the rule taken here and the reason stand in a comment
//! at the code. Every vector under `tests/vectors` was computed by botocore; random requests are compared
//! with `aws-sigv4`.

mod canonical;
mod credentials;
mod encode;
mod error;
mod explain;
mod headers;
mod host;
mod inline;
mod key;
mod path;
mod payload;
mod presign;
mod query;
mod request;
mod scope;
mod settings;
mod sign;
mod text;
mod x509;

pub use credentials::Credentials;
pub use error::Error;
pub use explain::{Explanation, explain, explain_presigned};
pub use headers::REPLACED_HEADERS;
pub use host::Scheme;
pub use key::{KeyCache, SigningKey};
pub use presign::{Presigned, presign, presign_with_key};
pub use request::{Payload, Request};
pub use scope::Scope;
pub use settings::{ContentSha256, PathNormalisation, SessionToken, Settings, UriEncoding};
pub use sign::{AddedHeader, Signed, sign, sign_into, sign_with_key};
pub use x509::{X509Algorithm, X509Identity, X509Key, X509Signed, sign_x509};
