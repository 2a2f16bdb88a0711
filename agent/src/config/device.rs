//! The two sources that begin with a certificate of this host: the credentials provider of AWS IoT Core, and IAM Roles
//! Anywhere. Checks names and numbers; the files are read at each refresh, because they are renewed.

use std::net::IpAddr;

use super::base::refuse_others;
use super::document::{Document, Section};
use super::endpoint::{Choice, Service, choose, is_region};
use super::error::ConfigError;
use super::limits::{checked_arn, is_text, partition_of};
use super::model::{BaseSource, IotSettings, RolesAnywhereSettings, X509Files};
use super::partition::Partition;
use super::problem::Problem;
use super::settings::absolute;
use super::url::Url;
use super::values::Setting;
use crate::environment::Environment;

const IOT: &str = "rolekeeper_iot_";
const ROLES_ANYWHERE: &str = "rolekeeper_roles_anywhere_";

const ROLES_ANYWHERE_SERVICE: Service = Service {
    key: Some("rolekeeper_roles_anywhere_endpoint"),
    variable: "AWS_ENDPOINT_URL_ROLESANYWHERE",
    name: "rolesanywhere",
};

/// Whether `profile` starts with a certificate.
pub(crate) fn is_device(profile: &Section) -> bool {
    profile.entries.keys().any(|name| name.starts_with(IOT) || name.starts_with(ROLES_ANYWHERE))
}

/// The source that `profile`, for which [`is_device`] holds, describes.
///
/// # Errors
///
/// A key that is missing or not allowed, and keys of another source beside these.
pub(crate) fn resolve(
    document: &Document,
    profile: &Section,
    environment: &Environment,
) -> Result<BaseSource, ConfigError> {
    let is_iot = profile.entries.keys().any(|name| name.starts_with(IOT));
    refuse_others(profile, if is_iot { IOT } else { ROLES_ANYWHERE }, "a certificate")?;
    if is_iot {
        iot(profile, environment).map(|settings| BaseSource::Iot(Box::new(settings)))
    } else {
        roles_anywhere(document, profile, environment)
            .map(|settings| BaseSource::RolesAnywhere(Box::new(settings)))
    }
}

fn iot(profile: &Section, environment: &Environment) -> Result<IotSettings, ConfigError> {
    let endpoint = required(profile, "rolekeeper_iot_endpoint")?;
    let alias = required(profile, "rolekeeper_iot_role_alias")?;
    if !is_name(alias.value, b"_=,@-") {
        return Err(
            alias.error("not 1 to 128 letters, digits and `_=,@-`", "write the name of the role alias")
        );
    }
    let thing = Setting::of_profile(profile, "rolekeeper_iot_thing_name");
    if let Some(setting) = thing.as_ref().filter(|setting| !is_name(setting.value, b":_-")) {
        return Err(setting.error(
            "not 1 to 128 letters, digits and `:_-`",
            "write the thing that the certificate is attached to, or leave it out",
        ));
    }
    let file = |key| required(profile, key).and_then(|setting| absolute(&setting, environment));
    Ok(IotSettings {
        endpoint: iot_endpoint(&endpoint)?,
        role_alias: alias.value.to_owned(),
        thing_name: thing.map(|setting| setting.value.to_owned()),
        files: X509Files {
            certificate: file("rolekeeper_iot_certificate_file")?,
            private_key: file("rolekeeper_iot_private_key_file")?,
            chain: None,
        },
        ca_file: Setting::of_profile(profile, "rolekeeper_iot_ca_file")
            .map(|setting| absolute(&setting, environment))
            .transpose()?,
    })
}

/// A host name, because the service finds the account by the name in the handshake; what stands in for it on this host
/// may have an address instead. `https://` may stand before it.
fn iot_endpoint(setting: &Setting<'_>) -> Result<String, ConfigError> {
    const WRITE: &str =
        "write what `aws iot describe-endpoint --endpoint-type iot:CredentialProvider` prints";
    let host = setting.value.strip_prefix("https://").unwrap_or(setting.value).trim_end_matches('/');
    let endpoint = format!("https://{host}");
    let url = Url::parse(&endpoint).filter(|url| url.path.is_empty());
    let url = url.filter(|url| url.host.parse::<IpAddr>().is_err() || url.is_loopback());
    let url = url.ok_or_else(|| setting.error("not a host name", WRITE))?;
    let is_of_aws = url.host.contains(".amazonaws.") || url.host.contains(".amazonaws-");
    if is_of_aws && !url.host.contains(".credentials.iot.") {
        return Err(setting.error("not the endpoint of the credentials provider", WRITE));
    }
    Ok(endpoint)
}

fn roles_anywhere(
    document: &Document,
    profile: &Section,
    environment: &Environment,
) -> Result<RolesAnywhereSettings, ConfigError> {
    let anchor = required(profile, "rolekeeper_roles_anywhere_trust_anchor_arn")?;
    let owner = required(profile, "rolekeeper_roles_anywhere_profile_arn")?;
    let role = required(profile, "rolekeeper_roles_anywhere_role_arn")?;
    let (partition, region) = place(&anchor, "trust-anchor/")?;
    let (_, profile_region) = place(&owner, "profile/")?;
    if profile_region != region {
        return Err(owner.error(
            "in another region than the trust anchor",
            "name a profile of Roles Anywhere in the region of the trust anchor",
        ));
    }
    checked_arn(role.value).map_err(|(complaint, _)| {
        role.error(complaint, "write `rolekeeper_roles_anywhere_role_arn = arn:aws:iam::ACCOUNT:role/NAME`")
    })?;
    if partition_of(role.value) != Some(partition) {
        return Err(role.error(
            "in another partition than the trust anchor",
            "name a role in the partition of the trust anchor",
        ));
    }
    let session_name = Setting::of_profile(profile, "rolekeeper_roles_anywhere_session_name");
    if let Some(setting) = session_name.as_ref().filter(|setting| !is_text(setting.value, 2, 64, b"_+=,.@-"))
    {
        return Err(setting.error(
            "not 2 to 64 letters, digits and `_+=,.@-`",
            "write a name of those characters, or leave it out",
        ));
    }
    let duration = Setting::of_profile(profile, "rolekeeper_roles_anywhere_duration_seconds");
    let duration = duration.map(|setting| {
        const WRITE: &str = "write `rolekeeper_roles_anywhere_duration_seconds = 3600`, or leave it out";
        setting.number(900, 43200, "outside 900 to 43200", WRITE)
    });
    let file = |key| required(profile, key).and_then(|setting| absolute(&setting, environment));
    Ok(RolesAnywhereSettings {
        endpoint: roles_anywhere_endpoint(
            choose(document, profile, environment, &ROLES_ANYWHERE_SERVICE)?,
            partition,
            region,
        ),
        region: region.to_owned(),
        files: X509Files {
            certificate: file("rolekeeper_roles_anywhere_certificate_file")?,
            private_key: file("rolekeeper_roles_anywhere_private_key_file")?,
            chain: Setting::of_profile(profile, "rolekeeper_roles_anywhere_chain_file")
                .map(|setting| absolute(&setting, environment))
                .transpose()?,
        },
        duration_seconds: duration.transpose()?,
        session_name: session_name.map(|setting| setting.value.to_owned()),
        trust_anchor_arn: anchor.value.to_owned(),
        profile_arn: owner.value.to_owned(),
        role_arn: role.value.to_owned(),
    })
}

/// Partition and region of an ARN of Roles Anywhere, which have to belong together.
fn place<'a>(
    setting: &Setting<'a>,
    kind: &'static str,
) -> Result<(&'static Partition, &'a str), ConfigError> {
    let refuse = |complaint| setting.error(complaint, "copy the ARN from the console of IAM Roles Anywhere");
    let fields: Vec<&str> = setting.value.splitn(6, ':').collect();
    let &["arn", partition, "rolesanywhere", region, account, resource] = fields.as_slice() else {
        return Err(refuse("not an ARN of IAM Roles Anywhere"));
    };
    let id = resource.strip_prefix(kind).unwrap_or_default();
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_id || account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse(if kind == "profile/" {
            "not the ARN of a profile"
        } else {
            "not the ARN of a trust anchor"
        }));
    }
    let known = Partition::named(partition).filter(|_| is_region(region));
    match known {
        Some(known) if Partition::of_region(region) == known => Ok((known, region)),
        _ => Err(refuse("whose region is not in its partition")),
    }
}

/// The custom endpoint, or that of the rule set which the SDKs share.
fn roles_anywhere_endpoint(choice: Choice, partition: &Partition, region: &str) -> String {
    let suffix = if choice.dual_stack { partition.dual_stack_suffix } else { partition.dns_suffix };
    let fips = if choice.fips { "-fips" } else { "" };
    choice.custom.unwrap_or_else(|| format!("https://rolesanywhere{fips}.{region}.{suffix}"))
}

fn required<'p>(profile: &'p Section, key: &'static str) -> Result<Setting<'p>, ConfigError> {
    match Setting::of_profile(profile, key) {
        Some(setting) if setting.value.is_empty() => Err(setting.error("", "write its value behind the `=`")),
        Some(setting) => Ok(setting),
        None => Err(profile.error("", Problem::MissingKey(key))),
    }
}

/// 1 to 128 letters, digits and `others`: names in AWS IoT.
fn is_name(text: &str, others: &[u8]) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
