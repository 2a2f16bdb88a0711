//! Signing with headers: what is added to the request, and in which order.

use std::borrow::Cow;
use std::fmt;

use time::OffsetDateTime;

use crate::canonical::{Canonical, Identity, ToSign};
use crate::headers::{Headers, Location, X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use crate::key::{self, KeyedMac, SigningKey};
use crate::payload::PayloadHash;
use crate::scope::{DatedScope, Timestamp};
use crate::settings::{ContentSha256, SessionToken, Settings};
use crate::text::Sink as _;
use crate::{Credentials, Error, Request, Scope};

/// Room for the `Authorization` value of an ordinary request, in bytes; with more headers the text grows as
/// it needs.
const ORDINARY_AUTHORIZATION: usize = 512;

/// Signs `request` for the region and service of `scope`, as of the instant `at`.
///
/// Returns the headers to add before sending. Headers that are no `x-amz-` headers may still be added
/// afterwards; whoever changes the method, the path, the query, the body or a signed header is refused by the
/// service.
///
/// `at` may have any offset. It is a parameter because services refuse a request dated more than a few
/// minutes off their own clock: on a host whose clock is wrong, the caller corrects the instant here and
/// leaves the clock alone.
///
/// # Errors
///
/// When something cannot be written as HTTP or SigV4 want it; each case is a variant of [`Error`].
pub fn sign<'a>(
    request: &Request<'_>,
    credentials: &Credentials<'a>,
    scope: Scope<'_>,
    at: OffsetDateTime,
    settings: Settings,
) -> Result<Signed<'a>, Error> {
    let timestamp = Timestamp::new(at)?;
    let scope = scope.dated(&timestamp)?;
    let mac = key::derive(credentials.secret_access_key(), scope);
    let mut authorization = String::with_capacity(ORDINARY_AUTHORIZATION);
    let added = write(request, credentials, (scope, mac), &timestamp, settings, &mut authorization)?;
    Ok(Signed { authorization: Cow::Owned(authorization), ..added })
}

/// The same as [`sign`] with a key that was derived before and the key's own scope.
///
/// `credentials` must be those whose secret the key comes from; this is not checked.
///
/// # Errors
///
/// Those of [`sign`], and [`Error::KeyOfAnotherDay`] when the key is not for the day of `at`.
pub fn sign_with_key<'a>(
    request: &Request<'_>,
    credentials: &Credentials<'a>,
    key: &SigningKey,
    at: OffsetDateTime,
    settings: Settings,
) -> Result<Signed<'a>, Error> {
    let timestamp = Timestamp::new(at)?;
    let scope = key.dated_scope(&timestamp)?;
    let mut authorization = String::with_capacity(ORDINARY_AUTHORIZATION);
    let added = write(request, credentials, (scope, key.mac()), &timestamp, settings, &mut authorization)?;
    Ok(Signed { authorization: Cow::Owned(authorization), ..added })
}

/// The same as [`sign_with_key`], with the `Authorization` value written into `buffer`, whose content is
/// replaced.
///
/// Allocates nothing when the buffer is large enough (512 bytes are, for ordinary requests) and the request
/// has up to 16 headers, 16 path segments and 16 query parameters.
///
/// # Errors
///
/// Those of [`sign_with_key`]; the buffer is then empty.
pub fn sign_into<'a>(
    request: &Request<'_>,
    credentials: &Credentials<'a>,
    key: &SigningKey,
    at: OffsetDateTime,
    settings: Settings,
    buffer: &'a mut String,
) -> Result<Signed<'a>, Error> {
    buffer.clear();
    let timestamp = Timestamp::new(at)?;
    let scope = key.dated_scope(&timestamp)?;
    let added = write(request, credentials, (scope, key.mac()), &timestamp, settings, buffer)?;
    Ok(Signed { authorization: Cow::Borrowed(buffer), ..added })
}

/// Appends the `Authorization` value to `authorization` and returns the rest.
fn write<'a>(
    request: &Request<'_>,
    credentials: &Credentials<'a>,
    (scope, mac): (DatedScope<'_>, KeyedMac),
    timestamp: &Timestamp,
    settings: Settings,
    authorization: &mut String,
) -> Result<Signed<'a>, Error> {
    let (payload, content_sha256) = payload_of(request, settings);
    let canonical = canonical(request, credentials, timestamp, &payload, settings)?;
    let identity = Identity::hmac(credentials.checked_access_key_id()?);
    let to_sign = ToSign::new(&canonical, identity, timestamp, scope);
    to_sign.put_authorization(authorization, &canonical.headers);
    authorization.put(to_sign.signature(mac).as_str());
    let session_token = credentials.checked_session_token()?.map(|text| (text, settings.session_token));
    Ok(Signed { timestamp: *timestamp, session_token, content_sha256, authorization: Cow::Borrowed("") })
}

/// The payload's hash, and the same once more if it is to be added as a header.
pub(crate) fn payload_of<'a>(
    request: &Request<'a>,
    settings: Settings,
) -> (PayloadHash<'a>, Option<PayloadHash<'static>>) {
    match settings.content_sha256 {
        ContentSha256::Added => {
            let hash = PayloadHash::of(request.payload);
            (hash, Some(hash))
        }
        ContentSha256::Omitted => (PayloadHash::as_sent_with(request), None),
    }
}

/// The canonical form of a request that will carry its signature in a header.
pub(crate) fn canonical<'a>(
    request: &Request<'a>,
    credentials: &Credentials<'a>,
    timestamp: &'a Timestamp,
    payload: &'a PayloadHash<'a>,
    settings: Settings,
) -> Result<Canonical<'a>, Error> {
    let content_sha256_added = settings.content_sha256 == ContentSha256::Added;
    let replaced: &[&str] = if content_sha256_added { &[X_AMZ_CONTENT_SHA256] } else { &[] };
    let mut headers = Headers::of(request, Location::Header, replaced)?;
    headers.add(X_AMZ_DATE, timestamp.as_str());
    if content_sha256_added {
        headers.add(X_AMZ_CONTENT_SHA256, payload.as_str());
    }
    match (credentials.checked_session_token()?, settings.session_token) {
        (Some(text), SessionToken::Signed) => headers.add(X_AMZ_SECURITY_TOKEN, text),
        (Some(_), SessionToken::AddedAfter) | (None, _) => {}
    }
    Canonical::of(request, headers, *payload, settings)
}

/// What a signature adds to a request. Borrows the session token from the credentials.
#[derive(Clone)]
pub struct Signed<'a> {
    timestamp: Timestamp,
    session_token: Option<(&'a str, SessionToken)>,
    content_sha256: Option<PayloadHash<'static>>,
    authorization: Cow<'a, str>,
}

impl Signed<'_> {
    /// The headers to set, in this order; each replaces one of the same name.
    ///
    /// `x-amz-date`, `x-amz-security-token` when it is signed, `x-amz-content-sha256` when the settings add
    /// it, `authorization`, and last a session token that is not signed.
    pub fn headers(&self) -> impl Iterator<Item = AddedHeader<'_>> {
        let token = |wanted: SessionToken| {
            let text = self.session_token.filter(|(_, kind)| *kind == wanted).map(|(text, _)| text);
            text.map(|value| AddedHeader { name: X_AMZ_SECURITY_TOKEN, value })
        };
        let hash = self.content_sha256.as_ref();
        [
            Some(AddedHeader { name: X_AMZ_DATE, value: self.timestamp.as_str() }),
            token(SessionToken::Signed),
            hash.map(|hash| AddedHeader { name: X_AMZ_CONTENT_SHA256, value: hash.as_str() }),
            Some(AddedHeader { name: "authorization", value: self.authorization() }),
            token(SessionToken::AddedAfter),
        ]
        .into_iter()
        .flatten()
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.authorization
    }
}

/// Shows the headers, the session token redacted.
impl fmt::Debug for Signed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.headers()).finish()
    }
}

/// A header to set on the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddedHeader<'a> {
    /// In lower case, as HTTP/2 wants it.
    pub name: &'static str,
    /// Text that can stand in a header.
    pub value: &'a str,
}

impl AddedHeader<'_> {
    /// Whether the value is a secret that belongs in no log: true of the session token. The signature is
    /// none; it is good for one request and a few minutes.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.name == X_AMZ_SECURITY_TOKEN
    }
}

/// Shows the value unless it is sensitive.
impl fmt::Debug for AddedHeader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.is_sensitive() { "[redacted]" } else { self.value };
        write!(f, "{}: {value}", self.name)
    }
}
