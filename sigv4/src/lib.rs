//! AWS Signature Version 4: header signing and presigned URLs.
//!
//! A pure function of its arguments: it borrows the request and the credentials, takes the instant as a parameter,
//! and reads no clock, no environment and no file. It knows nothing of where credentials come from or how requests
//! are sent.

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
