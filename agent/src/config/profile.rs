//! From the graph of profiles to one chain: a base source and the roles that are assumed from it. Knows which profile
//! leads where and what stops it; nothing of regions, endpoints or files.

use super::base::{base_source, credential_source, own_base, stands_alone, starts_here, static_keys};
use super::document::{Document, Section};
use super::error::ConfigError;
use super::keys::{KEYS, Key, PREFIX, Reach, State};
use super::limits::checked_role;
use super::model::{BaseSource, Role, RoleChain};
use super::problem::Problem;
use super::values::Setting;
use crate::environment::Environment;

/// Where the profile after this one is.
enum Source<'a> {
    Itself,
    Profile(&'a str),
    Base(Box<BaseSource>),
}

/// The chain of `selected`: the rules of the SDKs' shared profile tests.
///
/// A profile with a `role_arn` is a hop; the first profile's role wins over its own keys, and in every later one the
/// keys win and end the chain. A profile may name itself to use its own keys; any other repetition is a loop.
///
/// # Errors
///
/// Whatever keeps this profile from having credentials, at the profile where it stands.
pub(crate) fn resolve_chain(
    document: &Document,
    selected: &Section,
    environment: &Environment,
) -> Result<RoleChain, ConfigError> {
    let mut visited = vec![selected.name.as_str()];
    let mut roles: Vec<Role> = Vec::new();
    let mut profile = selected;
    let base = loop {
        refuse_lines(profile, visited.len() == 1)?;
        if !stands_alone(profile) {
            refuse_options_without_role(profile)?;
        }
        if visited.len() > 1
            && !stands_alone(profile)
            && let Some(keys) = static_keys(profile)?
        {
            break keys;
        }
        if profile.text("role_arn").is_none() || starts_here(profile) {
            break base_source(document, profile, environment)?;
        }
        refuse_later(profile, |key| key.reach == Reach::Hop)?;
        let source = source(profile, environment)?;
        roles.push(checked_role(profile)?);
        match source {
            Source::Base(base) => break *base,
            Source::Itself => {
                break own_base(profile, environment)?;
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

fn source<'p>(profile: &'p Section, environment: &Environment) -> Result<Source<'p>, ConfigError> {
    let named = Setting::of_profile(profile, "source_profile");
    let credential = Setting::of_profile(profile, "credential_source");
    match (named, credential) {
        (Some(_), Some(_)) => Err(profile.error("source_profile", Problem::TwoSources)),
        (None, None) => Err(profile.error("role_arn", Problem::RoleWithoutSource)),
        (None, Some(setting)) => {
            credential_source(profile, &setting, environment).map(|base| Source::Base(Box::new(base)))
        }
        (Some(setting), None) if setting.value.is_empty() => {
            Err(setting.error("", "write the name of a profile with credentials"))
        }
        (Some(setting), None) if setting.value == profile.name => Ok(Source::Itself),
        (Some(setting), None) => Ok(Source::Profile(setting.value)),
    }
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
