//! The process environment, captured once. An empty value counts as unset, as in the AWS SDKs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// A snapshot of the environment variables. `Debug` shows names only, since values may be keys.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Captures the environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the process environment")]
    #[must_use]
    pub fn capture() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of `name` where it is set, not empty and valid UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.os(name)?.to_str()
    }

    /// Whether services may correct the time: the SDKs' variable opts out.
    #[must_use]
    pub fn corrects_clock(&self) -> bool {
        !self.is_true("AWS_DISABLE_CLOCK_SKEW_CORRECTION")
    }

    /// Whether `name` says `true` in any letter case; the SDKs take every other value for no.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether `name` is set, to nothing.
    #[must_use]
    pub fn is_empty(&self, name: &str) -> bool {
        self.0.get(OsStr::new(name)).is_some_and(|value| value.is_empty())
    }

    /// The value of `name` where it is set and not empty.
    #[must_use]
    pub fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_unset_and_debug_shows_no_value() {
        let environment: Environment =
            [("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_REGION", "")].into_iter().collect();
        assert_eq!(environment.text("AWS_REGION"), None);
        assert_eq!(environment.text("AWS_SECRET_ACCESS_KEY"), Some("hidden"));
        assert!(!format!("{environment:?}").contains("hidden"));
    }
}
