//! The configuration: from files, environment and command line to profiles that are already checked.
//!
//! [`Config::load`] fails for what concerns the whole file; anything else is one profile's own error and leaves the
//! others alone. Nothing here contacts a network or writes a file.

mod accounts;
mod advice;
mod assemble;
mod base;
mod command_line;
mod container;
mod device;
mod document;
pub mod endpoint;
pub mod error;
mod imds;
mod ineffective;
mod ini;
mod kept;
pub(crate) mod keys;
mod limits;
mod locate;
pub mod model;
mod names;
pub mod partition;
pub mod problem;
mod profile;
pub(crate) mod read;
mod rotate;
mod session;
mod settings;
pub mod trust;
pub(crate) mod url;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::command_line::CommandLineProfile;
pub(crate) use self::container::is_header;
pub use self::error::{ConfigError, Location, Warning};
pub use self::locate::PUBLISHED_MARKER;
pub(crate) use self::locate::{Texts, read_input};
pub use self::settings::{AgentSettings, Managed};

use self::accounts::Accounts;
use self::assemble::Assembly;
use self::document::{Document, FileKind, Section};
use self::locate::Text;
use self::model::Profile;
use self::problem::Problem;
use crate::environment::Environment;

/// What decides which files are read and how far they are believed.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// A profile described on the command line; then no file is read.
    pub command_line: Option<CommandLineProfile>,
    /// Whether the process is root: then files that others can change are refused.
    pub is_root: bool,
    /// The configuration of the host: `/etc/rolekeeper/config`.
    pub system_config: PathBuf,
    /// The user database: `/etc/passwd`.
    pub passwd: PathBuf,
    /// The group database: `/etc/group`.
    pub group: PathBuf,
}

impl LoadOptions {
    /// The usual places, for a process that is or is not root.
    #[must_use]
    pub fn new(is_root: bool) -> Self {
        Self {
            config: None,
            command_line: None,
            is_root,
            system_config: PathBuf::from("/etc/rolekeeper/config"),
            passwd: PathBuf::from("/etc/passwd"),
            group: PathBuf::from("/etc/group"),
        }
    }
}

/// A loaded configuration.
#[derive(Debug)]
pub struct Config {
    /// What `[rolekeeper]` says.
    pub settings: AgentSettings,
    /// What works, but probably not as its author expects.
    pub warnings: Vec<Warning>,
    file: Option<Arc<Path>>,
    document: Arc<Document>,
    environment: Environment,
    options: LoadOptions,
    managed: Vec<ManagedProfile>,
}

/// One managed profile: ready, or the reason why it is not.
#[derive(Debug)]
pub struct ManagedProfile {
    /// The name in `[profile NAME]`.
    pub name: String,
    /// The profile, checked; an error concerns this profile and no other.
    pub outcome: Result<Profile, ConfigError>,
}

impl Config {
    /// Finds, reads and checks the configuration.
    ///
    /// # Errors
    ///
    /// When no file is found or one cannot be read or trusted; a line that follows no rule; anything wrong in
    /// `[rolekeeper]`; a `rolekeeper_` key that does not exist.
    pub fn load(options: &LoadOptions, environment: &Environment) -> Result<Self, ConfigError> {
        Self::read(options, environment).map(|(config, _)| config)
    }

    /// Like [`Self::load`], with the texts that it was made of.
    pub(crate) fn read(
        options: &LoadOptions,
        environment: &Environment,
    ) -> Result<(Self, Texts), ConfigError> {
        let mut warnings = Vec::new();
        let texts = match (&options.command_line, &options.config) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::new(Location::default(), Problem::FileAndCommandLine));
            }
            (Some(_), None) => Texts::default(),
            (None, _) => match locate::find(options, environment, &mut warnings) {
                Err(error)
                    if matches!(error.problem(), Problem::NothingFound { .. })
                        && environment.text(command_line::TOKEN_FILE).is_some() =>
                {
                    Texts::default()
                }
                outcome => outcome?,
            },
        };
        let mut config = Self::from_texts(&texts, options, environment)?;
        warnings.append(&mut config.warnings);
        config.warnings = warnings;
        Ok((config, texts))
    }

    /// The configuration that was once made of `texts`, whatever the files say meanwhile.
    pub(crate) fn from_texts(
        texts: &Texts,
        options: &LoadOptions,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        let document = match (&options.command_line, texts) {
            (Some(given), _) => command_line::document(given, environment)?,
            // There are no files, and the environment describes the profile.
            (None, Texts { config: None, credentials: None }) => {
                command_line::document(&CommandLineProfile::default(), environment)?
            }
            (None, _) => document_of(texts, environment, &mut warnings)?,
        };
        let settings = settings::agent_settings(&document, environment)?;
        let mut config = Self {
            settings,
            warnings,
            file: texts.config.as_ref().map(|text| Arc::clone(&text.file)),
            document: Arc::new(document),
            environment: environment.clone(),
            options: options.clone(),
            managed: Vec::new(),
        };
        config.assemble_managed();
        Ok(config)
    }

    /// The config file that was read; none where the command line describes the profile.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The managed profiles in the order of the file.
    #[must_use]
    pub fn profiles(&self) -> &[ManagedProfile] {
        &self.managed
    }

    /// The same configuration, with the files that its profiles name read again; `None` where they name none.
    #[must_use]
    pub fn read_again(&self) -> Option<Self> {
        let names_file = |section: &Section| section.text("rolekeeper_policy_file").is_some();
        if !self.document.profiles.iter().any(names_file) {
            return None;
        }
        let mut config = Self {
            settings: self.settings.clone(),
            warnings: Vec::new(),
            file: self.file.clone(),
            document: Arc::clone(&self.document),
            environment: self.environment.clone(),
            options: self.options.clone(),
            managed: Vec::new(),
        };
        config.assemble_managed();
        Some(config)
    }

    /// The managed profiles called `names`, in that order and each once; all where `names` is empty.
    ///
    /// # Errors
    ///
    /// The first name that is no profile, or one that is not managed.
    pub fn select(&self, names: &[String]) -> Result<Vec<&ManagedProfile>, ConfigError> {
        if names.is_empty() {
            return Ok(self.managed.iter().collect());
        }
        let mut selected: Vec<&ManagedProfile> = Vec::new();
        for name in names {
            if selected.iter().any(|profile| profile.name == *name) {
                continue;
            }
            let found = self.managed.iter().find(|profile| profile.name == *name);
            selected.push(found.ok_or_else(|| match self.section(name) {
                Ok(section) => self.not_managed(section),
                Err(error) => error,
            })?);
        }
        Ok(selected)
    }

    /// The profile `name`, managed or not.
    ///
    /// # Errors
    ///
    /// When there is no such profile, or it cannot be used.
    pub fn resolve(&self, name: &str) -> Result<Profile, ConfigError> {
        self.assembly().profile(self.section(name)?)
    }

    fn section(&self, name: &str) -> Result<&Section, ConfigError> {
        self.document.profile(name).ok_or_else(|| {
            let (near, unprefixed) = self.document.near(name);
            let location = Location { profile: Some(name.to_owned()), ..Location::default() };
            ConfigError::new(location, Problem::NoSuchProfile { near, unprefixed })
        })
    }

    fn not_managed(&self, section: &Section) -> ConfigError {
        let write = if section.text("rolekeeper_publish").is_some() {
            "write `rolekeeper_publish = true` instead of `false`"
        } else {
            "write `rolekeeper_publish = true` in the profile"
        };
        section.error("rolekeeper_publish", Problem::NotManaged { write })
    }

    fn assembly(&self) -> Assembly<'_> {
        Assembly {
            document: &self.document,
            environment: &self.environment,
            region: self.options.command_line.as_ref().and_then(|given| given.region.as_deref()),
            accounts: Accounts { passwd: &self.options.passwd, group: &self.options.group },
            is_root: self.options.is_root,
        }
    }

    fn assemble_managed(&mut self) {
        let mut warnings = Vec::new();
        let mut managed = Vec::new();
        for section in &self.document.profiles {
            let outcome = match settings::publish(section) {
                Ok(publish)
                    if !self.settings.managed.includes(section.text("role_arn").is_some(), publish) =>
                {
                    continue;
                }
                Ok(_) => self.assembly().profile(section),
                Err(error) => Err(error),
            };
            assemble::warn_of_slips(section, &mut warnings);
            if let Ok(profile) = &outcome {
                assemble::warn(&self.document, profile, &mut warnings);
                ineffective::warn(&self.document, profile, &mut warnings);
            }
            managed.push(ManagedProfile { name: section.name.clone(), outcome });
        }
        self.managed = managed;
        self.warnings.append(&mut warnings);
    }
}

fn document_of(
    texts: &Texts,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<Document, ConfigError> {
    let mut document = Document::default();
    for (text, kind) in [(&texts.config, FileKind::Config), (&texts.credentials, FileKind::Credentials)] {
        let Some(Text { file, text }) = text else { continue };
        let bare = text.strip_prefix('\u{feff}').unwrap_or_else(|| text.as_str());
        if bare.len() != text.len() {
            // Harmless here, and editors add it unseen; but the file is meant to serve the AWS CLI too.
            let text = "the file begins with a byte order mark, which the AWS CLI refuses".to_owned();
            warnings.push(Warning { location: Location::in_file(file), text });
        }
        let mut sections = ini::parse(bare).map_err(|error| {
            let location = Location { line: Some(error.line), ..Location::in_file(file) };
            ConfigError::new(location, Problem::Syntax(error.problem))
        })?;
        if kind == FileKind::Credentials {
            forget_own_output(&document, &mut sections, file, environment);
        }
        document.add(sections, kind, file, warnings)?;
    }
    Ok(document)
}

/// What the agent has merged into the credentials file is not taken as input: a chain that starts there would feed
/// on itself.
fn forget_own_output(
    document: &Document,
    sections: &mut [ini::Section],
    file: &Path,
    environment: &Environment,
) {
    for section in sections {
        let profile = document.profile(&section.title);
        if profile.is_some_and(|profile| settings::is_merged_into(profile, file, environment)) {
            section.properties.retain(|property| !base::STATIC_KEYS.contains(&property.key.as_str()));
        }
    }
}
