//! One role, assumed: in the profile's region or in one of its fallback regions, for the duration that is configured
//! or the one that STS is known to grant. Where the proof of identity comes from is nothing it knows.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::warn;
use time::OffsetDateTime;

use super::{AssumeRole, AssumedRole, ErrorClass, Proof, Sts, StsError, somewhere};
use crate::config::model::{Profile, Role};
use crate::config::partition::Partition;
use crate::credentials::{IssuedCredentials, Secret};
use crate::host::Host;
use crate::output::state::ReducedDuration;

/// What a role grants to another role at most, and what is asked for where nothing is configured.
const ONE_HOUR: u32 = 3600;

/// What one hop gave.
#[derive(Debug)]
pub struct Hop {
    /// The session's credentials.
    pub issued: IssuedCredentials,
    /// When they were issued, in AWS's time.
    pub at: OffsetDateTime,
    /// The duration that STS did not grant.
    pub reduced: Option<ReducedDuration>,
    /// The region whose STS gave them.
    pub region: String,
}

/// A role and what it is to be assumed with.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The role.
    pub role: &'a Role,
    /// The name of its session.
    pub session_name: &'a str,
    /// Why STS should grant it.
    pub proof: Proof<'a>,
    /// The code of the role's MFA device.
    pub token_code: Option<&'a Secret>,
    /// The durations that STS is known not to grant.
    pub known_reduced: &'a [ReducedDuration],
}

/// Assumes roles, and remembers which endpoints are silent for as long as it lives.
#[derive(Debug, Default)]
pub struct Hops {
    /// STS endpoints that did not answer: what is bound to fail need not take its time again for every profile.
    silent: Mutex<BTreeSet<String>>,
}

impl Hops {
    /// Assumes the role for `profile`, in `region` unless STS is out of order there.
    ///
    /// # Errors
    ///
    /// What STS decided, or the outage of `region` where no region answers.
    pub fn assume(
        &self,
        host: &Host<'_>,
        profile: &Profile,
        wanted: &Wanted<'_>,
        region: Option<&str>,
    ) -> Result<Hop, StsError> {
        let region = sts_region(profile, Some(wanted.role), region)?;
        let mut at = host.true_time();
        let (assumed, answered) = somewhere(region, &profile.sts_fallback_regions, |region| {
            let sts = Sts::new(&profile.sts, region, host)?;
            if self.silent().contains(sts.url()) {
                return Err(StsError::StillSilent { endpoint: sts.url().to_owned() });
            }
            let started = host.clock.uptime();
            let assumed = assume(&sts, wanted);
            if matches!(assumed, Err(StsError::Unreachable { .. })) {
                self.silent().insert(sts.url().to_owned());
            }
            // The time before the call, as it is known after it: the call may have told the time.
            let taken = host.clock.uptime().saturating_sub(started);
            at = host.true_time().saturating_sub(taken.try_into().unwrap_or_default());
            assumed
        })?;
        let (assumed, reduced) = assumed;
        Ok(Hop { issued: assumed.issued, at, reduced, region: answered.to_owned() })
    }

    fn silent(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The region for a call of STS that concerns `role`. A custom endpoint needs none to be found, only one to sign for;
/// then it is the one that the partition of the role stands for.
///
/// # Errors
///
/// When there is none.
pub fn sts_region<'r>(
    profile: &Profile,
    role: Option<&Role>,
    region: Option<&'r str>,
) -> Result<&'r str, StsError> {
    let partition = || Partition::named(role?.role_arn.split(':').nth(1)?);
    let implicit = || profile.sts.endpoint.custom_url().and_then(|_| Some(partition()?.implicit_region));
    region.or_else(implicit).ok_or(StsError::NoRegion)
}

fn assume(sts: &Sts<'_>, wanted: &Wanted<'_>) -> Result<(AssumedRole, Option<ReducedDuration>), StsError> {
    let Wanted { role, session_name: role_session_name, proof, token_code, known_reduced } = *wanted;
    let configured = role.duration_seconds.unwrap_or(ONE_HOUR);
    let known = known_reduced
        .iter()
        .find(|known| known.role_arn == role.role_arn && known.configured == configured)
        .cloned();
    let asked = known.as_ref().map_or(configured, |known| known.effective);
    let call = |duration_seconds| AssumeRole { role, role_session_name, duration_seconds, proof, token_code };
    match sts.assume_role(&call(asked)) {
        Ok(assumed) => Ok((assumed, known)),
        Err(StsError::Service { error, .. })
            if error.class() == ErrorClass::ChainedDuration && asked > ONE_HOUR =>
        {
            warn!(
                "`{}`: a role may be assumed from another role for one hour only, not {asked} s",
                role.role_arn
            );
            let assumed = sts.assume_role(&call(ONE_HOUR))?;
            let reduced =
                ReducedDuration { role_arn: role.role_arn.clone(), configured, effective: ONE_HOUR };
            Ok((assumed, Some(reduced)))
        }
        Err(error) => Err(error),
    }
}
