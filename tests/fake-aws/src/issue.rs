//! Random identifiers, secrets and tokens in the shapes that AWS gives them. Knows nothing of whom they are for.

use rustls::crypto::SecureRandom;

use crate::iam::Keys;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// `length` random characters of an alphabet whose size divides 256, so that none is likelier than another.
fn random(alphabet: &[u8], length: usize) -> String {
    let mut bytes = vec![0; length];
    let source: &dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    if source.fill(&mut bytes).is_err() {
        // Without randomness ids collide and tests fail loudly; that is all a fake owes.
        bytes.fill(0);
    }
    bytes
        .iter()
        .filter_map(|byte| alphabet.get(usize::from(*byte).checked_rem(alphabet.len())?))
        .map(|letter| char::from(*letter))
        .collect()
}

/// A unique identifier: `prefix`, such as `AKIA` or `AROA`, and sixteen or seventeen letters.
pub(crate) fn identifier(prefix: &str) -> String {
    let length = if matches!(prefix, "AKIA" | "ASIA") { 16 } else { 17 };
    format!("{prefix}{}", random(BASE32, length))
}

/// Keys as long-term credentials have them: no session token.
pub(crate) fn long_term_keys() -> Keys {
    Keys { access_key_id: identifier("AKIA"), secret_access_key: secret(), session_token: None }
}

/// Keys as role sessions have them. The token holds `+`, `/` and `=`, as real ones do, so that a writer that
/// quotes or encodes wrongly is caught every time and not once in a while.
pub(crate) fn session_keys() -> Keys {
    let token = format!("IQoJb3JpZ2luX2VjE{}+/{}+/==", random(BASE64, 240), random(BASE64, 240));
    Keys { access_key_id: identifier("ASIA"), secret_access_key: secret(), session_token: Some(token) }
}

/// Forty characters, with `/` and `+` always among them.
fn secret() -> String {
    format!("{}/{}+{}", random(BASE64, 12), random(BASE64, 12), random(BASE64, 14))
}

/// An IMDS token.
pub(crate) fn imds_token() -> String {
    format!("AQAEA{}==", random(BASE64, 49).replace('/', "_").replace('+', "-"))
}

/// A request id: a UUID in form.
pub(crate) fn request_id() -> String {
    let part = |length| random(HEX, length);
    format!("{}-{}-4{}-8{}-{}", part(8), part(4), part(3), part(3), part(12))
}
