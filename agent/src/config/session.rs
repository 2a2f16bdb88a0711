//! What a profile asks for in the session of its role beyond the role itself: policies that narrow it, tags, a source
//! identity. Checked against the STS API model and IAM's rules for tags before anything is sent; what one hop hands
//! down to the next is checked along the chain.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::document::{Document, Section};
use super::error::{ConfigError, Location};
use super::limits::is_text;
use super::locate::read_for;
use super::model::{RoleChain, SessionPolicies};
use super::partition::Partition;
use super::problem::Problem;
use super::settings::absolute;
use super::values::Setting;
use crate::environment::Environment;

const POLICY: &str = "rolekeeper_policy";
const POLICY_FILE: &str = "rolekeeper_policy_file";
const POLICY_ARNS: &str = "rolekeeper_policy_arns";
const TAGS: &str = "rolekeeper_tags";
const TRANSITIVE_TAGS: &str = "rolekeeper_transitive_tags";
const SOURCE_IDENTITY: &str = "rolekeeper_source_identity";

/// What we alone know, and `AssumeRoleWithWebIdentity` and `AssumeRoleWithSAML` have no parameter for.
const OF_SIGNED_CALLS: [&str; 3] = [TAGS, TRANSITIVE_TAGS, SOURCE_IDENTITY];

/// Of all session policies together, in characters: the text of the inline one and the ARNs of the others.
const LONGEST_POLICIES: usize = 2048;
const MOST_POLICY_ARNS: usize = 10;
const MOST_TAGS: usize = 50;

const WRITE_POLICY: &str = "write a policy as JSON: `{\"Version\": \"2012-10-17\", \"Statement\": [...]}`";
const WRITE_TAGS: &str = "write `KEY=VALUE, KEY=VALUE`";

/// How a profile's policy file is found and believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) environment: &'a Environment,
    /// Whether files that others can change are refused.
    pub(crate) is_root: bool,
}

/// Reads the options of every role, each from its own profile, and checks what is handed down from hop to hop.
///
/// # Errors
///
/// The first option that STS would refuse.
pub(crate) fn add_options(
    document: &Document,
    chain: &mut RoleChain,
    surroundings: Surroundings<'_>,
) -> Result<(), ConfigError> {
    if let Some(role) = chain.base.first_role_mut()
        && let Some(profile) = document.profile(&role.profile)
    {
        if let Some(key) = OF_SIGNED_CALLS.iter().find(|key| profile.text(key).is_some()) {
            return Err(profile.error(key, Problem::BesideIdentity((*key).to_owned())));
        }
        role.policies = policies(profile, &role.role_arn, surroundings)?;
    }
    let mut passed_on: Vec<String> = Vec::new();
    let mut identity: Option<String> = None;
    for role in &mut chain.roles {
        let Some(profile) = document.profile(&role.profile) else { continue };
        role.policies = policies(profile, &role.role_arn, surroundings)?;
        role.tags = tags(profile)?;
        role.transitive_tags = transitive_tags(profile, &role.tags, &passed_on)?;
        if role.tags.iter().any(|(key, _)| holds(&passed_on, key)) {
            return Err(profile.error(TAGS, Problem::HandedDown("a tag")));
        }
        passed_on.extend(role.transitive_tags.iter().cloned());
        role.source_identity = source_identity(profile)?;
        if let (Some(own), Some(earlier)) = (&role.source_identity, &identity)
            && own != earlier
        {
            return Err(profile.error(SOURCE_IDENTITY, Problem::HandedDown("the source identity")));
        }
        identity = identity.or_else(|| role.source_identity.clone());
    }
    Ok(())
}

/// The session policies that `profile` asks for in a session of `role_arn`.
///
/// # Errors
///
/// A policy that is no JSON object, ARNs of other things or of policies out of the role's reach, and too much of them;
/// a policy file that cannot be read or believed.
pub(crate) fn policies(
    profile: &Section,
    role_arn: &str,
    surroundings: Surroundings<'_>,
) -> Result<SessionPolicies, ConfigError> {
    let inline = inline_policy(profile, surroundings)?;
    let arns = policy_arns(profile, role_arn)?;
    let inline_length = inline.as_ref().map_or(0, |text| text.chars().count());
    let length = arns.iter().fold(inline_length, |sum, arn| sum.saturating_add(arn.len()));
    if length > LONGEST_POLICIES {
        let key = [POLICY, POLICY_FILE, POLICY_ARNS].into_iter().find(|key| profile.text(key).is_some());
        return Err(profile.error(key.unwrap_or(POLICY), Problem::LongPolicies(length)));
    }
    Ok(SessionPolicies { inline, arns })
}

fn inline_policy(profile: &Section, surroundings: Surroundings<'_>) -> Result<Option<String>, ConfigError> {
    let written = Setting::of_profile(profile, POLICY);
    let Some(named) = Setting::of_profile(profile, POLICY_FILE) else {
        let check = |setting: Setting<'_>| checked_policy(setting.value, &setting.place, POLICY);
        return written.map(check).transpose();
    };
    if written.is_some() {
        return Err(profile.error(POLICY_FILE, Problem::Both(POLICY, POLICY_FILE)));
    }
    let path = absolute(&named, surroundings.environment)?;
    let text = read_for(&path, surroundings.is_root, Some(&profile.name))?;
    let place =
        Location { profile: Some(profile.name.clone()), ..Location::in_file(&Arc::<Path>::from(path)) };
    let text = text.ok_or_else(|| ConfigError::new(place.clone(), Problem::Missing))?;
    checked_policy(&text.text, &place, POLICY_FILE).map(Some)
}

/// The policy without the blanks around it. Its grammar is for STS to judge.
fn checked_policy(written: &str, place: &Location, key: &'static str) -> Result<String, ConfigError> {
    let text = written.trim();
    let refuse = |place, complaint| {
        let value = text.to_owned();
        Err(ConfigError::new(place, Problem::Value { key, value, complaint, write: WRITE_POLICY }))
    };
    if !text.chars().all(|character| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{ff}')) {
        return refuse(place.clone(), "with characters that STS does not allow in a policy");
    }
    let line = match serde_json::from_slice::<Value>(written.as_bytes()) {
        Ok(Value::Object(_)) => return Ok(text.to_owned()),
        Ok(_) => 1,
        Err(error) => error.line(),
    };
    // The line within the value counts from the line of its key, and in a file of its own from one.
    let line = place.line.unwrap_or(1).saturating_add(line.saturating_sub(1));
    refuse(Location { line: Some(line), ..place.clone() }, "not a JSON object")
}

fn policy_arns(profile: &Section, role_arn: &str) -> Result<Vec<String>, ConfigError> {
    let Some(setting) = Setting::of_profile(profile, POLICY_ARNS) else { return Ok(Vec::new()) };
    let arns: Vec<String> = setting.value.split(',').map(|arn| arn.trim().to_owned()).collect();
    if arns.len() > MOST_POLICY_ARNS {
        return Err(setting.error("with more than 10 policies", "write 10 ARNs at most"));
    }
    let field = |arn: &str, number| arn.split(':').nth(number).unwrap_or_default().to_owned();
    for arn in &arns {
        let is_policy = arn.bytes().all(|byte| byte.is_ascii_graphic())
            && (20..=LONGEST_POLICIES).contains(&arn.len())
            && arn.starts_with("arn:")
            && field(arn, 2) == "iam"
            && field(arn, 3).is_empty()
            && field(arn, 5).strip_prefix("policy/").is_some_and(|name| !name.is_empty());
        if !is_policy || Partition::named(&field(arn, 1)).is_none() {
            return Err(setting.error(
                "not a list of ARNs of policies",
                "write `arn:aws:iam::ACCOUNT:policy/NAME`, with commas between several",
            ));
        }
        let account = field(arn, 4);
        if field(arn, 1) != field(role_arn, 1) || (account != "aws" && account != field(role_arn, 4)) {
            return Err(setting.error(
                "with a policy of another account than the role's",
                "write policies of the role's account, or AWS's own: `arn:aws:iam::aws:policy/NAME`",
            ));
        }
    }
    Ok(arns)
}

fn tags(profile: &Section) -> Result<Vec<(String, String)>, ConfigError> {
    let Some(setting) = Setting::of_profile(profile, TAGS) else { return Ok(Vec::new()) };
    let mut tags: Vec<(String, String)> = Vec::new();
    for element in elements(setting.value) {
        let (key, Some(value)) = cut(element, '=') else {
            return Err(setting.error("with a tag that has no `=`", WRITE_TAGS));
        };
        let (key, value) = (plain(key), plain(value));
        if tags.iter().any(|(known, _)| known.eq_ignore_ascii_case(&key)) {
            return Err(setting
                .error("with a key twice, where letter case makes no difference", "write each key once"));
        }
        check_key(&setting, &key)?;
        if value.chars().count() > 256 || !value.chars().all(is_of_a_tag) {
            return Err(setting.error(
                "with a value that STS does not allow",
                "write up to 256 letters, digits, spaces and `_.:/=+-@`",
            ));
        }
        tags.push((key, value));
    }
    if tags.len() > MOST_TAGS {
        return Err(setting.error("with more than 50 tags", "write 50 tags at most"));
    }
    Ok(tags)
}

fn check_key(setting: &Setting<'_>, key: &str) -> Result<(), ConfigError> {
    if !(1..=128).contains(&key.chars().count()) || !key.chars().all(is_of_a_tag) {
        return Err(setting.error(
            "with a key that STS does not allow",
            "write keys of 1 to 128 letters, digits, spaces and `_.:/=+-@`",
        ));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(
            setting.error("with a key that begins with `aws:`, which is AWS's own", "write another key")
        );
    }
    Ok(())
}

/// The keys to hand down, as they are spelt in `tags`. What is handed down to this hop already goes on by itself, and
/// STS refuses to be told again.
fn transitive_tags(
    profile: &Section,
    tags: &[(String, String)],
    passed_on: &[String],
) -> Result<Vec<String>, ConfigError> {
    let Some(setting) = Setting::of_profile(profile, TRANSITIVE_TAGS) else { return Ok(Vec::new()) };
    let mut keys: Vec<String> = Vec::new();
    for key in elements(setting.value).map(plain) {
        check_key(&setting, &key)?;
        let own = tags.iter().map(|(own, _)| own).find(|own| own.eq_ignore_ascii_case(&key));
        match own {
            Some(own) if !keys.contains(own) => keys.push(own.clone()),
            Some(_) => return Err(setting.error("with a key twice", "write each key once")),
            None if holds(passed_on, &key) => {}
            None => {
                return Err(setting.error(
                    "with a key that is no tag of this session",
                    "write the tag in `rolekeeper_tags`, or leave the key out",
                ));
            }
        }
    }
    Ok(keys)
}

fn source_identity(profile: &Section) -> Result<Option<String>, ConfigError> {
    let Some(setting) = Setting::of_profile(profile, SOURCE_IDENTITY) else { return Ok(None) };
    if !is_text(setting.value, 2, 64, b"_+=,.@-") {
        return Err(setting.error(
            "not 2 to 64 letters, digits and `_+=,.@-`",
            "write a name of those characters, or leave it out",
        ));
    }
    Ok(Some(setting.value.to_owned()))
}

fn holds(keys: &[String], key: &str) -> bool {
    keys.iter().any(|known| known.eq_ignore_ascii_case(key))
}

/// Letters, digits and spaces of every language, and a few signs. Which characters beyond ASCII are letters is left to
/// STS.
fn is_of_a_tag(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_alphanumeric() || " _.:/=+-@".contains(character)
    } else {
        !character.is_control()
    }
}

/// The elements of a list with commas between them.
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let (element, after) = cut(rest?, ',');
        rest = after;
        Some(element)
    })
}

/// `text` up to the first `delimiter` without a backslash before it, and what is behind that.
fn cut(text: &str, delimiter: char) -> (&str, Option<&str>) {
    let mut is_literal = false;
    for (at, character) in text.char_indices() {
        if is_literal {
            is_literal = false;
        } else if character == '\\' {
            is_literal = true;
        } else if character == delimiter {
            let (before, after) = text.split_at_checked(at).unwrap_or_default();
            return (before, after.strip_prefix(delimiter));
        }
    }
    (text, None)
}

/// `text` without the blanks around it; a backslash stands for the character behind it, also where that is a blank. One
/// at the very end stood before a blank, which the end of the line has lost.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut length = 0;
    let mut characters = text.trim_start_matches([' ', '\t']).chars();
    while let Some(character) = characters.next() {
        let is_literal = character == '\\';
        let character = if is_literal { characters.next().unwrap_or(' ') } else { character };
        plain.push(character);
        if is_literal || !matches!(character, ' ' | '\t') {
            length = plain.len();
        }
    }
    plain.truncate(length);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags_of(list: &str) -> Vec<(String, String)> {
        elements(list)
            .map(|element| {
                let (key, value) = cut(element, '=');
                (plain(key), plain(value.unwrap_or("none")))
            })
            .collect()
    }

    #[test]
    fn every_tag_can_be_written() {
        for (list, expected) in [
            ("a=b", vec![("a", "b")]),
            (" a = b ,\tc=d e ", vec![("a", "b"), ("c", "d e")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a\\=b=c", vec![("a=b", "c")]),
            ("a=", vec![("a", "")]),
            ("a=\\ b\\ ,c=d", vec![("a", " b "), ("c", "d")]),
            ("a=\\ \\ ", vec![("a", "  ")]),
            ("a=b\\,c", vec![("a", "b,c")]),
            ("a=b\\\\,c=d", vec![("a", "b\\"), ("c", "d")]),
            ("a=b\\", vec![("a", "b ")]),
            ("a,b=c,", vec![("a", "none"), ("b", "c"), ("", "none")]),
            ("Stra\u{df}e=\u{5927}\u{962a}", vec![("Stra\u{df}e", "\u{5927}\u{962a}")]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(tags_of(list), expected, "{list}");
        }
    }
}
