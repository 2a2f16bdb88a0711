//! Where a chain starts: from a profile's keys and the environment to one [`BaseSource`]. A source is one arm here;
//! what is to be fetched and how is the source's own business.

use std::ffi::OsStr;
use std::path::Path;

use super::container;
use super::device;
use super::document::{Document, Section};
use super::error::ConfigError;
use super::keys::{KEYS, Key, Reach};
use super::limits::{checked_principal, checked_role};
use super::model::{BaseSource, KeyHolder, ProcessSettings};
use super::problem::Problem;
use super::profile::refuse_later;
use super::rotate::words;
use super::settings::absolute;
use super::values::Setting;
use crate::credentials::{Credentials, IssuedCredentials, Secret};
use crate::environment::Environment;
use crate::hook::DEFAULT_PATH;
use crate::timestamp::parse_rfc3339;

const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const SESSION: &str = "aws_session_token";
pub(crate) const WEB_IDENTITY: &str = "web_identity_token_file";
const SAML: &str = "rolekeeper_saml_";
pub(crate) const ASSERTION: &str = "rolekeeper_saml_assertion_file";
const PRINCIPAL: &str = "rolekeeper_saml_principal_arn";
pub(crate) const PROCESS: &str = "credential_process";

/// The keys that make static credentials.
pub(crate) const STATIC_KEYS: [&str; 3] = [ID, SECRET, SESSION];

/// The variables that make credentials, in the same order.
const VARIABLES: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", SESSION_TOKEN];
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const SECURITY_TOKEN: &str = "AWS_SECURITY_TOKEN";
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// Whether `profile` is where a chain starts although it may have a `role_arn`, which then belongs to the source and
/// makes no hop.
pub(crate) fn starts_here(profile: &Section) -> bool {
    stands_alone(profile) || profile.text(WEB_IDENTITY).is_some()
}

/// Whether `profile` has a source of our own, beside which no other is allowed.
pub(crate) fn stands_alone(profile: &Section) -> bool {
    device::is_device(profile) || profile.entries.keys().any(|name| name.starts_with(SAML))
}

/// Refuses keys of other sources in a profile whose credentials come from `source`, with keys that begin with `own`. To
/// AWS's tools our source does not exist: they would go another way, and nobody could tell which one was meant.
pub(crate) fn refuse_others(profile: &Section, own: &str, source: &'static str) -> Result<(), ConfigError> {
    let is_other = |name: &&String| {
        let is_row = |key: &Key| match key.reach {
            Reach::Base => key.name != "aws_account_id" && !key.name.starts_with(own),
            Reach::Hop => {
                key.name == "source_profile" || (own != SAML && (key.is_ours() || key.name == "role_arn"))
            }
            Reach::Selected | Reach::Agent => false,
        };
        KEYS.iter().any(|key| key.matches(name) && is_row(key))
    };
    profile
        .entries
        .keys()
        .find(is_other)
        .map_or(Ok(()), |name| Err(profile.error(name, Problem::BesideSource { key: name.clone(), source })))
}

/// Where a chain starts in a profile that is no hop: the agent's own keys, then a web identity, as in botocore, then the
/// order of the Rust SDK.
pub(crate) fn base_source(
    document: &Document,
    profile: &Section,
    environment: &Environment,
) -> Result<BaseSource, ConfigError> {
    if device::is_device(profile) {
        return device::resolve(document, profile, environment);
    }
    if stands_alone(profile) {
        return saml(profile, environment);
    }
    if let Some(setting) = Setting::of_profile(profile, WEB_IDENTITY) {
        return web_identity(profile, &setting, environment);
    }
    if let Some(setting) = Setting::of_profile(profile, "credential_source") {
        return credential_source(profile, &setting, environment);
    }
    refuse_later(profile, |key| key.reach == Reach::Base)?;
    if let Some(process) = process(profile, environment)? {
        return Ok(process);
    }
    if let Some(keys) = static_keys(profile)? {
        return Ok(keys);
    }
    if profile.text("source_profile").is_some() {
        return Err(profile.error("source_profile", Problem::SourceWithoutRole));
    }
    Err(profile.error("", Problem::NoCredentials))
}

/// What a profile that names itself as its source has beside its role.
pub(crate) fn own_base(profile: &Section, environment: &Environment) -> Result<BaseSource, ConfigError> {
    if let Some(keys) = static_keys(profile)? {
        return Ok(keys);
    }
    refuse_later(profile, |key| key.reach == Reach::Base)?;
    process(profile, environment)?.ok_or_else(|| profile.error("source_profile", Problem::SelfWithoutKeys))
}

/// What `credential_source` names, in any letter case as the Rust SDK reads it.
pub(crate) fn credential_source(
    profile: &Section,
    setting: &Setting<'_>,
    environment: &Environment,
) -> Result<BaseSource, ConfigError> {
    match setting.value.to_ascii_lowercase().as_str() {
        "ec2instancemetadata" => Ok(BaseSource::Ec2InstanceMetadata),
        "ecscontainer" => container::resolve(profile, setting, environment).map(BaseSource::EcsContainer),
        "environment" => {
            let found = Found { holder: KeyHolder::Environment, names: VARIABLES, account: "AWS_ACCOUNT_ID" };
            let variable = |name: &'static str| Setting::of_environment(profile, environment, name);
            // Blank means unset, and the older name of the session token is one that botocore still reads.
            let set = |name| variable(name).filter(|setting| !setting.value.trim().is_empty());
            let find = |name| set(name).or_else(|| set(SECURITY_TOKEN).filter(|_| name == SESSION_TOKEN));
            found.keys(profile, find)?.ok_or_else(|| {
                setting.error(
                    "but the environment of rolekeeper has no `AWS_ACCESS_KEY_ID`",
                    "set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` where rolekeeper is started, or name \
                     another source",
                )
            })
        }
        _ => Err(setting.error(
            "neither `Ec2InstanceMetadata`, `EcsContainer` nor `Environment`",
            "write `credential_source = Ec2InstanceMetadata`",
        )),
    }
}

fn web_identity(
    profile: &Section,
    setting: &Setting<'_>,
    environment: &Environment,
) -> Result<BaseSource, ConfigError> {
    if profile.text("role_arn").is_none() {
        return Err(profile.error(WEB_IDENTITY, Problem::OptionWithoutRole(WEB_IDENTITY.to_owned())));
    }
    refuse_later(profile, |key| key.reach == Reach::Hop)?;
    let token_file = absolute(setting, environment)?;
    Ok(BaseSource::WebIdentity { role: checked_role(profile)?, token_file })
}

fn saml(profile: &Section, environment: &Environment) -> Result<BaseSource, ConfigError> {
    refuse_others(profile, SAML, "a SAML response")?;
    let find = |key, other| {
        Setting::of_profile(profile, key)
            .ok_or_else(|| profile.error(other, Problem::HalfOfKeys { missing: key }))
    };
    let (file, principal) = (find(ASSERTION, PRINCIPAL)?, find(PRINCIPAL, ASSERTION)?);
    if profile.text("role_arn").is_none() {
        return Err(profile.error(ASSERTION, Problem::OptionWithoutRole(ASSERTION.to_owned())));
    }
    refuse_later(profile, |key| key.reach == Reach::Hop)?;
    Ok(BaseSource::Saml {
        role: checked_role(profile)?,
        principal_arn: checked_principal(&principal)?,
        assertion_file: absolute(&file, environment)?,
    })
}

fn process(profile: &Section, environment: &Environment) -> Result<Option<BaseSource>, ConfigError> {
    let Some(setting) = Setting::of_profile(profile, PROCESS) else { return Ok(None) };
    let words = words(&setting)?;
    // A wrapper around it is found out when it runs.
    if words
        .first()
        .and_then(|program| Path::new(program).file_name())
        .is_some_and(|name| name == "rolekeeper")
    {
        return Err(setting.error(
            "which leads back to rolekeeper itself",
            "write where that profile has its credentials from, or leave it to consumers with \
             `rolekeeper_publish = false`",
        ));
    }
    let account_id = account_id(Setting::of_profile(profile, "aws_account_id"))?;
    let path = environment.os("PATH").unwrap_or(OsStr::new(DEFAULT_PATH)).to_owned();
    Ok(Some(BaseSource::Process(ProcessSettings { profile: profile.name.clone(), words, path, account_id })))
}

/// The keys written in `profile`; `None` where no part of them is.
pub(crate) fn static_keys(profile: &Section) -> Result<Option<BaseSource>, ConfigError> {
    let holder = KeyHolder::Profile(profile.name.clone());
    let found = Found { holder, names: STATIC_KEYS, account: "aws_account_id" };
    found.keys(profile, |key| Setting::of_profile(profile, key))
}

/// Where keys are looked for, and under which names.
struct Found {
    holder: KeyHolder,
    names: [&'static str; 3],
    account: &'static str,
}

impl Found {
    fn keys<'s>(
        self,
        profile: &Section,
        find: impl Fn(&'static str) -> Option<Setting<'s>>,
    ) -> Result<Option<BaseSource>, ConfigError> {
        // `aws_session_token =` with nothing behind it is what tools leave behind, and means none.
        let part =
            |key: &'static str| find(key).map(|setting| setting.value).filter(|value| !value.is_empty());
        let half = |present: &str, missing| Err(profile.error(present, Problem::HalfOfKeys { missing }));
        let [id_name, secret_name, session_name] = self.names;
        let (id, secret) = match (part(id_name), part(secret_name), part(session_name)) {
            (None, None, None) => return Ok(None),
            (Some(id), Some(secret), _) => (id, secret),
            (Some(_), None, _) => return half(id_name, secret_name),
            (None, Some(_), _) => return half(secret_name, id_name),
            (None, None, Some(_)) => return half(session_name, id_name),
        };
        for key in self.names {
            if part(key).is_some_and(|value| !value.bytes().all(|byte| byte.is_ascii_graphic())) {
                return Err(profile.error(key, Problem::MalformedKey(key)));
            }
        }
        let credentials = Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(secret.to_owned()),
            session_token: part(session_name).map(|token| Secret::new(token.to_owned())),
        };
        let expiration = match find(EXPIRATION) {
            Some(setting) if self.holder == KeyHolder::Environment => {
                Some(parse_rfc3339(setting.value).ok_or_else(|| {
                    setting.error("not a time", "set a time such as `2030-01-31T12:00:00Z`, or unset it")
                })?)
            }
            _ => None,
        };
        let issued =
            IssuedCredentials { credentials, expiration, account_id: account_id(find(self.account))? };
        Ok(Some(BaseSource::StaticKeys { holder: self.holder, issued }))
    }
}

fn account_id(setting: Option<Setting<'_>>) -> Result<Option<String>, ConfigError> {
    let Some(setting) = setting else { return Ok(None) };
    if setting.value.len() == 12 && setting.value.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(Some(setting.value.to_owned()))
    } else {
        Err(setting.error("not twelve digits", "write the twelve digits of the account, or leave it out"))
    }
}
