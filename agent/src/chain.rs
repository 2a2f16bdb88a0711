//! A chain of roles, carried out: base source first, then one `AssumeRole` for each role, each signed with the
//! credentials that the step before gave. What several chains share, the base credentials and what IMDS says of
//! the instance, is fetched once.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::info;
use time::OffsetDateTime;

use crate::config::model::{BaseSource, Profile, Role};
use crate::credentials::{IssuedCredentials, Secret};
use crate::disposition::Disposition;
use crate::host::Host;
use crate::output::state::ReducedDuration;
use crate::source::{Base, SourceError, Sources};
use crate::sts::{ErrorClass, Proof, StsError, Wanted};
use crate::terminal::{NoCode, ask_for_code};

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
    /// The base source; shared by the chains that start there.
    Source(Arc<SourceError>),
    /// The role of this profile could not be assumed.
    Role {
        /// The role.
        role_arn: String,
        /// Why.
        cause: StsError,
    },
    /// The role asks for the code of an MFA device, and there is none.
    Mfa {
        /// The device.
        serial: String,
        /// The profile of the role.
        profile: String,
        /// Why.
        cause: NoCode,
    },
    /// STS, outside of a role.
    Sts(StsError),
}

/// Carries out chains, and remembers what they share for as long as it lives.
#[derive(Debug)]
pub struct Chains<'a> {
    sources: Sources<'a>,
    /// The last code of each MFA device, which STS does not take a second time.
    codes: Mutex<HashMap<String, Secret>>,
}

impl<'a> Chains<'a> {
    /// Nothing is fetched yet.
    #[must_use]
    pub fn new(host: &'a Host<'a>) -> Self {
        Self { sources: Sources::new(host), codes: Mutex::default() }
    }

    /// The host as `profile` wants it to be: with the time that services have told, or with its own clock.
    #[must_use]
    pub fn host(&self, profile: &Profile) -> &Host<'a> {
        self.sources.host(profile)
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
        let (fetched, base) = self.sources.base(profile);
        match self.attempt(profile, base, known_reduced) {
            Err(ChainError::Role { cause: StsError::Service { error, .. }, .. })
                if error.class() == ErrorClass::StaleCredentials
                    && !matches!(profile.chain.base, BaseSource::StaticKeys { .. }) =>
            {
                info!(
                    "profile `{}`: the base credentials are stale; they are fetched once more",
                    profile.name
                );
                self.sources.forget(profile, &fetched);
                let (_, base) = self.sources.base(profile);
                self.attempt(profile, base, known_reduced)
            }
            outcome => outcome,
        }
    }

    fn attempt(
        &self,
        profile: &Profile,
        base: Result<Base, Arc<SourceError>>,
        known_reduced: &[ReducedDuration],
    ) -> Result<Obtained, ChainError> {
        let base = base.map_err(ChainError::Source)?;
        let region = match &profile.region {
            Some(configured) => Some(configured.clone()),
            None => self.sources.identity(profile).map_err(ChainError::Source)?.region,
        };
        let Base { mut issued, mut at, real_expiration, mut fallback_region } = base;
        let mut reduced = Vec::new();
        for role in &profile.chain.roles {
            let session_name = self.sources.session_name(profile, role).map_err(ChainError::Source)?;
            // The next hop begins where this one was answered.
            let asked = fallback_region.as_deref().or(region.as_deref());
            let proof = Proof::Keys(&issued.credentials);
            let code = self.token_code(profile, role)?;
            let token_code = code.as_ref();
            let wanted = Wanted { role, session_name: &session_name, proof, token_code, known_reduced };
            let hop = self
                .sources
                .hops
                .assume(self.host(profile), profile, &wanted, asked)
                .map_err(|cause| ChainError::Role { role_arn: role.role_arn.clone(), cause })?;
            // Without a region, STS has a custom endpoint, which has no fallback.
            if asked.is_some_and(|asked| asked != hop.region) {
                fallback_region = Some(hop.region);
            }
            (issued, at) = (hop.issued, hop.at);
            reduced.extend(hop.reduced);
        }
        let real_expiration = real_expiration.filter(|_| profile.chain.roles.is_empty());
        Ok(Obtained { issued, at, region, real_expiration, reduced, fallback_region })
    }

    /// The code of the device that `role` asks for. Several threads ask one after the other.
    fn token_code(&self, profile: &Profile, role: &Role) -> Result<Option<Secret>, ChainError> {
        let Some(serial) = &role.mfa_serial else { return Ok(None) };
        let failed = |cause| ChainError::Mfa { serial: serial.clone(), profile: role.profile.clone(), cause };
        let host = self.host(profile);
        if !host.is_attended() {
            return Err(failed(NoCode::Unattended));
        }
        // What a thread that panicked has left behind is whole: every change is one insertion.
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let used = codes.get(serial);
        let code = ask_for_code(serial, &role.profile, used, host.clock).map_err(failed)?;
        codes.insert(serial.clone(), code.clone());
        Ok(Some(code))
    }
}

impl ChainError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Source(cause) => cause.disposition(),
            Self::Role { cause, .. } | Self::Sts(cause) => cause.disposition(),
            Self::Mfa { .. } => Disposition::Misconfigured,
        }
    }

    /// Whether the instance metadata service is out of order, rather than refusing.
    #[must_use]
    pub fn is_imds_outage(&self) -> bool {
        matches!(self, Self::Source(cause) if cause.is_imds_outage())
    }

    /// Whether the instance metadata service was asked, and did not give what was wanted: a region too, because what
    /// no region could come from has been refused before.
    #[must_use]
    pub fn is_answer_of_imds(&self) -> bool {
        matches!(self, Self::Source(cause) if cause.is_answer_of_imds())
            || matches!(self, Self::Role { cause: StsError::NoRegion, .. })
    }

    /// How long the service wants to be left alone, where it says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Source(cause) => cause.retry_after(),
            Self::Role { cause, .. } | Self::Sts(cause) => cause.retry_after(),
            Self::Mfa { .. } => None,
        }
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Source(cause) => cause.advice(),
            Self::Role { cause, .. } | Self::Sts(cause) => cause.advice(),
            Self::Mfa { .. } => Some(
                "run `rolekeeper refresh` at a terminal, or let the agent use a role whose trust policy does not ask for MFA"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(_) => f.write_str("no base credentials"),
            Self::Role { role_arn, .. } => write!(f, "role `{role_arn}` was not assumed"),
            Self::Mfa { serial, profile, .. } => {
                write!(f, "`mfa_serial` of profile `{profile}` asks for a code of `{serial}`")
            }
            Self::Sts(_) => f.write_str("asking STS failed"),
        }
    }
}

impl Error for ChainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source(cause) => Some(cause.as_ref()),
            Self::Role { cause, .. } | Self::Sts(cause) => Some(cause),
            Self::Mfa { cause, .. } => Some(cause),
        }
    }
}
