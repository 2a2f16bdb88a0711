//! Base64: in the alphabet for URLs, without padding, as JWTs use it, and in the other one with padding, as XML and HTTP
//! do. Knows nothing of what it carries.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `bytes` as text.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0_u32, |group, byte| (group << 8) | u32::from(*byte));
        for sextet in 0..=chunk.len() {
            let shift = 18_usize.saturating_sub(sextet.saturating_mul(6));
            let index = usize::try_from((group >> shift) & 63).unwrap_or_default();
            text.extend(ALPHABET.get(index).map(|letter| char::from(*letter)));
        }
    }
    text
}

/// The bytes of `text`; `None` when a character is none of the alphabet's.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut group, mut bits) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        group = ((group << 6) | u32::try_from(value).ok()?) & 0xfff;
        bits = bits.saturating_add(6);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            bytes.push(u8::try_from((group >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// `bytes` as text of the other alphabet, padded.
pub(crate) fn encode_padded(bytes: &[u8]) -> String {
    let mut text = encode(bytes).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// The bytes of `text` in the other alphabet; `None` also where the padding is not right.
pub(crate) fn decode_padded(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) || text.contains(['-', '_']) {
        return None;
    }
    let bare = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    decode(&bare.replace('+', "-").replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_padded, encode, encode_padded};

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(encode(b"\xfb\xff"), "-_8");
        assert_eq!(encode(b"{}"), "e30");
        for length in 0..20_u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(73)).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes.clone()));
            assert_eq!(decode_padded(&encode_padded(&bytes)), Some(bytes));
        }
        assert_eq!(encode_padded(b"\xfb\xff"), "+/8=");
        for text in ["-_8=", "+/8", "+/8==", "+/8=====", "===="] {
            assert_eq!(decode_padded(text), None, "{text}");
        }
        assert_eq!(decode("a+b"), None);
    }
}
