//! What an error means for the next step: the one word that schedule, exit code and status agree on.

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// Try again soon: the network, a 5xx, throttling.
    Retry,
    /// Access was denied; keep trying slowly, because policies can be repaired.
    Refused,
    /// The configuration has to change.
    Misconfigured,
    /// The files of this host cannot be written or read.
    Local,
    /// A mistake of ours, or a reply that nobody can make sense of.
    Broken,
}

impl Disposition {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Retry, Self::Refused, Self::Misconfigured, Self::Local, Self::Broken];

    /// The kind that this word of [`Self::as_str`] means.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disposition| disposition.as_str() == word)
    }

    /// The word that `status.json` uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Refused => "refused",
            Self::Misconfigured => "misconfigured",
            Self::Local => "local",
            Self::Broken => "broken",
        }
    }
}

/// At most `limit` characters of a text that somebody else wrote, control characters escaped, for messages.
#[must_use]
pub fn quote_foreign(text: &str, limit: usize) -> String {
    let mut quoted = String::new();
    for (index, character) in text.trim().chars().enumerate() {
        if index == limit {
            quoted.push_str("...");
            break;
        }
        if character.is_control() || is_invisible(character) {
            quoted.extend(character.escape_unicode());
        } else {
            quoted.push(character);
        }
    }
    quoted
}

/// Characters that reorder or hide text on a terminal without being control characters.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::quote_foreign;

    #[test]
    fn foreign_text_cannot_speak_to_the_terminal_and_is_bounded() {
        assert_eq!(quote_foreign(" a\u{1b}[2Jb\nc ", 20), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(quote_foreign("x\u{202e}y", 20), "x\\u{202e}y");
        assert_eq!(quote_foreign("abcdef", 3), "abc...");
        assert_eq!(quote_foreign("abc", 3), "abc");
    }
}
