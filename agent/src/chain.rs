//! A chain of roles, carried out: base source first, then one `AssumeRole` for each role, each signed with the
//! credentials that the step before gave. What several chains share, the base credentials and what IMDS says of
//! the instance, is fetched once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;

use log::{info, warn};
use time::OffsetDateTime;

use crate::config::model::{BaseSource, Profile, Role};
use crate::credentials::IssuedCredentials;
use crate::disposition::Disposition;
use crate::host::Host;
use crate::output::state::ReducedDuration;
use crate::source::imds::{Imds, ImdsError, InstanceCredentials, InstanceIdentity};
use crate::sts::{AssumeRole, ErrorClass, Sts, StsError};

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
}

/// Why a chain gave nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChainError {
    /// The instance metadata service.
    Imds(ImdsError),
    /// The role of this profile could not be assumed.
    Role {
        /// The role.
        role_arn: String,
        /// Why.
        cause: StsError,
    },
    /// STS, outside of a role.
    Sts(StsError),
}

/// Carries out chains, and remembers what they share for as long as it lives.
#[derive(Debug)]
pub struct Chains<'a> {
    host: &'a Host<'a>,
    instances: RefCell<HashMap<InstanceKey, InstanceCredentials>>,
    identities: RefCell<HashMap<String, InstanceIdentity>>,
}

type InstanceKey = (String, Option<String>);

impl<'a> Chains<'a> {
    /// Nothing is fetched yet.
    #[must_use]
    pub fn new(host: &'a Host<'a>) -> Self {
        Self { host, instances: RefCell::default(), identities: RefCell::default() }
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
                self.instances.borrow_mut().remove(&instance_key(profile));
                self.attempt(profile, known_reduced)
            }
            outcome => outcome,
        }
    }

    /// The region of `profile`: the configured one, else, where its chain starts at IMDS, the instance's.
    ///
    /// # Errors
    ///
    /// When IMDS has to be asked and cannot be reached.
    pub fn region(&self, profile: &Profile) -> Result<Option<String>, ImdsError> {
        if profile.region.is_some() || !matches!(profile.chain.base, BaseSource::Ec2InstanceMetadata) {
            return Ok(profile.region.clone());
        }
        Ok(self.identity(profile)?.region)
    }

    fn attempt(&self, profile: &Profile, known_reduced: &[ReducedDuration]) -> Result<Obtained, ChainError> {
        let (mut issued, real_expiration) = self.base(profile)?;
        let region = self.region(profile).map_err(ChainError::Imds)?;
        let mut at = self.host.true_time();
        let mut reduced = Vec::new();
        for role in &profile.chain.roles {
            let failed = |cause| ChainError::Role { role_arn: role.role_arn.clone(), cause };
            let region = region.as_deref().ok_or(StsError::NoRegion).map_err(failed)?;
            let sts = Sts::new(&profile.sts, region, self.host).map_err(failed)?;
            let session_name = self.session_name(profile, role)?;
            let started = self.host.clock.uptime();
            let (next, reduction) =
                assume(&sts, role, &session_name, &issued, known_reduced).map_err(failed)?;
            // The time before the call, as it is known after it: the call may have told the time.
            let taken = self.host.clock.uptime().saturating_sub(started);
            at = self.host.true_time().saturating_sub(taken.try_into().unwrap_or_default());
            issued = next;
            reduced.extend(reduction);
        }
        let real_expiration = real_expiration.filter(|_| profile.chain.roles.is_empty());
        Ok(Obtained { issued, at, region, real_expiration, reduced })
    }

    fn base(&self, profile: &Profile) -> Result<(IssuedCredentials, Option<OffsetDateTime>), ChainError> {
        match &profile.chain.base {
            BaseSource::Ec2InstanceMetadata => {
                let instance = self.instance(profile).map_err(ChainError::Imds)?;
                Ok((instance.issued, instance.real_expiration))
            }
            BaseSource::StaticKeys { credentials, account_id, .. } => {
                let issued = IssuedCredentials {
                    credentials: credentials.clone(),
                    expiration: None,
                    account_id: account_id.clone(),
                };
                Ok((issued, None))
            }
        }
    }

    fn instance(&self, profile: &Profile) -> Result<InstanceCredentials, ImdsError> {
        let key = instance_key(profile);
        if let Some(known) = self.instances.borrow().get(&key) {
            return Ok(known.clone());
        }
        let imds = Imds::open(&profile.imds, self.host)?;
        let fetched = imds.credentials()?;
        info!("instance profile role `{}`", fetched.role_name);
        // While the session token is at hand: one request more only for what the configuration leaves open.
        if profile.region.is_none() || profile.chain.roles.iter().any(|role| role.role_session_name.is_none())
        {
            self.learn_identity(profile, &imds)?;
        }
        self.instances.borrow_mut().insert(key, fetched.clone());
        Ok(fetched)
    }

    fn identity(&self, profile: &Profile) -> Result<InstanceIdentity, ImdsError> {
        let known = |identities: &RefCell<HashMap<String, InstanceIdentity>>| {
            identities.borrow().get(&profile.imds.endpoint).cloned()
        };
        if let Some(identity) = known(&self.identities) {
            return Ok(identity);
        }
        self.learn_identity(profile, &Imds::open(&profile.imds, self.host)?)?;
        Ok(known(&self.identities).unwrap_or_default())
    }

    fn learn_identity(&self, profile: &Profile, imds: &Imds<'_>) -> Result<(), ImdsError> {
        if self.identities.borrow().contains_key(&profile.imds.endpoint) {
            return Ok(());
        }
        let mut identity = imds.identity()?.unwrap_or_default();
        if identity.region.is_none() && profile.region.is_none() {
            identity.region = imds.region()?;
        }
        self.identities.borrow_mut().insert(profile.imds.endpoint.clone(), identity);
        Ok(())
    }

    fn session_name(&self, profile: &Profile, role: &Role) -> Result<String, ChainError> {
        if let Some(configured) = &role.role_session_name {
            return Ok(configured.clone());
        }
        let instance_id = match profile.chain.base {
            BaseSource::Ec2InstanceMetadata => self.identity(profile).map_err(ChainError::Imds)?.instance_id,
            BaseSource::StaticKeys { .. } => None,
        };
        let host_name = nix::unistd::gethostname().unwrap_or_default();
        Ok(default_session_name(instance_id.as_deref(), &host_name.to_string_lossy()))
    }
}

fn instance_key(profile: &Profile) -> InstanceKey {
    (profile.imds.endpoint.clone(), profile.imds.instance_profile_name.clone())
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
        }
    }

    /// Whether the instance metadata service is out of order, rather than refusing.
    #[must_use]
    pub fn is_imds_outage(&self) -> bool {
        matches!(self, Self::Imds(cause) if cause.is_outage())
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Imds(cause) => cause.advice(),
            Self::Role { cause, .. } | Self::Sts(cause) => cause.advice(),
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imds(_) => f.write_str("no base credentials"),
            Self::Role { role_arn, .. } => write!(f, "role `{role_arn}` was not assumed"),
            Self::Sts(_) => f.write_str("STS was not asked"),
        }
    }
}

impl Error for ChainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Imds(cause) => Some(cause),
            Self::Role { cause, .. } | Self::Sts(cause) => Some(cause),
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
