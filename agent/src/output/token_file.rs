//! The file beside a profile's credentials that holds the token for asking the agent for them: who may read the one
//! may read the other. The agent itself keeps no token, only what recognises it.

use std::fmt;
use std::io;

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::directory::{Attributes, Directory, Durability};
use super::error::{OutputError, Step};
use crate::transport::random;

/// The file. SDKs send its bytes as they are, so no line end follows the token.
pub const TOKEN: &str = "token";

/// So many random bytes, as hexadecimal digits.
const RANDOM_BYTES: usize = 32;

/// Recognises one token.
#[derive(Clone)]
pub struct TokenCheck(pub [u8; 32]);

impl TokenCheck {
    fn of(token: &[u8]) -> Option<Self> {
        Some(Self(digest(token)?.finalize().into_bytes().into()))
    }

    /// Whether `given` is the token. How long that takes depends on nothing but the length of `given`.
    #[must_use]
    pub fn accepts(&self, given: &[u8]) -> bool {
        digest(given).is_some_and(|mac| mac.verify_slice(&self.0).is_ok())
    }
}

impl fmt::Debug for TokenCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCheck")
    }
}

/// HMAC takes keys of every length. This one only separates the digest from others: a token of 32 random bytes needs
/// no salt.
fn digest(token: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).ok()?;
    mac.update(token);
    Some(mac)
}

/// Whether `directory` holds the token that `check` recognises, with these attributes.
#[must_use]
pub fn is_in_place(directory: &Directory, attributes: Attributes, check: &TokenCheck) -> bool {
    directory.holds(TOKEN, attributes)
        && match directory.read(TOKEN) {
            Ok(bytes) => bytes.is_some_and(|bytes| check.accepts(&bytes)),
            // What was given away is only for whoever may read everything to read, which a sandbox takes from root too.
            Err(cause) => cause.kind() == io::ErrorKind::PermissionDenied,
        }
}

/// Writes a new token. It is not synced: the next start of the agent replaces it anyway.
///
/// # Errors
///
/// When the system has no random bytes, or the file cannot be written.
pub fn write_new(directory: &Directory, attributes: Attributes) -> Result<TokenCheck, OutputError> {
    let no_random = || {
        let cause = io::Error::other("the system has no random bytes");
        OutputError::io(Step::Create, &directory.path().join(TOKEN), cause)
    };
    let bytes = Zeroizing::new(random::<RANDOM_BYTES>().ok_or_else(no_random)?);
    let mut token = Zeroizing::new(String::with_capacity(2 * RANDOM_BYTES));
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    token.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    let check = TokenCheck::of(token.as_bytes()).ok_or_else(no_random)?;
    directory.replace(TOKEN, token.as_bytes(), attributes, Durability::Renamed)?;
    Ok(check)
}
