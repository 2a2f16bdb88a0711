//! What a profile does about rotations and outages beyond the ordinary: the hook that follows a rotation, and the
//! regions that STS is looked for in where its own region's is silent. Runs nothing and contacts nobody.

use std::time::Duration;

use super::document::Section;
use super::endpoint::{StsEndpointRule, is_region};
use super::error::ConfigError;
use super::limits::partition_of;
use super::model::{RoleChain, RotationHook};
use super::partition::Partition;
use super::problem::Problem;
use super::values::Setting;

const FALLBACK: &str = "rolekeeper_sts_fallback_regions";

/// Reads the hook of `profile`.
///
/// # Errors
///
/// Words that a shell could not read either, a program that could be another one elsewhere, a timeout out of bounds.
pub(crate) fn hook(profile: &Section) -> Result<Option<RotationHook>, ConfigError> {
    let find = |key| Setting::of_profile(profile, key);
    let timeout = find("rolekeeper_on_rotate_timeout_seconds").map_or(Ok(60), |setting| {
        setting.number(
            1,
            3600,
            "outside 1 to 3600",
            "write `rolekeeper_on_rotate_timeout_seconds = 60`, or leave it out",
        )
    })?;
    let Some(setting) = find("rolekeeper_on_rotate") else { return Ok(None) };
    Ok(Some(RotationHook { words: words(&setting)?, timeout: Duration::from_secs(timeout.into()) }))
}

/// The words of a command line, split as a shell splits them.
///
/// # Errors
///
/// Words that a shell could not read either, and a program that could be another one elsewhere.
pub(crate) fn words(setting: &Setting<'_>) -> Result<Vec<String>, ConfigError> {
    if setting.value.contains(char::is_control) {
        return Err(setting.error("not one line of text", "write the command and its arguments on one line"));
    }
    let words = shell_words::split(setting.value)
        .map_err(|_| setting.error("with a quote that is not closed", "close it, or write it as `\\'`"))?;
    let program = words.first().map(String::as_str).unwrap_or_default();
    if program.is_empty() {
        return Err(
            setting.error("without a command", "write the command and its arguments, or leave it out")
        );
    }
    // A service's working directory is nothing that a configuration could mean.
    if program.contains('/') && !program.starts_with('/') {
        return Err(setting.error(
            "a command that is looked for in the working directory",
            "write its path from `/` on, or a name that `PATH` leads to",
        ));
    }
    Ok(words)
}

/// Reads the regions where STS is asked when that of the profile's own region is silent.
///
/// # Errors
///
/// Text that is no list of regions, regions of another partition, and a custom endpoint, which has no regions.
pub(crate) fn fallback_regions(
    profile: &Section,
    region: Option<&str>,
    chain: &RoleChain,
    rule: &StsEndpointRule,
) -> Result<Vec<String>, ConfigError> {
    let Some(setting) = Setting::of_profile(profile, FALLBACK) else { return Ok(Vec::new()) };
    if rule.custom_url().is_some() {
        return Err(profile.error(FALLBACK, Problem::CustomEndpointWith(FALLBACK)));
    }
    // Without a region the roles tell the partition.
    let role_partition = || partition_of(&chain.base.first_role().or(chain.roles.first())?.role_arn);
    let partition = region.map(Partition::of_region).or_else(role_partition);
    let mut regions: Vec<String> = Vec::new();
    for name in setting.value.split(',').map(str::trim) {
        if !is_region(name) {
            return Err(setting.error(
                "not a list of regions",
                "write regions with commas between them, such as `us-west-2, us-east-2`",
            ));
        }
        if partition.is_some_and(|partition| partition.name != Partition::of_region(name).name) {
            return Err(setting.error(
                "with a region of another partition",
                "write regions of the partition that the role is in",
            ));
        }
        if regions.iter().any(|known| known == name) {
            return Err(setting.error("with a region twice", "write each region once"));
        }
        regions.push(name.to_owned());
    }
    Ok(regions)
}
