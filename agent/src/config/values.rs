//! One setting that may come from the environment or from a profile, and the reading of plain values: booleans,
//! whole numbers, paths. Knows no particular key.

use std::path::{Path, PathBuf};

use super::document::Section;
use super::error::{ConfigError, Location};
use super::problem::Problem;
use crate::environment::Environment;

/// A value, the name it is written under, and its place.
#[derive(Clone)]
pub(crate) struct Setting<'a> {
    pub(crate) key: &'static str,
    pub(crate) value: &'a str,
    pub(crate) place: Location,
}

impl<'a> Setting<'a> {
    /// The environment variable where it is set and not empty, else the profile's key; the AWS SDKs' order.
    pub(crate) fn find(
        profile: &'a Section,
        environment: &'a Environment,
        variable: &'static str,
        key: &'static str,
    ) -> Option<Self> {
        Self::of_environment(profile, environment, variable).or_else(|| Self::of_profile(profile, key))
    }

    /// The environment variable; an error in it concerns `profile`, but stands in no file.
    pub(crate) fn of_environment(
        profile: &Section,
        environment: &'a Environment,
        variable: &'static str,
    ) -> Option<Self> {
        let place = Location { profile: Some(profile.name.clone()), ..Location::default() };
        environment.text(variable).map(|value| Self { key: variable, value, place })
    }

    /// The profile's key, also where its value is empty.
    pub(crate) fn of_profile(profile: &'a Section, key: &'static str) -> Option<Self> {
        profile.text(key).map(|value| Self { key, value, place: profile.at(key) })
    }

    /// That the value is not allowed: "`key` is `value`, `complaint`".
    pub(crate) fn error(&self, complaint: &'static str, write: &'static str) -> ConfigError {
        let problem = if self.value.contains('\n') {
            Problem::SeveralLines(self.key.to_owned())
        } else {
            Problem::Value { key: self.key, value: self.value.to_owned(), complaint, write }
        };
        ConfigError::new(self.place.clone(), problem)
    }

    /// `true` or `false`, in any letter case.
    pub(crate) fn boolean(&self) -> Result<bool, ConfigError> {
        match self.value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.error("neither `true` nor `false`", "write `true` or `false`")),
        }
    }

    /// A whole number in decimal digits, within `low` and `high`.
    pub(crate) fn number(
        &self,
        low: u32,
        high: u32,
        outside: &'static str,
        write: &'static str,
    ) -> Result<u32, ConfigError> {
        if self.value.is_empty() || !self.value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.error("not a whole number", write));
        }
        // Digits that overflow are still a number, and an outside one.
        let number = self.value.parse::<u32>().unwrap_or(u32::MAX);
        if (low..=high).contains(&number) { Ok(number) } else { Err(self.error(outside, write)) }
    }
}

/// A boolean that is off where nobody sets it.
pub(crate) fn flag(
    profile: &Section,
    environment: &Environment,
    variable: &'static str,
    key: &'static str,
) -> Result<bool, ConfigError> {
    Setting::find(profile, environment, variable, key).map_or(Ok(false), |setting| setting.boolean())
}

/// Whether a setting says `true`, in any letter case; the SDKs take every other value for no where they disable.
pub(crate) fn is_true(
    profile: &Section,
    environment: &Environment,
    variable: &'static str,
    key: &'static str,
) -> bool {
    Setting::find(profile, environment, variable, key)
        .is_some_and(|setting| setting.value.eq_ignore_ascii_case("true"))
}

/// `path` with `~` as its whole first component replaced by `HOME`; any other `~` is a file name like others.
///
/// # Errors
///
/// When it is needed and `HOME` is not set: guessing a home directory would read somebody else's file.
pub(crate) fn expand_home(path: &Path, environment: &Environment) -> Result<PathBuf, Problem> {
    let Ok(rest) = path.strip_prefix("~") else { return Ok(path.to_owned()) };
    let home = environment.os("HOME").ok_or_else(|| Problem::HomeUnset(path.to_owned()))?;
    Ok(Path::new(home).join(rest))
}
