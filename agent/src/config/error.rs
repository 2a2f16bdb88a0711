//! What can be wrong with a configuration, and where. Knows the wording of places; the wording of problems and of
//! advice is in `problem.rs`.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::problem::Problem;

/// A place in the configuration; what is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: Option<Arc<Path>>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The profile concerned.
    pub profile: Option<String>,
}

impl Location {
    /// A whole file.
    #[must_use]
    pub fn in_file(file: &Arc<Path>) -> Self {
        Self { file: Some(Arc::clone(file)), ..Self::default() }
    }
}

impl fmt::Display for Location {
    /// The place as a prefix, with its own `: ` where there is anything to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", Shown(&file.to_string_lossy()))?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        self.profile.as_ref().map_or(Ok(()), |profile| write!(f, "profile `{}`: ", Shown(profile)))
    }
}

/// Why a configuration, or one of its profiles, cannot be used.
///
/// `Display` gives the place and what is wrong in one line, [`ConfigError::advice`] what to write instead.
#[derive(Clone)]
pub struct ConfigError(Arc<(Location, Problem)>);

impl ConfigError {
    /// States `problem` at `location`.
    #[must_use]
    pub fn new(location: Location, problem: Problem) -> Self {
        Self(Arc::new((location, problem)))
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.0.0
    }

    /// What it is.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0.1
    }

    /// One sentence on what to write or do instead, where there is one.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        self.0.1.advice()
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigError").field("location", &self.0.0).field("problem", &self.0.1).finish()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.0, self.0.1)
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.1.cause()
    }
}

/// Something that works, but probably not as its author expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it is.
    pub location: Location,
    /// What it is and what to do, in one line.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.location, self.text)
    }
}

/// Text from outside as a message shows it: control characters escaped, long text cut.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 200;
        for character in self.0.chars().take(LONGEST) {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        if self.0.chars().nth(LONGEST).is_some() { f.write_str("...") } else { Ok(()) }
    }
}
