//! Where IMDS is and whether it may be asked. Decides only; nothing is contacted.

use super::document::Section;
use super::error::ConfigError;
use super::model::ImdsSettings;
use super::url::Url;
use super::values::{Setting, is_true};
use crate::environment::Environment;

const IPV4: &str = "http://169.254.169.254";
const IPV6: &str = "http://[fd00:ec2::254]";

/// What `profile` and the environment say about IMDS. An endpoint beats a mode, and within each the environment
/// beats the profile.
///
/// # Errors
///
/// An endpoint that is no URL, a mode that is neither `IPv4` nor `IPv6`, and a name that can be no path segment.
pub(crate) fn resolve_imds(
    profile: &Section,
    environment: &Environment,
) -> Result<ImdsSettings, ConfigError> {
    let find = |variable, key| Setting::find(profile, environment, variable, key);
    let custom = find("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
    let mode = find("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode");
    let endpoint = match (custom, mode) {
        (Some(setting), _) => {
            // The service speaks plain HTTP only, and its answers never leave the host's own link.
            Url::parse(setting.value).filter(|url| !url.is_https).ok_or_else(|| {
                setting.error(
                    "not an http URL of a host",
                    "write `http://HOST:PORT`, an IPv6 address in brackets, or leave it out",
                )
            })?;
            setting.value.trim_end_matches('/').to_owned()
        }
        (None, Some(setting)) => match setting.value.to_ascii_lowercase().as_str() {
            "ipv4" => IPV4.to_owned(),
            "ipv6" => IPV6.to_owned(),
            _ => return Err(setting.error("neither `IPv4` nor `IPv6`", "write `IPv4` or `IPv6`")),
        },
        (None, None) => IPV4.to_owned(),
    };
    let name = find("AWS_EC2_INSTANCE_PROFILE_NAME", "ec2_instance_profile_name");
    if let Some(setting) = &name
        && !is_role_name(setting.value)
    {
        return Err(setting.error("not a role name", "write the name that the metadata service lists"));
    }
    Ok(ImdsSettings {
        endpoint,
        disabled: is_true(profile, environment, "AWS_EC2_METADATA_DISABLED", "disable_ec2_metadata"),
        instance_profile_name: name.map(|setting| setting.value.to_owned()),
    })
}

fn is_role_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        && name != "."
        && name != ".."
}
