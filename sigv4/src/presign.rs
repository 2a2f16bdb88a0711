//! Presigned URLs: the signature and all that it needs travel in the query.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;

use crate::canonical::{Canonical, Identity, ToSign};
use crate::headers::{Headers, Location};
use crate::host::{Host, without_user_information};
use crate::key::{self, KeyedMac, SigningKey};
use crate::path::Path;
use crate::payload::PayloadHash;
use crate::query::{Query, put_value};
use crate::scope::{DatedScope, Timestamp};
use crate::settings::{SessionToken, Settings};
use crate::text::Hex;
use crate::{Credentials, Error, Request, Scope};

const ALGORITHM: &str = "X-Amz-Algorithm";
const CREDENTIAL: &str = "X-Amz-Credential";
const DATE: &str = "X-Amz-Date";
const EXPIRES: &str = "X-Amz-Expires";
const SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
const SECURITY_TOKEN: &str = "X-Amz-Security-Token";
const SIGNATURE: &str = "X-Amz-Signature";

const MOST_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Makes a URL that whoever holds it can use from the instant `at` until `expires` later.
///
/// Parameters of an earlier presigning are replaced. Signed are the host and the headers of the request,
/// which the holder then has to send; `x-amz-content-sha256` is never added. The payload hash is that of
/// [`Request::payload`]; S3 wants [`Payload::Unsigned`](crate::Payload::Unsigned) here.
///
/// The session token is part of the URL. With [`SessionToken::AddedAfter`] it is not covered by the
/// signature.
///
/// # Errors
///
/// [`Error::Expires`] when `expires` is not 1 second to 7 days, of which only whole seconds count; and those
/// of [`sign`](crate::sign).
pub fn presign(
    request: &Request<'_>,
    credentials: &Credentials<'_>,
    scope: Scope<'_>,
    at: OffsetDateTime,
    expires: Duration,
    settings: Settings,
) -> Result<Presigned, Error> {
    let timestamp = Timestamp::new(at)?;
    let scope = scope.dated(&timestamp)?;
    let mac = key::derive(credentials.secret_access_key(), scope);
    write(request, credentials, (scope, mac), &timestamp, expires, settings)
}

/// The same as [`presign`] with a key that was derived before and the key's own scope.
///
/// `credentials` must be those whose secret the key comes from; this is not checked.
///
/// # Errors
///
/// Those of [`presign`], and [`Error::KeyOfAnotherDay`] when the key is not for the day of `at`.
pub fn presign_with_key(
    request: &Request<'_>,
    credentials: &Credentials<'_>,
    key: &SigningKey,
    at: OffsetDateTime,
    expires: Duration,
    settings: Settings,
) -> Result<Presigned, Error> {
    let timestamp = Timestamp::new(at)?;
    let scope = key.dated_scope(&timestamp)?;
    write(request, credentials, (scope, key.mac()), &timestamp, expires, settings)
}

fn write(
    request: &Request<'_>,
    credentials: &Credentials<'_>,
    (scope, mac): (DatedScope<'_>, KeyedMac),
    timestamp: &Timestamp,
    expires: Duration,
    settings: Settings,
) -> Result<Presigned, Error> {
    let identity = Identity::hmac(credentials.checked_access_key_id()?);
    let texts = Texts::new(request, identity, scope, expires)?;
    // A `Host` header excuses a missing authority elsewhere; a URL has nothing else to name its host with.
    Host::parse(request.scheme, request.authority)?;
    let canonical = canonical(request, credentials, timestamp, &texts, settings)?;
    let to_sign = ToSign::new(&canonical, identity, timestamp, scope);
    let token_after = match settings.session_token {
        SessionToken::Signed => None,
        SessionToken::AddedAfter => credentials.checked_session_token()?,
    };
    let url = url(request, &canonical, token_after, to_sign.signature(mac));
    Ok(Presigned { url, signed_headers: texts.signed_headers })
}

/// The parameters whose values have to be put together first.
pub(crate) struct Texts<'a> {
    algorithm: &'a str,
    credential: String,
    expires: String,
    signed_headers: String,
}

impl<'a> Texts<'a> {
    pub(crate) fn new(
        request: &Request<'_>,
        identity: Identity<'a>,
        scope: DatedScope<'_>,
        expires: Duration,
    ) -> Result<Self, Error> {
        let seconds = expires.as_secs();
        if !(1..=MOST_SECONDS).contains(&seconds) {
            return Err(Error::Expires { seconds });
        }
        let mut credential = String::new();
        identity.put_credential(&mut credential, scope);
        let mut signed_headers = String::new();
        headers(request)?.put_names(&mut signed_headers);
        Ok(Self { algorithm: identity.algorithm, credential, expires: seconds.to_string(), signed_headers })
    }
}

fn headers<'a>(request: &Request<'a>) -> Result<Headers<'a>, Error> {
    let mut headers = Headers::of(request, Location::Query, &[])?;
    headers.sort();
    Ok(headers)
}

/// The canonical form of a request that will carry its signature in the query.
pub(crate) fn canonical<'a>(
    request: &Request<'a>,
    credentials: &Credentials<'a>,
    timestamp: &'a Timestamp,
    texts: &'a Texts<'_>,
    settings: Settings,
) -> Result<Canonical<'a>, Error> {
    let earlier = [ALGORITHM, CREDENTIAL, DATE, EXPIRES, SIGNED_HEADERS, SECURITY_TOKEN, SIGNATURE];
    let mut query = Query::parse_without(request.query, &earlier);
    query.add(ALGORITHM, texts.algorithm);
    query.add(CREDENTIAL, &texts.credential);
    query.add(DATE, timestamp.as_str());
    query.add(EXPIRES, &texts.expires);
    query.add(SIGNED_HEADERS, &texts.signed_headers);
    match (credentials.checked_session_token()?, settings.session_token) {
        (Some(text), SessionToken::Signed) => query.add(SECURITY_TOKEN, text),
        (Some(_), SessionToken::AddedAfter) | (None, _) => {}
    }
    query.sort();
    Ok(Canonical {
        method: request.checked_method()?,
        path: Path::parse(request.path)?,
        query,
        headers: headers(request)?,
        payload: PayloadHash::as_sent_with(request),
        settings,
    })
}

/// The URL with its query in canonical form, so that what is sent is letter for letter what was signed.
fn url(
    request: &Request<'_>,
    canonical: &Canonical<'_>,
    token_after: Option<&str>,
    signature: Hex,
) -> String {
    let mut url = String::new();
    for part in [request.scheme.prefix(), without_user_information(request.authority), request.path] {
        url.push_str(part);
    }
    if request.path.is_empty() {
        url.push('/');
    }
    url.push('?');
    canonical.query.put(&mut url);
    if let Some(text) = token_after {
        for part in ["&", SECURITY_TOKEN, "="] {
            url.push_str(part);
        }
        put_value(&mut url, text);
    }
    for part in ["&", SIGNATURE, "=", signature.as_str()] {
        url.push_str(part);
    }
    url
}

/// A presigned URL. Whoever holds it has the signer's rights for this one request until it expires, so it is
/// a secret: `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    url: String,
    signed_headers: String,
}

impl Presigned {
    /// The URL; its query begins with the request's own parameters and ours in sorted order and ends with the
    /// signature.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The names of the headers that have to be sent as they were signed, lower case, joined with `;`. At
    /// least `host`.
    #[must_use]
    pub fn signed_headers(&self) -> &str {
        &self.signed_headers
    }

    /// Gives the URL away.
    #[must_use]
    pub fn into_url(self) -> String {
        self.url
    }
}

impl fmt::Debug for Presigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presigned").field("signed_headers", &self.signed_headers).finish_non_exhaustive()
    }
}
