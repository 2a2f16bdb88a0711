//! PEM: which blocks a file has, and the bytes of one of them. Written here because what it reads are private keys:
//! everything it makes is wiped, and an encrypted block is told from a damaged one.

use zeroize::Zeroizing;

/// One block, still as text.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// What stands behind `BEGIN`.
    pub(super) label: &'a str,
    body: &'a str,
}

/// The blocks of `text`, in its order; what stands between them is left out, as RFC 7468 allows.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        // A block that never ends is one that is cut off: its body is no base64 with an end.
        let (body, after) = after.split_once("-----END ").unwrap_or(("-", ""));
        rest = after;
        Some(Block { label, body })
    })
}

impl Block<'_> {
    /// Whether it is encrypted in the way of RFC 1421, inside the PEM.
    pub(super) fn is_encrypted(&self) -> bool {
        self.label.starts_with("ENCRYPTED") || self.body.contains("ENCRYPTED")
    }

    /// The bytes; `None` where the body is no base64.
    pub(super) fn decode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let body = self.body.trim_end();
        let unpadded = body.trim_end_matches('=');
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(body.len()));
        let (mut bits, mut count) = (0_u32, 0_u32);
        for letter in unpadded.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            bits = bits << 6 | u32::from(value(letter)?);
            count = count.wrapping_add(6);
            if count >= 8 {
                count = count.wrapping_sub(8);
                bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
            }
        }
        // What is left over are zeros that fill the last letter up, and the padding fills up four letters.
        let left_over = bits & 1_u32.wrapping_shl(count).wrapping_sub(1);
        let padding = body.len().saturating_sub(unpadded.len());
        let fits = matches!((count, padding), (0, 0) | (2, 1) | (4, 2));
        (fits && left_over == 0).then_some(bytes)
    }
}

fn value(letter: u8) -> Option<u8> {
    let (first, offset) = match letter {
        b'A'..=b'Z' => (b'A', 0),
        b'a'..=b'z' => (b'a', 26),
        b'0'..=b'9' => (b'0', 52),
        b'+' => (b'+', 62),
        b'/' => (b'/', 63),
        _ => return None,
    };
    Some(letter.wrapping_sub(first).wrapping_add(offset))
}

#[cfg(test)]
mod tests {
    use super::blocks;

    fn decoded(body: &str) -> Option<Vec<u8>> {
        let text = format!("-----BEGIN X-----\n{body}\n-----END X-----\n");
        blocks(&text).next().unwrap().decode().map(|bytes| bytes.to_vec())
    }

    #[test]
    fn blocks_are_found_among_other_text() {
        let text = "Bag Attributes\r\n-----BEGIN A B-----\r\nZm9v\r\n-----END A B-----\r\nsubject=\n\
                    -----BEGIN C-----\nZm9v\nYmE=\n-----END C-----";
        let found: Vec<_> =
            blocks(text).map(|block| (block.label, block.decode().unwrap().to_vec())).collect();
        assert_eq!(found, [("A B", b"foo".to_vec()), ("C", b"fooba".to_vec())]);
        assert_eq!(blocks("no block").count(), 0);
        assert_eq!(blocks("-----BEGIN ").count(), 0);
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for body in ["Zg==", "Zm8=", "Zm9v", "", "Zm\n9v"] {
            assert!(decoded(body).is_some(), "{body}");
        }
        for body in ["Zg=", "Zg", "Z", "Zm9v=", "Zm9v====", "Zh==", "Zm9=", "Z-8=", "Zm 8=\u{e9}", "=Zg="] {
            assert_eq!(decoded(body), None, "{body}");
        }
        assert!(blocks("-----BEGIN X-----\nZm9v\n").next().unwrap().decode().is_none());
    }

    #[test]
    fn encrypted_blocks_are_known_by_label_or_header() {
        for (text, encrypted) in [
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nZm9v\n-----END ENCRYPTED PRIVATE KEY-----\n", true),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nZm9v\n\
                 -----END RSA PRIVATE KEY-----\n",
                true,
            ),
            ("-----BEGIN PRIVATE KEY-----\nZm9v\n-----END PRIVATE KEY-----\n", false),
        ] {
            assert_eq!(blocks(text).next().unwrap().is_encrypted(), encrypted, "{text}");
        }
    }
}
