//! A chain of roles, carried out: base source first, then one `AssumeRole` for each role, each signed with the
//! credentials that the step before gave. What several chains share, the base credentials and what IMDS says of
//! the instance, is fetched once.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{info, warn};
use time::OffsetDateTime;

use crate::config::model::{BaseSource, Profile, Role};
use crate::config::partition::Partition;
use crate::credentials::IssuedCredentials;
use crate::disposition::Disposition;
use crate::host::Host;
use crate::output::state::ReducedDuration;
use crate::source::imds::{Imds, ImdsError, InstanceCredentials, InstanceIdentity};
use crate::sts::{self, AssumeRole, ErrorClass, Sts, StsError};

/// What a role grants to another role at most, and what is asked for where nothing is configured.
const ONE_HOUR: u32 = 3600;

/// What a chain gave.
#[derive(Clone, Debug)]
pub struct Obtained {
    /// The credentials at the end of the chain.
    pub issued: IssuedCredentials,
    /// When they were issued, in AWS's time.
    pub at: OffsetDateTime,
    /// The region of the profile, from the configuration or the instance.
    pub region: Option<String>,
    /// When expired instance credentials really expired; only where they are what the chain gives.
    pub real_expiration: Option<OffsetDateTime>,
    /// Durations that STS did not grant.
    pub reduced: Vec<ReducedDuration>,
    /// The region whose STS gave them, where it is one of the fallback regions.
    pub fallback_region: Option<String>,
}

/// Why a chain gave nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChainError {
    /// The instance metadata service; shared by the chains that start there.
    Imds(Arc<ImdsError>),
    /// The role of this profile could not be assumed.
    Role {
        /// The role.
        role_arn: String,
        /// Why.
        cause: StsError,
    },
    /// STS, outside of a role.
    Sts(StsError),
    /// The static keys of this profile cannot be written into the files that are published.
    UnusableKeys {
        /// The profile that holds them.
        profile: String,
    },
}

/// Carries out chains, and remembers what they share for as long as it lives.
#[derive(Debug)]
pub struct Chains<'a> {
    host: &'a Host<'a>,
    /// The same host for profiles that believe its clock.
    uncorrected: Host<'a>,
    /// Held while they are fetched, so that chains that run side by side fetch them once.
    instances: Mutex<HashMap<InstanceKey, Result<InstanceCredentials, Arc<ImdsError>>>>,
    identities: Mutex<HashMap<String, InstanceIdentity>>,
    /// STS endpoints that did not answer: what is bound to fail need not take its time again for every profile.
    silent: Mutex<BTreeSet<String>>,
}

type InstanceKey = (String, Option<String>, bool);

impl<'a> Chains<'a> {
    /// Nothing is fetched yet.
    #[must_use]
    pub fn new(host: &'a Host<'a>) -> Self {
        let (instances, identities) = (Mutex::default(), Mutex::default());
        Self { host, uncorrected: host.uncorrected(), instances, identities, silent: Mutex::default() }
    }

    /// The host as `profile` wants it to be: with the time that services have told, or with its own clock.
    #[must_use]
    pub fn host(&self, profile: &Profile) -> &Host<'a> {
        if profile.corrects_clock { self.host } else { &self.uncorrected }
    }

    /// Carries out the chain of `profile`. `known_reduced` are the durations that STS is known not to grant.
    ///
    /// # Errors
    ///
    /// The first step that failed, and why.
    pub fn obtain(
        &self,
        profile: &Profile,
        known_reduced: &[ReducedDuration],
    ) -> Result<Obtained, ChainError> {
        match self.attempt(profile, known_reduced) {
            Err(ChainError::Role { cause: StsError::Service { error, .. }, .. })
                if error.class() == ErrorClass::StaleCredentials
                    && matches!(profile.chain.base, BaseSource::Ec2InstanceMetadata) =>
            {
                info!("profile `{}`: the base credentials are stale; they are read once more", profile.name);
                locked(&self.instances).remove(&instance_key(profile));
                self.attempt(profile, known_reduced)
            }
            outcome => outcome,
        }
    }

    /// The region of `profile`: the configured one, else, where its chain starts at IMDS, the instance's.
    fn region(&self, profile: &Profile) -> Result<Option<String>, ChainError> {
        if profile.region.is_some() || !matches!(profile.chain.base, BaseSource::Ec2InstanceMetadata) {
            return Ok(profile.region.clone());
        }
        Ok(self.identity(profile)?.region)
    }

    fn attempt(&self, profile: &Profile, known_reduced: &[ReducedDuration]) -> Result<Obtained, ChainError> {
        let (mut issued, real_expiration) = self.base(profile)?;
        let region = self.region(profile)?;
        let host = self.host(profile);
        let mut at = host.true_time();
        let mut reduced = Vec::new();
        let mut fallback_region: Option<String> = None;
        for role in &profile.chain.roles {
            let failed = |cause| ChainError::Role { role_arn: role.role_arn.clone(), cause };
            // The next hop begins where this one was answered.
            let region = match fallback_region.as_deref() {
                Some(region) => region,
                None => sts_region(profile, role, region.as_deref()).map_err(failed)?,
            };
            let session_name = self.session_name(profile, role)?;
            let (assumed, answered) = sts::somewhere(region, &profile.sts_fallback_regions, |region| {
                let sts = Sts::new(&profile.sts, region, host)?;
                if locked(&self.silent).contains(sts.url()) {
                    return Err(StsError::StillSilent { endpoint: sts.url().to_owned() });
                }
                let started = host.clock.uptime();
                let assumed = assume(&sts, role, &session_name, &issued, known_reduced);
                if matches!(assumed, Err(StsError::Unreachable { .. })) {
                    locked(&self.silent).insert(sts.url().to_owned());
                }
                // The time before the call, as it is known after it: the call may have told the time.
                let taken = host.clock.uptime().saturating_sub(started);
                at = host.true_time().saturating_sub(taken.try_into().unwrap_or_default());
                assumed
            })
            .map_err(failed)?;
            let (next, reduction) = assumed;
            if answered != region {
                fallback_region = Some(answered.to_owned());
            }
            issued = next;
            reduced.extend(reduction);
        }
        let real_expiration = real_expiration.filter(|_| profile.chain.roles.is_empty());
        Ok(Obtained { issued, at, region, real_expiration, reduced, fallback_region })
    }

    fn base(&self, profile: &Profile) -> Result<(IssuedCredentials, Option<OffsetDateTime>), ChainError> {
        match &profile.chain.base {
            BaseSource::Ec2InstanceMetadata => {
                let instance = self.instance(profile)?;
                Ok((instance.issued, instance.real_expiration))
            }
            BaseSource::StaticKeys { credentials, account_id, profile: holder } => {
                if !credentials.are_plain() {
                    return Err(ChainError::UnusableKeys { profile: holder.clone() });
                }
                let issued = IssuedCredentials {
                    credentials: credentials.clone(),
                    expiration: None,
                    account_id: account_id.clone(),
                };
                Ok((issued, None))
            }
        }
    }

    fn instance(&self, profile: &Profile) -> Result<InstanceCredentials, ChainError> {
        let mut instances = locked(&self.instances);
        let fetched = instances
            .entry(instance_key(profile))
            .or_insert_with(|| self.fetch_instance(profile).map_err(Arc::new));
        fetched.clone().map_err(ChainError::Imds)
    }

    fn fetch_instance(&self, profile: &Profile) -> Result<InstanceCredentials, ImdsError> {
        let imds = Imds::open(&profile.imds, self.host(profile))?;
        let fetched = imds.credentials()?;
        info!("instance profile role `{}`", fetched.role_name);
        // While the session token is at hand: one request more only for what the configuration leaves open.
        if profile.region.is_none() || profile.chain.roles.iter().any(|role| role.role_session_name.is_none())
        {
            let mut identities = locked(&self.identities);
            if !identities.contains_key(&profile.imds.endpoint) {
                identities.insert(profile.imds.endpoint.clone(), identity_of(&imds, profile)?);
            }
        }
        Ok(fetched)
    }

    fn identity(&self, profile: &Profile) -> Result<InstanceIdentity, ChainError> {
        let failed = |cause| ChainError::Imds(Arc::new(cause));
        let mut identities = locked(&self.identities);
        if let Some(identity) = identities.get(&profile.imds.endpoint) {
            return Ok(identity.clone());
        }
        let imds = Imds::open(&profile.imds, self.host(profile)).map_err(failed)?;
        let identity = identity_of(&imds, profile).map_err(failed)?;
        identities.insert(profile.imds.endpoint.clone(), identity.clone());
        Ok(identity)
    }

    fn session_name(&self, profile: &Profile, role: &Role) -> Result<String, ChainError> {
        if let Some(configured) = &role.role_session_name {
            return Ok(configured.clone());
        }
        let instance_id = match profile.chain.base {
            BaseSource::Ec2InstanceMetadata => self.identity(profile)?.instance_id,
            BaseSource::StaticKeys { .. } => None,
        };
        let host_name = nix::unistd::gethostname().unwrap_or_default();
        Ok(default_session_name(instance_id.as_deref(), &host_name.to_string_lossy()))
    }
}

/// The instance's identity, with the region from elsewhere where the document lacks it.
fn identity_of(imds: &Imds<'_>, profile: &Profile) -> Result<InstanceIdentity, ImdsError> {
    let mut identity = match imds.identity() {
        Ok(identity) => identity.unwrap_or_default(),
        // Without it the session is named after the host, which is no reason to have no session.
        Err(error) if profile.region.is_some() => {
            warn!("the instance's identity is not known: {error}");
            InstanceIdentity::default()
        }
        Err(error) => return Err(error),
    };
    if identity.region.is_none() && profile.region.is_none() {
        identity.region = imds.region()?;
    }
    Ok(identity)
}

/// What a thread that panicked has left behind is whole: every change is one insertion.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The region for STS. A custom endpoint needs none to be found, only one to sign for; then it is the one that the
/// partition of the role stands for.
fn sts_region<'r>(profile: &Profile, role: &Role, region: Option<&'r str>) -> Result<&'r str, StsError> {
    let partition = || Partition::named(role.role_arn.split(':').nth(1)?);
    let implicit = || profile.sts.endpoint.custom_url().and_then(|_| Some(partition()?.implicit_region));
    region.or_else(implicit).ok_or(StsError::NoRegion)
}

fn instance_key(profile: &Profile) -> InstanceKey {
    (profile.imds.endpoint.clone(), profile.imds.instance_profile_name.clone(), profile.corrects_clock)
}

fn assume(
    sts: &Sts<'_>,
    role: &Role,
    role_session_name: &str,
    caller: &IssuedCredentials,
    known_reduced: &[ReducedDuration],
) -> Result<(IssuedCredentials, Option<ReducedDuration>), StsError> {
    let configured = role.duration_seconds.unwrap_or(ONE_HOUR);
    let known = known_reduced
        .iter()
        .find(|known| known.role_arn == role.role_arn && known.configured == configured)
        .cloned();
    let asked = known.as_ref().map_or(configured, |known| known.effective);
    let call = |duration_seconds| AssumeRole {
        role_arn: &role.role_arn,
        role_session_name,
        duration_seconds,
        external_id: role.external_id.as_deref(),
    };
    match sts.assume_role(&call(asked), &caller.credentials) {
        Ok(assumed) => Ok((assumed.issued, known)),
        Err(StsError::Service { error, .. })
            if error.class() == ErrorClass::ChainedDuration && asked > ONE_HOUR =>
        {
            warn!(
                "`{}`: a role may be assumed from another role for one hour only, not {asked} s",
                role.role_arn
            );
            let assumed = sts.assume_role(&call(ONE_HOUR), &caller.credentials)?;
            let reduced =
                ReducedDuration { role_arn: role.role_arn.clone(), configured, effective: ONE_HOUR };
            Ok((assumed.issued, Some(reduced)))
        }
        Err(error) => Err(error),
    }
}

/// `rolekeeper-<instance id>`, else the host name, in the alphabet and the lengths of `RoleSessionName`.
#[must_use]
pub fn default_session_name(instance_id: Option<&str>, host_name: &str) -> String {
    const LONGEST: usize = 64;
    const SHORTEST: usize = 2;
    let name = instance_id.map_or_else(|| host_name.to_owned(), |id| format!("rolekeeper-{id}"));
    let clean = |character: char| {
        if character.is_ascii_alphanumeric() || "_+=,.@-".contains(character) { character } else { '-' }
    };
    let cleaned: String = name.trim().chars().take(LONGEST).map(clean).collect();
    if cleaned.len() < SHORTEST {
        format!("rolekeeper-{cleaned}").trim_end_matches('-').to_owned()
    } else {
        cleaned
    }
}

impl ChainError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Imds(cause) => cause.disposition(),
            Self::Role { cause, .. } | Self::Sts(cause) => cause.disposition(),
            Self::UnusableKeys { .. } => Disposition::Misconfigured,
        }
    }

    /// Whether the instance metadata service is out of order, rather than refusing.
    #[must_use]
    pub fn is_imds_outage(&self) -> bool {
        matches!(self, Self::Imds(cause) if cause.is_outage())
    }

    /// Whether the instance metadata service was asked, and did not give what was wanted.
    #[must_use]
    pub fn is_answer_of_imds(&self) -> bool {
        matches!(self, Self::Imds(cause) if !matches!(**cause, ImdsError::Disabled))
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Imds(cause) => cause.advice(),
            Self::Role { cause, .. } | Self::Sts(cause) => cause.advice(),
            Self::UnusableKeys { .. } => {
                Some("copy the keys again, without quotes, spaces or comments behind them".to_owned())
            }
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imds(_) => f.write_str("no base credentials"),
            Self::Role { role_arn, .. } => write!(f, "role `{role_arn}` was not assumed"),
            Self::Sts(_) => f.write_str("STS was not asked"),
            Self::UnusableKeys { profile } => {
                write!(f, "the static keys of profile `{profile}` hold characters that keys never have")
            }
        }
    }
}

impl Error for ChainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Imds(cause) => Some(cause.as_ref()),
            Self::Role { cause, .. } | Self::Sts(cause) => Some(cause),
            Self::UnusableKeys { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::default_session_name;

    #[test]
    fn default_session_names_identify_the_host_in_sts_alphabet() {
        for (instance, host, expected) in [
            (Some("i-0123456789abcdef0"), "web", "rolekeeper-i-0123456789abcdef0"),
            (None, "web_01.example.com/eu", "web_01.example.com-eu"),
            (None, "kühlschrank", "k-hlschrank"),
            (None, "a", "rolekeeper-a"),
            (None, "", "rolekeeper"),
        ] {
            assert_eq!(default_session_name(instance, host), expected);
        }
        assert_eq!(default_session_name(None, &"x".repeat(200)).len(), 64);
    }
}
