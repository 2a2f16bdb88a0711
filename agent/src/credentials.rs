//! Credentials as they travel through the agent: owned, wiped when dropped, redacted in `Debug`.
//! Knows nothing of where they come from or where they go.

use std::fmt;

use time::OffsetDateTime;
use zeroize::Zeroizing;

/// A string that must not be seen: no `Display`, no comparison, `[redacted]` in `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` over; the caller keeps no copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for signing and rendering only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An access key id, its secret and, for temporary credentials, the session token.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key id: an identifier that may appear in logs.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token; long-term keys have none.
    pub session_token: Option<Secret>,
}

impl Credentials {
    /// The same credentials as the signer borrows them.
    #[must_use]
    pub fn as_signing(&self) -> sigv4::Credentials<'_> {
        sigv4::Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose(),
            self.session_token.as_ref().map(Secret::expose),
        )
    }
}

/// Credentials that a base source or STS has issued.
#[derive(Clone, Debug)]
pub struct IssuedCredentials {
    /// The keys.
    pub credentials: Credentials,
    /// When they stop working, as the issuer gave it; long-term keys have none.
    pub expiration: Option<OffsetDateTime>,
    /// The twelve-digit account they belong to, where the issuer tells.
    pub account_id: Option<String>,
}
