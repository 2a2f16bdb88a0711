//! Where canonical text goes: into a hash, into a MAC, or into a `String` when somebody wants to see it.
//!
//! One writer serves all three, so that what is shown is what was hashed. Knows nothing of requests.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Receives text piece by piece. A piece has no meaning; only the concatenation counts.
pub(crate) trait Sink {
    fn put(&mut self, text: &str);
}

impl Sink for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Sink for Sha256 {
    fn put(&mut self, text: &str) {
        Digest::update(self, text);
    }
}

impl Sink for Hmac<Sha256> {
    fn put(&mut self, text: &str) {
        Mac::update(self, text.as_bytes());
    }
}

/// Up to `N` ASCII characters without an allocation. What does not fit or is not ASCII is not taken.
#[derive(Clone, Copy)]
pub(crate) struct Ascii<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Ascii<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// Takes one character; `false` when there is no room.
    pub(crate) fn push(&mut self, byte: u8) -> bool {
        match self.bytes.get_mut(self.len) {
            Some(slot) => {
                *slot = byte & 0x7f;
                self.len = self.len.saturating_add(1);
                true
            }
            None => false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_str(&self) -> &str {
        // Both fallbacks are out of reach: `push` keeps `len` within bounds and every byte below 0x80.
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// A SHA-256 digest in lower-case hexadecimal, as SigV4 writes digests and signatures.
pub(crate) type Hex = Ascii<64>;

pub(crate) fn hex(digest: [u8; 32]) -> Hex {
    let mut bytes = [0; 64];
    for (pair, byte) in bytes.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&hex_digits(byte));
    }
    Hex { bytes, len: 64 }
}

/// `byte` as two hexadecimal digits in lower case.
pub(crate) fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    [byte >> 4, byte & 0x0f].map(|nibble| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default())
}

/// Writes ASCII that is made byte by byte. A hash is fed in chunks, because each call to it has a price.
pub(crate) fn put_ascii(sink: &mut impl Sink, bytes: impl Iterator<Item = u8>) {
    let mut chunk = Ascii::<64>::new();
    for byte in bytes {
        if !chunk.push(byte) {
            sink.put(chunk.as_str());
            chunk.clear();
            chunk.push(byte);
        }
    }
    sink.put(chunk.as_str());
}

/// Writes `text` with ASCII capitals made small.
pub(crate) fn put_lower_case(sink: &mut impl Sink, text: &str) {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        put_ascii(sink, text.bytes().map(|byte| byte.to_ascii_lowercase()));
    } else {
        sink.put(text);
    }
}
