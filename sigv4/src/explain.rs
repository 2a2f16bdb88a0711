//! The three checkpoints of a signature as text, for tests and for `SignatureDoesNotMatch` at three in the
//! morning.
//!
//! Uses the same writers as signing does, with a `String` instead of a hash behind them.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::canonical::{Canonical, Identity, ToSign};
use crate::presign::{self, Texts};
use crate::scope::{DatedScope, Timestamp};
use crate::settings::Settings;
use crate::{Credentials, Error, Request, Scope, key, sign};

/// The intermediate texts of one signature. The canonical request holds the session token: compare it, never
/// log it.
#[derive(Clone)]
pub struct Explanation {
    canonical_request: Zeroizing<String>,
    string_to_sign: String,
    signature: String,
}

impl Explanation {
    /// What was hashed. Contains the session token, if that is signed.
    #[must_use]
    pub fn canonical_request(&self) -> &str {
        &self.canonical_request
    }

    /// What was signed.
    #[must_use]
    pub fn string_to_sign(&self) -> &str {
        &self.string_to_sign
    }

    /// The signature, in lower-case hexadecimal.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    fn new(
        canonical: &Canonical<'_>,
        credentials: &Credentials<'_>,
        timestamp: &Timestamp,
        scope: DatedScope<'_>,
    ) -> Result<Self, Error> {
        let identity = Identity::hmac(credentials.checked_access_key_id()?);
        let to_sign = ToSign::new(canonical, identity, timestamp, scope);
        let mut canonical_request = Zeroizing::new(String::new());
        canonical.put(&mut *canonical_request);
        let mut string_to_sign = String::new();
        to_sign.put(&mut string_to_sign);
        let signature = to_sign.signature(key::derive(credentials.secret_access_key(), scope));
        Ok(Self { canonical_request, string_to_sign, signature: signature.as_str().to_owned() })
    }
}

/// Shows the string to sign and the signature; the canonical request is redacted.
impl fmt::Debug for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explanation")
            .field("canonical_request", &"[redacted]")
            .field("string_to_sign", &self.string_to_sign)
            .field("signature", &self.signature)
            .finish()
    }
}

/// The checkpoints of what [`sign`](crate::sign) makes of the same arguments.
///
/// # Errors
///
/// Those of [`sign`](crate::sign).
pub fn explain(
    request: &Request<'_>,
    credentials: &Credentials<'_>,
    scope: Scope<'_>,
    at: OffsetDateTime,
    settings: Settings,
) -> Result<Explanation, Error> {
    let timestamp = Timestamp::new(at)?;
    let (payload, _) = sign::payload_of(request, settings);
    let canonical = sign::canonical(request, credentials, &timestamp, &payload, settings)?;
    Explanation::new(&canonical, credentials, &timestamp, scope.dated(&timestamp)?)
}

/// The checkpoints of what [`presign`](crate::presign) makes of the same arguments.
///
/// # Errors
///
/// Those of [`presign`](crate::presign).
pub fn explain_presigned(
    request: &Request<'_>,
    credentials: &Credentials<'_>,
    scope: Scope<'_>,
    at: OffsetDateTime,
    expires: Duration,
    settings: Settings,
) -> Result<Explanation, Error> {
    let timestamp = Timestamp::new(at)?;
    let scope = scope.dated(&timestamp)?;
    let identity = Identity::hmac(credentials.checked_access_key_id()?);
    let texts = Texts::new(request, identity, scope, expires)?;
    let canonical = presign::canonical(request, credentials, &timestamp, &texts, settings)?;
    Explanation::new(&canonical, credentials, &timestamp, scope)
}
