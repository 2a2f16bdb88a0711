//! What a hook wrote, as the log may show it: secrets masked, control characters escaped, one entry for each line.
//! Pure.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::credentials::{Credentials, Secret};

/// So many characters of a secret in a row are masked wherever they stand: a secret that was cut, wrapped or
/// percent-encoded in parts is still one. Short enough to leave nothing useful, long enough to be no coincidence.
const WINDOW: usize = 8;
const MASK: &str = "[redacted]";

/// Secrets that must not be shown.
#[derive(Debug, Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Adds what is secret in `credentials`.
    pub fn add(&mut self, credentials: &Credentials) {
        self.0.push(credentials.secret_access_key.clone());
        self.0.extend(credentials.session_token.clone());
    }

    /// Adds `secret`, which is one as a whole.
    pub fn add_whole(&mut self, secret: Secret) {
        self.0.push(secret);
    }

    /// Adds what those that are there look like in base64, the form in which other systems take secrets.
    pub fn add_encoded(&mut self) {
        let encoded: Vec<_> =
            self.0.iter().flat_map(|secret| in_base64(secret.expose().as_bytes())).collect();
        self.0.extend(encoded);
    }

    /// Adds what is secret in `text`, a credentials file that the agent published.
    pub fn add_file(&mut self, text: &str) {
        let values = text.lines().filter_map(|line| line.split_once(" = "));
        let secret =
            values.filter(|(name, _)| matches!(*name, "aws_secret_access_key" | "aws_session_token"));
        self.0.extend(secret.map(|(_, value)| Secret::new(value.to_owned())));
    }

    /// Which bytes of `text` are part of a secret.
    fn found_in(&self, text: &[u8]) -> Vec<bool> {
        // What is kept is bounded by the text, of which there is little; of secrets there may be thousands.
        let present: HashSet<&[u8]> = text.windows(WINDOW).collect();
        let secrets = self.0.iter().flat_map(|secret| secret.expose().as_bytes().windows(WINDOW));
        let windows: HashSet<&[u8]> = secrets.filter(|window| present.contains(window)).collect();
        let mut found = vec![false; text.len()];
        for (start, window) in text.windows(WINDOW).enumerate() {
            if windows.contains(window) {
                found.iter_mut().skip(start).take(WINDOW).for_each(|byte| *byte = true);
            }
        }
        found
    }
}

/// `secret` as a part of a text in base64, for each place within three bytes that it may begin at; without the characters
/// at its ends that also depend on what stands beside it.
fn in_base64(secret: &[u8]) -> impl Iterator<Item = Secret> {
    [(0, 0), (1, 2), (2, 3)].into_iter().filter_map(move |(before, shared)| {
        let length = secret.len().saturating_add(before);
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.resize(before, 0);
        bytes.extend_from_slice(secret);
        let text = Zeroizing::new(STANDARD_NO_PAD.encode(&bytes));
        let whole = length.saturating_mul(4) / 3;
        text.get(shared..whole).map(|own| Secret::new(own.to_owned()))
    })
}

/// The lines of `text`, without empty ones.
#[must_use]
pub fn lines(text: &[u8], secrets: &Secrets) -> Vec<String> {
    let found = secrets.found_in(text);
    let mut shown = String::with_capacity(text.len());
    let mut visible = Vec::new();
    let mut was_secret = false;
    for (byte, is_secret) in text.iter().zip(found) {
        if !is_secret {
            visible.push(*byte);
        } else if !was_secret {
            shown.push_str(&String::from_utf8_lossy(&visible));
            visible.clear();
            shown.push_str(MASK);
        }
        was_secret = is_secret;
    }
    shown.push_str(&String::from_utf8_lossy(&visible));
    shown.lines().filter(|line| !line.trim().is_empty()).map(escaped).collect()
}

fn escaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        if character.is_control() && character != '\t' {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEKEY";
    const SESSION: &str = "IQoJb3JpZ2luX2VjEOr//////////wEaCXVzLWVhc3QtMSJHMEUCIQD=";

    fn shown(text: impl AsRef<[u8]>) -> String {
        let mut secrets = Secrets::default();
        secrets.add(&Credentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new(KEY.to_owned()),
            session_token: Some(Secret::new(SESSION.to_owned())),
        });
        lines(text.as_ref(), &secrets).join("\n")
    }

    #[test]
    fn secrets_are_masked_and_the_rest_is_shown() {
        assert_eq!(shown(format!("id ASIAEXAMPLE key {KEY}!")), "id ASIAEXAMPLE key [redacted]!");
        assert_eq!(shown(format!("{KEY}{SESSION}")), "[redacted]");
        assert_eq!(shown(format!("a={KEY}\nb={SESSION}\n")), "a=[redacted]\nb=[redacted]");
        assert_eq!(shown("nothing of it"), "nothing of it");
    }

    #[test]
    fn parts_of_secrets_are_masked_wherever_they_stand() {
        for width in 8..KEY.len() {
            let wrapped: Vec<_> = KEY.as_bytes().chunks(width).map(<[u8]>::to_vec).collect();
            let text = shown(wrapped.join(&b'\n'));
            assert!(!KEY.as_bytes().windows(8).any(|part| text.contains(&*String::from_utf8_lossy(part))));
            assert!(text.len() < MASK.len() * 5 + 8 + 5, "{text}");
        }
        assert_eq!(shown(format!("cut off: {}", KEY.split_at(20).0)), "cut off: [redacted]");
        let encoded = shown(KEY.replace('/', "%2F").replace('+', "%2B"));
        assert!(encoded.starts_with(MASK) && !encoded.contains("bPxRfiCY"), "{encoded}");
    }

    #[test]
    fn base64_of_a_secret_is_masked_wherever_the_secret_begins_in_it() {
        let mut secrets = Secrets::default();
        secrets.add_whole(Secret::new(KEY.to_owned()));
        secrets.add_encoded();
        for (start, end) in [("", ""), ("a", "\n"), ("ab", "b"), ("abc", "bcd"), ("{\"key\":\"", "\"}")] {
            let encoded = STANDARD_NO_PAD.encode(format!("{start}{KEY}{end}"));
            let masked = lines(encoded.as_bytes(), &secrets).join("\n");
            let (before, after) = masked.split_once(MASK).unwrap();
            assert!(
                before.len() <= start.len() * 4 / 3 + 2 && after.len() <= end.len() * 4 / 3 + 3,
                "{masked}"
            );
            assert!(encoded.starts_with(before) && encoded.ends_with(after), "{masked}");
        }
        assert_eq!(lines(b"bm90aGluZyBvZiBpdA==", &secrets), ["bm90aGluZyBvZiBpdA=="]);
    }

    #[test]
    fn a_line_cannot_pretend_to_be_another_or_move_the_cursor() {
        assert_eq!(
            shown("a\x1b[2Jb\r\nrolekeeper: c\x08\x07\n\n  \n"),
            "a\\u{1b}[2Jb\nrolekeeper: c\\u{8}\\u{7}"
        );
        assert_eq!(shown(b"\xffx\x00".as_slice()), "\u{fffd}x\\u{0}");
        assert_eq!(shown("one\rtwo"), "one\\rtwo");
    }
}
