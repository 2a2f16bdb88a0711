//! From the graph of profiles to one chain: a base source and the roles that are assumed from it. Knows which profile
//! leads where and what stops it; nothing of regions, endpoints or files.

use super::document::{Document, Section};
use super::error::ConfigError;
use super::keys::{KEYS, Key, PREFIX, Reach, State};
use super::limits::checked_role;
use super::model::{BaseSource, Role, RoleChain};
use super::problem::Problem;
use super::values::Setting;
use crate::credentials::{Credentials, Secret};

const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const SESSION: &str = "aws_session_token";

/// The keys that make static credentials.
pub(crate) const STATIC_KEYS: [&str; 3] = [ID, SECRET, SESSION];

/// Where the profile after this one is.
enum Source<'a> {
    Itself,
    Profile(&'a str),
    Instance,
}

/// The chain of `selected`: the rules of the SDKs' shared profile tests.
///
/// A profile with a `role_arn` is a hop; the first profile's role wins over its own keys, and in every later one the
/// keys win and end the chain. A profile may name itself to use its own keys; any other repetition is a loop.
///
/// # Errors
///
/// Whatever keeps this profile from having credentials, at the profile where it stands.
pub(crate) fn resolve_chain(document: &Document, selected: &Section) -> Result<RoleChain, ConfigError> {
    let mut visited = vec![selected.name.as_str()];
    let mut roles: Vec<Role> = Vec::new();
    let mut profile = selected;
    let base = loop {
        refuse_lines(profile, visited.len() == 1)?;
        refuse_options_without_role(profile)?;
        if visited.len() > 1
            && let Some(keys) = static_keys(profile)?
        {
            break keys;
        }
        refuse_later(profile, |key| key.reach == Reach::Base && key.name.starts_with("rolekeeper_"))?;
        // A web identity needs its `role_arn` for itself: it is where a chain starts, not a hop.
        if profile.text("role_arn").is_none() || profile.text("web_identity_token_file").is_some() {
            break base_source(profile)?;
        }
        refuse_later(profile, |key| key.reach == Reach::Hop)?;
        let source = source(profile)?;
        roles.push(checked_role(profile)?);
        match source {
            Source::Instance => break BaseSource::Ec2InstanceMetadata,
            Source::Itself => {
                break match static_keys(profile)? {
                    Some(keys) => keys,
                    None => own_base(profile)?,
                };
            }
            Source::Profile(name) => {
                profile = document.profile(name).ok_or_else(|| {
                    let (near, unprefixed) = document.near(name);
                    let problem = Problem::UnknownSourceProfile { source: name.to_owned(), near, unprefixed };
                    profile.error("source_profile", problem)
                })?;
                visited.push(name);
                if let Some(start) = visited.iter().position(|seen| *seen == name)
                    && start.saturating_add(1) < visited.len()
                {
                    let names = visited.iter().skip(start).map(|&name| name.to_owned()).collect();
                    return Err(selected.error("source_profile", Problem::Loop(names)));
                }
            }
        }
    };
    // Collected from the role that is wanted back to the one that is assumed first.
    roles.reverse();
    Ok(RoleChain { base, roles })
}

fn source(profile: &Section) -> Result<Source<'_>, ConfigError> {
    let named = Setting::of_profile(profile, "source_profile");
    let credential = Setting::of_profile(profile, "credential_source");
    match (named, credential) {
        (Some(_), Some(_)) => Err(profile.error("source_profile", Problem::TwoSources)),
        (None, None) => Err(profile.error("role_arn", Problem::RoleWithoutSource)),
        (None, Some(setting)) => credential_source(&setting).map(|()| Source::Instance),
        (Some(setting), None) if setting.value.is_empty() => {
            Err(setting.error("", "write the name of a profile with credentials"))
        }
        (Some(setting), None) if setting.value == profile.name => Ok(Source::Itself),
        (Some(setting), None) => Ok(Source::Profile(setting.value)),
    }
}

/// Accepts the values that the table has as built, in any letter case as the Rust SDK does.
fn credential_source(setting: &Setting<'_>) -> Result<(), ConfigError> {
    let is_row = |key: &&Key| {
        key.name
            .strip_prefix("credential_source = ")
            .is_some_and(|value| value.eq_ignore_ascii_case(setting.value))
    };
    match KEYS.iter().find(is_row) {
        Some(Key { state: State::Built, .. }) => Ok(()),
        Some(key) => {
            Err(ConfigError::new(setting.place.clone(), Problem::SourceNotBuilt(key.name.to_owned())))
        }
        None => Err(setting.error(
            "neither `Ec2InstanceMetadata`, `EcsContainer` nor `Environment`",
            "write `credential_source = Ec2InstanceMetadata`",
        )),
    }
}

/// Where a chain starts in a profile that is no hop, in the order of the Rust SDK.
fn base_source(profile: &Section) -> Result<BaseSource, ConfigError> {
    if let Some(setting) = Setting::of_profile(profile, "credential_source") {
        return credential_source(&setting).map(|()| BaseSource::Ec2InstanceMetadata);
    }
    refuse_later(profile, |key| key.reach == Reach::Base)?;
    if let Some(keys) = static_keys(profile)? {
        return Ok(keys);
    }
    if profile.text("source_profile").is_some() {
        return Err(profile.error("source_profile", Problem::SourceWithoutRole));
    }
    Err(profile.error("", Problem::NoCredentials))
}

fn own_base(profile: &Section) -> Result<BaseSource, ConfigError> {
    refuse_later(profile, |key| key.reach == Reach::Base)?;
    Err(profile.error("source_profile", Problem::SelfWithoutKeys))
}

/// Refuses the first key, in the order of the table, that is recognised and not built.
pub(crate) fn refuse_later(profile: &Section, concerns: impl Fn(&Key) -> bool) -> Result<(), ConfigError> {
    for key in KEYS.iter().filter(|key| key.state != State::Built && concerns(key)) {
        if let Some(name) = profile.entries.keys().find(|name| key.matches(name)) {
            let problem = if key.reach == Reach::Base {
                Problem::SourceNotBuilt(name.clone())
            } else {
                Problem::NotBuilt(name.clone())
            };
            return Err(profile.error(name, problem));
        }
    }
    Ok(())
}

/// Refuses what narrows or marks a role's session where there is no role: whoever wrote it relies on it.
fn refuse_options_without_role(profile: &Section) -> Result<(), ConfigError> {
    let is_option = |name: &&String| {
        KEYS.iter().any(|key| key.reach == Reach::Hop && key.name.starts_with(PREFIX) && key.matches(name))
    };
    match profile.entries.keys().find(is_option) {
        Some(name) if profile.text("role_arn").is_none() => {
            Err(profile.error(name, Problem::OptionWithoutRole(name.clone())))
        }
        _ => Ok(()),
    }
}

/// Refuses a value of several lines in the keys that matter here: those of a selected profile, or of one it starts from.
fn refuse_lines(profile: &Section, selected: bool) -> Result<(), ConfigError> {
    let concerns =
        |key: &Key| key.state == State::Built && (selected || matches!(key.reach, Reach::Hop | Reach::Base));
    for (name, entry) in &profile.entries {
        // A policy is easier to read on several lines, and means the same.
        if entry.value.contains('\n')
            && name != "rolekeeper_policy"
            && KEYS.iter().any(|key| concerns(key) && key.matches(name))
        {
            return Err(profile.error(name, Problem::SeveralLines(name.clone())));
        }
    }
    Ok(())
}

/// The keys written in `profile`; `None` where no part of them is.
fn static_keys(profile: &Section) -> Result<Option<BaseSource>, ConfigError> {
    // `aws_session_token =` with nothing behind it is what tools leave behind, and means none.
    let part = |key: &'static str| profile.text(key).filter(|value| !value.is_empty());
    let half = |present: &str, missing| Err(profile.error(present, Problem::HalfOfKeys { missing }));
    let (id, secret) = match (part(ID), part(SECRET), part(SESSION)) {
        (None, None, None) => return Ok(None),
        (Some(id), Some(secret), _) => (id, secret),
        (Some(_), None, _) => return half(ID, SECRET),
        (None, Some(_), _) => return half(SECRET, ID),
        (None, None, Some(_)) => return half(SESSION, ID),
    };
    for key in STATIC_KEYS {
        if part(key).is_some_and(|value| !value.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(profile.error(key, Problem::MalformedKey(key)));
        }
    }
    let account = Setting::of_profile(profile, "aws_account_id");
    if let Some(setting) = &account
        && (setting.value.len() != 12 || !setting.value.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err(
            setting.error("not twelve digits", "write the twelve digits of the account, or leave it out")
        );
    }
    Ok(Some(BaseSource::StaticKeys {
        profile: profile.name.clone(),
        credentials: Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(secret.to_owned()),
            session_token: part(SESSION).map(|token| Secret::new(token.to_owned())),
        },
        account_id: account.map(|setting| setting.value.to_owned()),
    }))
}
