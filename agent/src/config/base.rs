//! Where a chain starts: from a profile's keys and the environment to one [`BaseSource`]. A source is one arm here;
//! what is to be fetched and how is the source's own business.

use super::device;
use super::document::Section;
use super::error::ConfigError;
use super::keys::Reach;
use super::model::BaseSource;
use super::problem::Problem;
use super::profile::refuse_later;
use super::values::Setting;
use crate::credentials::{Credentials, Secret};
use crate::environment::Environment;

const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const SESSION: &str = "aws_session_token";

/// The keys that make static credentials.
pub(crate) const STATIC_KEYS: [&str; 3] = [ID, SECRET, SESSION];

/// Keys of sources that may stand beside a `role_arn`, which then belongs to the source and makes no hop.
const SOURCES_WITH_ROLE: [&str; 4] =
    ["web_identity_token_file", "rolekeeper_saml_", "rolekeeper_iot_", "rolekeeper_roles_anywhere_"];

/// Whether `profile` is where a chain starts although it may have a `role_arn`.
pub(crate) fn starts_here(profile: &Section) -> bool {
    profile.entries.keys().any(|name| SOURCES_WITH_ROLE.iter().any(|key| name.starts_with(key)))
}

/// Where a chain starts in a profile that is no hop, in the order of the Rust SDK.
pub(crate) fn base_source(profile: &Section, environment: &Environment) -> Result<BaseSource, ConfigError> {
    if device::is_device(profile) {
        return device::resolve(profile, environment);
    }
    refuse_later(profile, |key| key.reach == Reach::Base && key.name.starts_with("rolekeeper_"))?;
    if let Some(setting) = Setting::of_profile(profile, "credential_source") {
        return credential_source(&setting, environment);
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

/// What a profile that names itself as its source has beside its role.
pub(crate) fn own_base(profile: &Section) -> Result<BaseSource, ConfigError> {
    if let Some(keys) = static_keys(profile)? {
        return Ok(keys);
    }
    refuse_later(profile, |key| key.reach == Reach::Base)?;
    Err(profile.error("source_profile", Problem::SelfWithoutKeys))
}

/// What `credential_source` names, in any letter case as the Rust SDK reads it.
pub(crate) fn credential_source(setting: &Setting<'_>, _: &Environment) -> Result<BaseSource, ConfigError> {
    let not_built =
        |name: &str| Err(ConfigError::new(setting.place.clone(), Problem::SourceNotBuilt(name.to_owned())));
    match setting.value.to_ascii_lowercase().as_str() {
        "ec2instancemetadata" => Ok(BaseSource::Ec2InstanceMetadata),
        "ecscontainer" => not_built("credential_source = EcsContainer"),
        "environment" => not_built("credential_source = Environment"),
        _ => Err(setting.error(
            "neither `Ec2InstanceMetadata`, `EcsContainer` nor `Environment`",
            "write `credential_source = Ec2InstanceMetadata`",
        )),
    }
}

/// The keys written in `profile`; `None` where no part of them is.
pub(crate) fn static_keys(profile: &Section) -> Result<Option<BaseSource>, ConfigError> {
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
