//! One profile, put together and checked as a whole before anything is contacted: the chain, where STS and IMDS are,
//! the region, and whether these fit each other. Knows no file.

use std::path::PathBuf;

use super::accounts::Accounts;
use super::document::{Document, Section};
use super::endpoint::{is_region, resolve_rule};
use super::error::{ConfigError, Shown, Warning};
use super::imds::resolve_imds;
use super::keys::{self, Reach};
use super::limits::partition_of;
use super::model::{Profile, RoleChain, StsSettings};
use super::partition::Partition;
use super::problem::Problem;
use super::profile::{refuse_later, resolve_chain};
use super::rotate;
use super::settings;
use super::values::{Setting, is_true};
use crate::environment::Environment;

/// The longest session of a role that another role assumed.
const LONGEST_CHAINED: u32 = 3600;

/// What profiles are put together from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assembly<'a> {
    pub(crate) document: &'a Document,
    pub(crate) environment: &'a Environment,
    /// `--region`, which beats the environment.
    pub(crate) region: Option<&'a str>,
    pub(crate) accounts: Accounts<'a>,
}

impl Assembly<'_> {
    /// Puts `section` together; region, endpoints and certificates are its own, never those of a source profile.
    ///
    /// # Errors
    ///
    /// The first thing that keeps this profile from being refreshed.
    pub(crate) fn profile(&self, section: &Section) -> Result<Profile, ConfigError> {
        refuse_later(section, |key| key.reach == Reach::Selected)?;
        let chain = resolve_chain(self.document, section, self.environment)?;
        let region = self.region(section)?;
        let sts = StsSettings {
            endpoint: resolve_rule(self.document, section, self.environment)?,
            ca_bundle: self.ca_bundle(section)?,
        };
        check_partition(section, &chain, region.as_deref(), &sts)?;
        Ok(Profile {
            name: section.name.clone(),
            imds: resolve_imds(section, self.environment)?,
            corrects_clock: !is_true(
                section,
                self.environment,
                "AWS_DISABLE_CLOCK_SKEW_CORRECTION",
                "disable_clock_skew_correction",
            ),
            publication: settings::publication(section, &self.accounts, self.environment)?,
            refresh: settings::refresh(section)?,
            sts_fallback_regions: rotate::fallback_regions(
                section,
                region.as_deref(),
                &chain,
                &sts.endpoint,
            )?,
            on_rotate: rotate::hook(section)?,
            region,
            sts,
            chain,
        })
    }

    fn region(&self, section: &Section) -> Result<Option<String>, ConfigError> {
        let given = |value| Setting { key: "--region", value, place: section.at("") };
        let setting = self
            .region
            .map(given)
            .or_else(|| Setting::of_environment(section, self.environment, "AWS_REGION"))
            .or_else(|| Setting::of_environment(section, self.environment, "AWS_DEFAULT_REGION"))
            .or_else(|| Setting::of_profile(section, "region"));
        let Some(setting) = setting else { return Ok(None) };
        if is_region(setting.value) {
            Ok(Some(setting.value.to_owned()))
        } else {
            Err(setting.error("not a region", "write a region such as `us-east-1`"))
        }
    }

    fn ca_bundle(&self, section: &Section) -> Result<Option<PathBuf>, ConfigError> {
        let profile = || {
            Setting::of_profile(section, "ca_bundle")
                .map(|setting| settings::absolute(&setting, self.environment))
        };
        match self.environment.os("AWS_CA_BUNDLE") {
            // Whoever sets a variable has a working directory in mind; a file that a service reads has none.
            Some(path) => super::values::expand_home(path.as_ref(), self.environment)
                .and_then(|path| std::path::absolute(path).map_err(Problem::Unreadable))
                .map(Some)
                .map_err(|problem| section.error("", problem)),
            None => profile().transpose(),
        }
    }
}

/// Checks that the roles are where the region is, and that STS can be found and believed there.
fn check_partition(
    section: &Section,
    chain: &RoleChain,
    region: Option<&str>,
    sts: &StsSettings,
) -> Result<(), ConfigError> {
    let roles = || chain.base.first_role().into_iter().chain(&chain.roles);
    let Some(first) = roles().next() else { return Ok(()) };
    let can_be_learnt = chain.base.is_instance();
    // A custom endpoint is found without a region.
    if region.is_none() && !can_be_learnt && sts.endpoint.custom_url().is_none() {
        return Err(section.error("role_arn", Problem::NoRegion));
    }
    for role in roles() {
        let (Some(region), Some(partition)) = (region, partition_of(&role.role_arn)) else { continue };
        let region_partition = Partition::of_region(region);
        if partition.name != region_partition.name {
            let problem = Problem::PartitionMismatch {
                region: region.to_owned(),
                region_partition: region_partition.name,
                role_partition: partition.name,
            };
            return Err(section.error("region", problem));
        }
    }
    // Without a region the roles tell the partition.
    let partition = region.map(Partition::of_region).or_else(|| partition_of(&first.role_arn));
    if let Some(partition) = partition.filter(|partition| partition.is_isolated)
        && sts.ca_bundle.is_none()
        && sts.endpoint.uses_tls()
    {
        return Err(section.error("region", Problem::CaBundleNeeded(partition.name)));
    }
    Ok(())
}

/// What works, but probably not as expected: sessions that STS will shorten, and endpoints that AWS does not list.
pub(crate) fn warn(document: &Document, profile: &Profile, warnings: &mut Vec<Warning>) {
    let mut caller_is_role = profile.chain.base.is_role();
    for role in &profile.chain.roles {
        if let Some(duration) =
            role.duration_seconds.filter(|duration| caller_is_role && *duration > LONGEST_CHAINED)
            && let Some(section) = document.profile(&role.profile)
        {
            let text = format!(
                "`duration_seconds` is `{duration}`, but the caller is a role already, and AWS limits such sessions to \
                 {LONGEST_CHAINED} seconds; write `duration_seconds = {LONGEST_CHAINED}`, or leave it out"
            );
            let warning = Warning { location: section.at("duration_seconds"), text };
            // Several profiles may start from the same hop.
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        caller_is_role = true;
    }
    if let Some(region) = profile.region.as_deref().filter(|region| profile.sts.endpoint.is_unlisted(region))
        && let Some(section) = document.profile(&profile.name)
    {
        let text =
            format!("AWS lists no FIPS endpoint of STS in region `{region}`; its name may not resolve");
        warnings.push(Warning { location: section.at("use_fips_endpoint"), text });
    }
}

/// What looks like a slip of the pen in a profile that is managed: AWS's tools ignore such a key, and so do we.
pub(crate) fn warn_of_slips(section: &Section, warnings: &mut Vec<Warning>) {
    for name in section.entries.keys() {
        if let Some(meant) = keys::misspelt(name) {
            let text = format!("`{}` is ignored; did you mean `{meant}`?", Shown(name));
            warnings.push(Warning { location: section.at(name), text });
        }
    }
}
