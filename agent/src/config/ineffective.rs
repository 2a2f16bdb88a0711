//! Keys that say nothing where they stand: another one goes first, or AWS takes no such parameter there. AWS's tools pass
//! over them in silence; here their author is told. What would change the outcome is refused elsewhere.

use super::base::{ASSERTION, PROCESS, WEB_IDENTITY, stands_alone, static_keys};
use super::document::{Document, Section};
use super::error::Warning;
use super::model::Profile;

const SOURCE_PROFILE: &str = "source_profile";
const KEYS: &str = "aws_access_key_id";
const FALLBACK: &str = "rolekeeper_sts_fallback_regions";
const HOOK: &str = "rolekeeper_on_rotate";
const HOOK_TIMEOUT: &str = "rolekeeper_on_rotate_timeout_seconds";

/// Where the credentials of a profile may come from in AWS's words, and the first goes first; then what describes the
/// session of a role.
const JUDGED: [&str; 13] = [
    WEB_IDENTITY,
    SOURCE_PROFILE,
    "credential_source",
    PROCESS,
    KEYS,
    "sso_session",
    "sso_start_url",
    "login_session",
    "duration_seconds",
    "external_id",
    "mfa_serial",
    "role_session_name",
    "role_arn",
];
/// So many of them are sources.
const SOURCES: usize = 8;

/// Warns of the ineffective keys in the profiles that the chain of `profile` goes through.
pub(crate) fn warn(document: &Document, profile: &Profile, warnings: &mut Vec<Warning>) {
    let mut next = document.profile(&profile.name);
    let mut is_first = true;
    while let Some(section) = next {
        let mut warn = |key: &str, text| {
            let warning = Warning { location: section.at(key), text };
            // Several profiles may start from the same one.
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        };
        if is_first {
            let asks_sts = profile.chain.base.first_role().is_some() || !profile.chain.roles.is_empty();
            for (key, needed, is_met) in
                [(FALLBACK, "role_arn", asks_sts), (HOOK_TIMEOUT, HOOK, has(section, HOOK))]
            {
                if has(section, key) && !is_met {
                    warn(key, format!("`{key}` is ignored without `{needed}`; add that, or leave it out"));
                }
            }
        }
        let taken = taken(section, is_first);
        for (index, key) in JUDGED.iter().enumerate() {
            if has(section, key)
                && let Some(text) = why_ignored(section, key, index < SOURCES, taken, is_first)
            {
                warn(key, text);
            }
        }
        let source = section.text(SOURCE_PROFILE).filter(|_| taken == SOURCE_PROFILE);
        next = source.and_then(|name| document.profile(name));
        is_first = false;
    }
}

fn has(section: &Section, key: &str) -> bool {
    section.text(key).is_some_and(|value| !value.is_empty())
}

fn starts_from_itself(section: &Section) -> bool {
    section.text(SOURCE_PROFILE) == Some(section.name.as_str())
}

/// The key that says where the credentials of `section`, which can be resolved, come from.
fn taken(section: &Section, is_first: bool) -> &'static str {
    if stands_alone(section) {
        return ASSERTION;
    }
    if !is_first && matches!(static_keys(section), Ok(Some(_))) {
        return KEYS;
    }
    if starts_from_itself(section) && section.text(WEB_IDENTITY).is_none() {
        return if has(section, KEYS) { KEYS } else { PROCESS };
    }
    let counts = |key: &&&str| has(section, key) && (**key != SOURCE_PROFILE || has(section, "role_arn"));
    JUDGED.iter().take(SOURCES).find(counts).copied().unwrap_or(KEYS)
}

/// Why `key`, which is there, has no effect; `None` where it has one.
fn why_ignored(section: &Section, key: &str, is_source: bool, taken: &str, is_first: bool) -> Option<String> {
    let has = |key| has(section, key);
    if !has("role_arn") && (!is_source || key == SOURCE_PROFILE) {
        let instead = match key {
            _ if !stands_alone(section) => "write `role_arn`, or ",
            "duration_seconds" if has("rolekeeper_roles_anywhere_role_arn") => {
                "write `rolekeeper_roles_anywhere_duration_seconds`, or "
            }
            "role_session_name" if has("rolekeeper_roles_anywhere_role_arn") => {
                "write `rolekeeper_roles_anywhere_session_name`, or "
            }
            _ => "",
        };
        return Some(format!("`{key}` is ignored without `role_arn`; {instead}leave it out"));
    }
    let is_passed_over = !is_first && taken == KEYS && key != KEYS;
    // With the role goes all that is said of it.
    if is_passed_over && has("role_arn") && key != "role_arn" {
        return None;
    }
    if is_passed_over {
        return Some(format!(
            "`{key}` is ignored where this profile is a `source_profile`, because `{KEYS}` goes first; leave one of \
             them out"
        ));
    }
    if is_source && key != taken && !(key == SOURCE_PROFILE && starts_from_itself(section)) {
        return Some(format!("`{key}` is ignored, because `{taken}` goes first; leave one of them out"));
    }
    let is_of_signed_calls = matches!(key, "external_id" | "mfa_serial");
    // A SAML response names its session itself.
    let is_taken_by_none = match taken {
        ASSERTION => is_of_signed_calls || key == "role_session_name",
        _ => is_of_signed_calls && taken == WEB_IDENTITY,
    };
    is_taken_by_none
        .then(|| format!("`{key}` is ignored, because STS takes none with `{taken}`; leave it out"))
}
