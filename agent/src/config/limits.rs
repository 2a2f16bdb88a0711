//! What STS accepts in the parameters of one `AssumeRole`, checked before anything is sent. Source: the STS API
//! model. Knows one profile at a time.

use super::document::Section;
use super::error::ConfigError;
use super::model::Role;
use super::partition::Partition;
use super::values::Setting;

const WRITE_ARN: &str = "write `role_arn = arn:aws:iam::ACCOUNT:role/NAME`";

/// The hop that `profile`, which has a `role_arn`, describes.
///
/// # Errors
///
/// The first parameter that STS would refuse.
pub(crate) fn checked_role(profile: &Section) -> Result<Role, ConfigError> {
    let find = |key| Setting::of_profile(profile, key);
    let role_arn = match find("role_arn") {
        Some(setting) => {
            checked_arn(setting.value).map_err(|(complaint, write)| setting.error(complaint, write))?;
            setting.value.to_owned()
        }
        None => String::new(),
    };
    let role_session_name = find("role_session_name");
    if let Some(setting) = &role_session_name
        && !is_text(setting.value, 64, b"_+=,.@-")
    {
        return Err(setting.error(
            "not 2 to 64 letters, digits and `_+=,.@-`",
            "write a name of those characters, or leave it out",
        ));
    }
    let external_id = find("external_id");
    if let Some(setting) = &external_id
        && !is_text(setting.value, 1224, b"_+=,.@:/-")
    {
        return Err(setting.error(
            "not 2 to 1224 letters, digits and `_+=,.@:/-`",
            "write the value that the role's trust policy asks for",
        ));
    }
    let duration_seconds = find("duration_seconds")
        .map(|setting| {
            setting.number(
                900,
                43200,
                "outside 900 to 43200",
                "write `duration_seconds = 3600`, or leave it out",
            )
        })
        .transpose()?;
    Ok(Role {
        profile: profile.name.clone(),
        role_arn,
        role_session_name: role_session_name.map(|setting| setting.value.to_owned()),
        external_id: external_id.map(|setting| setting.value.to_owned()),
        duration_seconds,
    })
}

/// The identity provider of SAML that `setting` names.
///
/// # Errors
///
/// When it is no ARN of one.
pub(crate) fn checked_principal(setting: &Setting<'_>) -> Result<String, ConfigError> {
    let fields: Vec<&str> = setting.value.splitn(6, ':').collect();
    match fields.as_slice() {
        ["arn", partition, "iam", "", account, resource]
            if Partition::named(partition).is_some()
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && resource.strip_prefix("saml-provider/").is_some_and(|name| !name.is_empty())
                && setting.value.len() <= 2048
                && setting.value.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(setting.value.to_owned())
        }
        _ => Err(setting
            .error("not the ARN of a SAML provider", "write `arn:aws:iam::ACCOUNT:saml-provider/NAME`")),
    }
}

/// The partition that `role_arn`, already checked, is in.
pub(crate) fn partition_of(role_arn: &str) -> Option<&'static Partition> {
    role_arn.split(':').nth(1).and_then(Partition::named)
}

fn is_text(text: &str, longest: usize, others: &[u8]) -> bool {
    (2..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// Complaint and advice where `arn` is not the ARN of a role.
fn checked_arn(arn: &str) -> Result<(), (&'static str, &'static str)> {
    let refuse = |complaint| Err((complaint, WRITE_ARN));
    let mut fields = arn.splitn(6, ':');
    let mut field = || fields.next().unwrap_or_default();
    let (prefix, partition, service, region, account, resource) =
        (field(), field(), field(), field(), field(), field());
    if prefix != "arn" || resource.is_empty() {
        return refuse("not an ARN");
    }
    if Partition::named(partition).is_none() {
        return Err((
            "in no partition that there is",
            "write the partition `aws`, `aws-cn`, `aws-us-gov` or another",
        ));
    }
    if service == "sts" {
        return refuse("a session of a role, not a role");
    }
    if service != "iam" || !region.is_empty() {
        return refuse("not the ARN of a role");
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("without an account of twelve digits", WRITE_ARN));
    }
    if resource == "root" {
        return Err(("the root user of an account, who cannot be assumed", WRITE_ARN));
    }
    let Some(path) = resource.strip_prefix("role/") else {
        return refuse(if resource.starts_with("instance-profile/") {
            "an instance profile, not a role"
        } else if resource.starts_with("user/") {
            "a user, not a role"
        } else {
            "not the ARN of a role"
        });
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_name = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    if !is_name || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("without a valid role name");
    }
    if !(20..=2048).contains(&arn.len()) { refuse("not 20 to 2048 characters long") } else { Ok(()) }
}
