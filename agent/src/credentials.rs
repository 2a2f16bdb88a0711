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
    /// Whether every part can be written into each of the published files without quoting.
    #[must_use]
    pub fn are_plain(&self) -> bool {
        let token = self.session_token.as_ref().map_or("none", Secret::expose);
        [self.access_key_id.as_str(), self.secret_access_key.expose(), token].into_iter().all(is_plain)
    }

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

/// Not empty, and only characters that no reader of our files treats specially: the Go SDK cuts INI values
/// at `#` and `;`, shells and systemd interpret quotes, `$` and backslashes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`\\$#;".contains(&byte))
}

/// Credentials as a service sent them, before anybody has looked at them.
pub mod unchecked {
    use super::{Credentials, IssuedCredentials, Secret, is_plain};
    use crate::timestamp::parse_rfc3339;

    /// The members of a reply, borrowed from it.
    #[derive(Clone, Copy)]
    pub struct UncheckedCredentials<'a> {
        /// `AccessKeyId`
        pub access_key_id: Option<&'a str>,
        /// `SecretAccessKey`
        pub secret_access_key: Option<&'a str>,
        /// `SessionToken`, or `Token` in IMDS
        pub session_token: Option<&'a str>,
        /// `Expiration`
        pub expiration: Option<&'a str>,
        /// `AccountId`
        pub account_id: Option<&'a str>,
    }

    impl std::fmt::Debug for UncheckedCredentials<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("UncheckedCredentials")
        }
    }

    impl UncheckedCredentials<'_> {
        /// Takes the values over where all that temporary credentials need is there and every part can be
        /// written into an INI file, an environment file and a header without quoting.
        ///
        /// # Errors
        ///
        /// What is wrong, in words that fit behind "answered with".
        pub fn check(&self) -> Result<IssuedCredentials, &'static str> {
            let issued = self.check_lasting()?;
            if issued.credentials.session_token.is_none() {
                return Err("no usable session token");
            }
            if issued.expiration.is_none() {
                return Err("no usable expiration");
            }
            Ok(issued)
        }

        /// Like [`Self::check`], for sources that may give long-term keys: session token and expiration may be absent,
        /// but not malformed.
        ///
        /// # Errors
        ///
        /// As for [`Self::check`].
        pub fn check_lasting(&self) -> Result<IssuedCredentials, &'static str> {
            let part = |value: Option<&str>, problem| match value {
                Some(text) if is_plain(text.trim()) => Ok(text.trim().to_owned()),
                _ => Err(problem),
            };
            let access_key_id = part(self.access_key_id, "no usable access key id")?;
            let secret = Secret::new(part(self.secret_access_key, "no usable secret access key")?);
            let session_token = match self.session_token {
                None => None,
                token => Some(Secret::new(part(token, "no usable session token")?)),
            };
            let expiration = match self.expiration {
                None => None,
                Some(text) => Some(parse_rfc3339(text).ok_or("no usable expiration")?),
            };
            let account_id = self.account_id.filter(|id| is_account_id(id)).map(str::to_owned);
            let credentials = Credentials { access_key_id, secret_access_key: secret, session_token };
            Ok(IssuedCredentials { credentials, expiration, account_id })
        }
    }

    fn is_account_id(text: &str) -> bool {
        text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
    }
}
