//! Which files are read: the search order of the configuration, the credentials file beside it, and what makes a file
//! unfit to be read at all. Knows nothing of syntax.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::LoadOptions;
use super::error::{ConfigError, Location, Warning};
use super::problem::Problem;
use super::read::{ReadError, read_text};
use super::trust::{self, TrustError};
use super::values::expand_home;
use crate::environment::Environment;

/// How the first line of every file that the agent publishes begins.
pub const PUBLISHED_MARKER: &str = "# Published by rolekeeper";

/// A file's name, as it was named, and its text.
pub(crate) struct Text {
    pub(crate) file: Arc<Path>,
    pub(crate) text: Zeroizing<String>,
}

/// The texts of the one or two files that make a configuration; none where the command line describes the profile.
#[derive(Default)]
pub(crate) struct Texts {
    pub(crate) config: Option<Text>,
    pub(crate) credentials: Option<Text>,
}

/// Finds and reads the files.
///
/// # Errors
///
/// When a file that was named is absent, when none is found, and when one that is there cannot be used.
pub(crate) fn find(
    options: &LoadOptions,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<Texts, ConfigError> {
    let named = options.config.as_deref().or_else(|| environment.os("ROLEKEEPER_CONFIG").map(Path::new));
    let (place, config) = if let Some(named) = named {
        let place = expand(named, environment)?;
        let Some(text) = read(&place, options.is_root)? else {
            return Err(ConfigError::new(Location::in_file(&place.into()), Problem::Missing));
        };
        (place, Some(text))
    } else {
        search(options, environment)?
    };
    if let Some(text) = &config
        && is_published(text)
    {
        return Err(ConfigError::new(Location::in_file(&text.file), Problem::PublishedByUs));
    }
    let credentials = credentials(&place, options, environment, warnings)?;
    if config.is_none() && credentials.is_none() {
        return Err(nothing_found(options, environment));
    }
    Ok(Texts { config, credentials })
}

/// The first file there is, and its place; the last place where there is none.
fn search(options: &LoadOptions, environment: &Environment) -> Result<(PathBuf, Option<Text>), ConfigError> {
    if let Some(text) = read(&options.system_config, options.is_root)? {
        return Ok((options.system_config.clone(), Some(text)));
    }
    // Root's own files under HOME belong to whoever logs in as root; a service is configured in /etc.
    if options.is_root {
        return Err(nothing_found(options, environment));
    }
    let place = match environment.os("AWS_CONFIG_FILE") {
        Some(file) => expand(Path::new(file), environment)?,
        None => expand_home(Path::new("~/.aws/config"), environment)
            .map_err(|_| nothing_found(options, environment))?,
    };
    let text = read(&place, false)?;
    Ok((place, text))
}

fn nothing_found(options: &LoadOptions, environment: &Environment) -> ConfigError {
    let mut looked = vec![format!("`{}`", options.system_config.display())];
    if !options.is_root {
        looked.push(match environment.os("AWS_CONFIG_FILE") {
            Some(file) => format!("`{}`", Path::new(file).display()),
            None if environment.os("HOME").is_some() => "`~/.aws/config`".to_owned(),
            None => "`~/.aws/config` (`HOME` is not set)".to_owned(),
        });
    }
    ConfigError::new(Location::default(), Problem::NothingFound { looked })
}

fn credentials(
    config: &Path,
    options: &LoadOptions,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Text>, ConfigError> {
    let named = environment.os("AWS_SHARED_CREDENTIALS_FILE");
    let place = match named {
        Some(file) => expand(Path::new(file), environment)?,
        None => config.with_file_name("credentials"),
    };
    // A configuration that is itself called `credentials` has none beside it.
    if place == config {
        return Ok(None);
    }
    let mut warn = |text: &str| {
        let location = Location::in_file(&place.as_path().into());
        warnings.push(Warning { location, text: text.to_owned() });
    };
    match read(&place, options.is_root)? {
        Some(text) if is_published(&text) => {
            warn("ignored as a source of keys, because rolekeeper itself published this file");
            Ok(None)
        }
        None if named.is_some() => {
            warn("the file that `AWS_SHARED_CREDENTIALS_FILE` names does not exist");
            Ok(None)
        }
        found => Ok(found),
    }
}

fn expand(path: &Path, environment: &Environment) -> Result<PathBuf, ConfigError> {
    expand_home(path, environment).map_err(|problem| ConfigError::new(Location::default(), problem))
}

/// The text of `place`, a file that a base source takes its proof of identity from.
///
/// # Errors
///
/// When there is none, and when it cannot be read or, run as root, not be trusted.
pub(crate) fn read_input(place: &Path) -> Result<Zeroizing<String>, ConfigError> {
    match read(place, nix::unistd::geteuid().is_root())? {
        Some(text) => Ok(text.text),
        None => Err(ConfigError::new(Location::in_file(&place.into()), Problem::Missing)),
    }
}

/// The text of `place`; `None` where there is no such file.
fn read(place: &Path, is_root: bool) -> Result<Option<Text>, ConfigError> {
    read_for(place, is_root, None)
}

/// The text of a file that `profile` names, or of a whole configuration; `None` where there is no such file.
///
/// # Errors
///
/// When it cannot be read, or, by root, believed.
pub(crate) fn read_for(
    place: &Path,
    is_root: bool,
    profile: Option<&str>,
) -> Result<Option<Text>, ConfigError> {
    let file: Arc<Path> = place.into();
    let refuse = |problem, line| {
        let profile = profile.map(str::to_owned);
        Err(ConfigError::new(Location { line, profile, ..Location::in_file(&file) }, problem))
    };
    let absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let trusted = if is_root && place != Path::new("/dev/null") {
        // Most hosts have no credentials file; the way to a file that is not there need not be walked.
        if std::fs::symlink_metadata(place).is_err_and(|cause| absent(cause.kind())) {
            return Ok(None);
        }
        match trust::check(place) {
            Ok(trusted) => trusted,
            Err(TrustError::Untrusted(untrusted)) => return refuse(Problem::Untrusted(untrusted), None),
            Err(TrustError::Unreadable(cause)) if absent(cause.kind()) => return Ok(None),
            Err(TrustError::Unreadable(cause)) => return refuse(Problem::Unreadable(cause), None),
        }
    } else {
        place.to_owned()
    };
    match read_text(&trusted) {
        Ok(text) => Ok(Some(Text { file, text })),
        Err(ReadError::Absent) => Ok(None),
        Err(ReadError::Other(problem, line)) => refuse(problem, line),
    }
}

fn is_published(text: &Text) -> bool {
    text.text.strip_prefix('\u{feff}').unwrap_or(&text.text).starts_with(PUBLISHED_MARKER)
}
