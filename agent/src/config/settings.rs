//! The agent's own keys: `[rolekeeper]` and the `rolekeeper_` keys that say how a profile is published and when it is
//! refreshed. Knows nothing of credentials.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::accounts::Accounts;
use super::document::{Document, Section};
use super::error::{ConfigError, Location};
use super::model::{Publication, RefreshSettings, WriteMode};
use super::values::{Setting, expand_home};
use crate::environment::Environment;

const CREDENTIALS_FILE: &str = "rolekeeper_credentials_file";

/// What `[rolekeeper]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSettings {
    /// `output_dir`, absolute; `None` means the default directory.
    pub output_dir: Option<PathBuf>,
    /// `managed`.
    pub managed: Managed,
    /// `serve`: where the daemon hands out credentials over HTTP, a loopback address; `None` means nowhere.
    pub serve: Option<SocketAddr>,
}

/// Which profiles are refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Managed {
    /// Every profile with a `role_arn`, and every other that says `rolekeeper_publish = true`.
    #[default]
    All,
    /// Only profiles that say `rolekeeper_publish = true`.
    Explicit,
}

impl Managed {
    /// Whether a profile is managed that has a role or not, and says `rolekeeper_publish` or does not.
    pub(crate) fn includes(self, has_role: bool, publish: Option<bool>) -> bool {
        publish.unwrap_or(self == Self::All && has_role)
    }
}

/// Reads `[rolekeeper]`.
///
/// # Errors
///
/// A value that its key does not allow.
pub(crate) fn agent_settings(
    document: &Document,
    environment: &Environment,
) -> Result<AgentSettings, ConfigError> {
    let Some(section) = &document.agent else { return Ok(AgentSettings::default()) };
    let unprofiled = |location: Location| Location { profile: None, ..location };
    let find = |key| {
        Setting::of_profile(section, key)
            .map(|setting| Setting { place: unprofiled(setting.place.clone()), ..setting })
    };
    let managed = match find("managed") {
        None => Managed::All,
        Some(setting) => match setting.value.to_ascii_lowercase().as_str() {
            "all" => Managed::All,
            "explicit" => Managed::Explicit,
            _ => {
                return Err(setting
                    .error("neither `all` nor `explicit`", "write `managed = all` or `managed = explicit`"));
            }
        },
    };
    let output_dir = find("output_dir").map(|setting| absolute(&setting, environment)).transpose()?;
    let serve = find("serve").map(|setting| loopback(&setting)).transpose()?;
    Ok(AgentSettings { output_dir, managed, serve })
}

/// The address that `setting` gives: one that no other host can reach, and a port.
fn loopback(setting: &Setting<'_>) -> Result<SocketAddr, ConfigError> {
    const WRITE: &str = "write `serve = 127.0.0.1:PORT` or `serve = [::1]:PORT`";
    let Ok(address) = setting.value.parse::<SocketAddr>() else {
        return Err(setting.error("not an address and a port", WRITE));
    };
    let port = address.port();
    let loopback: [SocketAddr; 2] = [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    if !loopback.contains(&address) {
        return Err(setting.error("which is not the loopback address", WRITE));
    }
    if port == 0 {
        return Err(setting.error("whose port nobody would know", WRITE));
    }
    Ok(address)
}

/// The path that `setting` gives, `~` expanded.
///
/// # Errors
///
/// When it is not absolute: a service's working directory is nothing that a configuration could mean.
pub(crate) fn absolute(setting: &Setting<'_>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    let path = expand_home(Path::new(setting.value), environment)
        .map_err(|problem| ConfigError::new(setting.place.clone(), problem))?;
    if path.is_absolute() && !setting.value.contains(['\n', '\0']) {
        Ok(path)
    } else {
        Err(setting.error("not an absolute path", "write the path from `/` on"))
    }
}

/// Whether `profile` says `rolekeeper_publish`, and what.
pub(crate) fn publish(profile: &Section) -> Result<Option<bool>, ConfigError> {
    Setting::of_profile(profile, "rolekeeper_publish").map(|setting| setting.boolean()).transpose()
}

/// Reads how `profile` is published.
///
/// # Errors
///
/// A value that its key does not allow, and accounts that do not exist or must not be used.
pub(crate) fn publication(
    profile: &Section,
    accounts: &Accounts<'_>,
    environment: &Environment,
) -> Result<Publication, ConfigError> {
    let find = |key| Setting::of_profile(profile, key);
    let credential_process = find("rolekeeper_credential_process");
    if let Some(setting) = &credential_process
        && (setting.value.is_empty() || setting.value.contains(char::is_control))
    {
        return Err(setting.error("not one line of text", "write the command and its arguments on one line"));
    }
    Ok(Publication {
        owner: find("rolekeeper_owner").map(|setting| accounts.user(&setting)).transpose()?,
        group: find("rolekeeper_group").map(|setting| accounts.group(&setting)).transpose()?,
        mode: find("rolekeeper_mode").map_or(Ok(0o600), |setting| mode(&setting))?,
        credential_process: credential_process.map(|setting| setting.value.to_owned()),
        credentials_file: credentials_file(profile, environment)?,
        write_mode: find("rolekeeper_write_mode").map_or(Ok(WriteMode::Rename), |setting| {
            match setting.value {
                "rename" => Ok(WriteMode::Rename),
                "in-place" => Ok(WriteMode::InPlace),
                _ => Err(setting.error(
                    "neither `rename` nor `in-place`",
                    "write `rolekeeper_write_mode = in-place`, or leave it out",
                )),
            }
        })?,
    })
}

/// The file that others own too and that `profile` is merged into.
///
/// # Errors
///
/// When it is no absolute name of a file, or one of the files that the profile comes from, or when the profile's name
/// cannot be a section of such a file.
fn credentials_file(profile: &Section, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    let Some(setting) = Setting::of_profile(profile, CREDENTIALS_FILE) else { return Ok(None) };
    let path = absolute(&setting, environment)?;
    if setting.value.ends_with('/') || path.file_name().is_none() {
        return Err(setting.error("a directory", "write the path of a file"));
    }
    if profile.file.as_deref() == Some(path.as_path())
        || setting.place.file.as_deref() == Some(path.as_path())
    {
        return Err(setting.error("the configuration itself", "write the path of a credentials file"));
    }
    // botocore takes the keys of this one section for defaults of all the others.
    if profile.name == "DEFAULT" {
        return Err(setting.error(
            "in a profile whose name means all profiles there",
            "give the profile another name than `DEFAULT`",
        ));
    }
    Ok(Some(path))
}

/// Whether the keys that `file` holds for `profile` are what the agent itself has merged there.
pub(crate) fn is_merged_into(profile: &Section, file: &Path, environment: &Environment) -> bool {
    let setting = Setting::of_profile(profile, CREDENTIALS_FILE);
    let Some(target) = setting.and_then(|setting| absolute(&setting, environment).ok()) else { return false };
    let same = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    target == file || same(&target).is_ok_and(|one| same(file).is_ok_and(|other| one == other))
}

fn mode(setting: &Setting<'_>) -> Result<u32, ConfigError> {
    const WRITE: &str = "write `0600`, `0640` or `0440`";
    let digits = setting.value.strip_prefix("0o").unwrap_or(setting.value);
    let mode = u32::from_str_radix(digits, 8)
        .ok()
        .filter(|_| matches!(digits.len(), 3 | 4) && !digits.starts_with('+'));
    match mode {
        None => Err(setting.error("not a mode of three or four octal digits", WRITE)),
        Some(mode) if mode & 0o400 == 0 => Err(setting.error("which keeps the owner from reading", WRITE)),
        Some(mode) if mode & 0o022 != 0 => Err(setting.error("which lets others write", WRITE)),
        Some(mode) if mode & !0o644 != 0 => {
            Err(setting.error("which has bits that no credentials file needs", WRITE))
        }
        Some(mode) => Ok(mode),
    }
}

/// Reads when `profile` is refreshed.
///
/// # Errors
///
/// A value that its key does not allow.
pub(crate) fn refresh(profile: &Section) -> Result<RefreshSettings, ConfigError> {
    let find = |key| Setting::of_profile(profile, key);
    let percent = find("rolekeeper_refresh_after_percent").map_or(Ok(50), |setting| {
        setting.number(
            10,
            90,
            "outside 10 to 90",
            "write `rolekeeper_refresh_after_percent = 50`, or leave it out",
        )
    })?;
    let margin = find("rolekeeper_margin_seconds").map_or(Ok(20 * 60), |setting| {
        setting.number(
            0,
            43200,
            "outside 0 to 43200",
            "write `rolekeeper_margin_seconds = 1200`, or leave it out",
        )
    })?;
    Ok(RefreshSettings {
        after_percent: u8::try_from(percent).unwrap_or(50),
        margin: Duration::from_secs(margin.into()),
    })
}
