//! Profile names as file names, without collision.

use sha2::{Digest as _, Sha256};

/// Leaves room in the 255 bytes of a file name for the endings of state files and temporaries.
const MAX_ENCODED: usize = 180;
/// So much of a longer name stays readable before its hash.
const KEPT: usize = 100;

/// The file name for the profile `name`: letters, digits and `_-.@+` stay, every other byte and a leading dot
/// become `%XX`. A name too long for a file name ends in `%~` and its SHA-256, which no shorter name can
/// contain, because elsewhere two hexadecimal digits follow each `%`.
#[must_use]
pub fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || b"_-@+".contains(&byte) || (byte == b'.' && index > 0) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    if encoded.is_empty() || encoded.len() > MAX_ENCODED {
        encoded.truncate(KEPT);
        encoded.push_str("%~");
        encoded.extend(Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02X}")));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::file_name;

    #[test]
    fn plain_names_stay_and_dangerous_ones_are_encoded() {
        for (name, expected) in [
            ("instancecrossaccount", "instancecrossaccount"),
            ("team+a@b_c-1.2", "team+a@b_c-1.2"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("..", "%2E."),
            (".", "%2E"),
            (".hidden", "%2Ehidden"),
            ("a:b", "a%3Ab"),
        ] {
            assert_eq!(file_name(name), expected);
        }
    }

    #[test]
    fn no_two_names_share_a_file_name() {
        let alphabet = ["a", "%", "/", ".", "2", "F", "~", ":"];
        let mut names = vec![String::new()];
        for _ in 0..4 {
            let longer =
                names.iter().flat_map(|name| alphabet.iter().map(move |letter| format!("{name}{letter}")));
            names.extend(longer.collect::<Vec<_>>());
        }
        names.sort();
        names.dedup();
        names.extend((150..400).map(|length| "x".repeat(length)));
        names.extend((50..80).map(|length| "/".repeat(length)));
        let mut seen = HashMap::new();
        for name in names {
            let encoded = file_name(&name);
            assert!(encoded.len() <= 180 && !encoded.contains('/') && !encoded.starts_with('.'), "{encoded}");
            if let Some(other) = seen.insert(encoded, name.clone()) {
                panic!("`{name}` and `{other}` share a file name");
            }
        }
    }
}
