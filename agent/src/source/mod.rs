//! Base sources: where a chain of roles starts. A source is one file here and one arm in [`Sources`], with its variant
//! in [`BaseSource`] and [`SourceError`]; what it gives is fetched once for all the chains that start at it.

mod container;
mod endpoint;
mod error;
mod federated;
pub mod imds;
pub mod process;

pub use endpoint::EndpointError;
pub use error::SourceError;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use log::{info, warn};
use time::OffsetDateTime;

use self::imds::{Imds, ImdsError, InstanceIdentity};
use crate::config::model::{BaseSource, Profile, Role};
use crate::credentials::IssuedCredentials;
use crate::host::Host;
use crate::sts::{Hops, Proof, Wanted, default_session_name};

/// What a base source gave.
#[derive(Clone, Debug)]
pub struct Base {
    /// The credentials; an absent expiration means that they do not expire, as far as the source tells.
    pub issued: IssuedCredentials,
    /// When they were issued or, where the source does not tell, fetched; in AWS's time.
    pub at: OffsetDateTime,
    /// When they really expired, where their advertised expiration was extended.
    pub real_expiration: Option<OffsetDateTime>,
    /// The region whose STS gave them, where STS did and it is one of the fallback regions.
    pub fallback_region: Option<String>,
}

/// What came of one base source; filled by the first chain that needs it, while the others wait.
pub type Fetched = Arc<OnceLock<Result<Base, Arc<SourceError>>>>;

/// Fetches base credentials, each once, and what the instance metadata service says of the instance.
#[derive(Debug)]
pub struct Sources<'a> {
    host: &'a Host<'a>,
    /// The same host for profiles that believe its clock.
    uncorrected: Host<'a>,
    /// How roles are assumed, also by sources that begin with one.
    pub hops: Hops,
    fetched: Mutex<HashMap<String, Fetched>>,
    identities: Mutex<HashMap<String, InstanceIdentity>>,
}

impl<'a> Sources<'a> {
    /// Nothing is fetched yet.
    #[must_use]
    pub fn new(host: &'a Host<'a>) -> Self {
        let (fetched, identities) = (Mutex::default(), Mutex::default());
        Self { host, uncorrected: host.uncorrected(), hops: Hops::default(), fetched, identities }
    }

    /// The host as `profile` wants it to be: with the time that services have told, or with its own clock.
    pub fn host(&self, profile: &Profile) -> &Host<'a> {
        if profile.corrects_clock { self.host } else { &self.uncorrected }
    }

    /// The base credentials of `profile`, fetched unless another chain that starts there has done so.
    ///
    /// # Errors
    ///
    /// Why the source has none; the same for all of these chains.
    pub fn base(&self, profile: &Profile) -> (Fetched, Result<Base, Arc<SourceError>>) {
        let slot = Arc::clone(locked(&self.fetched).entry(sharing_key(profile)).or_default());
        let base = slot.get_or_init(|| self.fetch(profile).map_err(Arc::new)).clone();
        (slot, base)
    }

    /// Forgets `stale`, which `profile` was given, unless another chain has fetched anew since.
    pub fn forget(&self, profile: &Profile, stale: &Fetched) {
        let mut fetched = locked(&self.fetched);
        let key = sharing_key(profile);
        if fetched.get(&key).is_some_and(|known| Arc::ptr_eq(known, stale)) {
            fetched.remove(&key);
        }
    }

    /// One arm for each source.
    fn fetch(&self, profile: &Profile) -> Result<Base, SourceError> {
        let host = self.host(profile);
        match &profile.chain.base {
            BaseSource::Ec2InstanceMetadata => self.instance(profile).map_err(SourceError::Imds),
            BaseSource::StaticKeys { issued, holder } if !issued.credentials.are_plain() => {
                Err(SourceError::UnusableKeys(holder.clone()))
            }
            BaseSource::StaticKeys { issued, .. } => fetched_now(issued.clone(), host),
            BaseSource::EcsContainer(settings) => {
                container::fetch(settings, profile.sts.ca_bundle.as_deref(), host)
                    .and_then(|issued| fetched_now(issued, host))
            }
            BaseSource::Process(settings) => {
                process::fetch(settings, host.clock).and_then(|issued| fetched_now(issued, host))
            }
            BaseSource::WebIdentity { role, token_file } => {
                let token = federated::read_token(token_file)?;
                self.first_role(profile, role, Proof::WebIdentity { token: &token })
            }
            BaseSource::Saml { role, principal_arn, assertion_file } => {
                let assertion = federated::read_assertion(assertion_file)?;
                self.first_role(profile, role, Proof::Saml { principal_arn, assertion: &assertion })
            }
        }
    }

    fn first_role(&self, profile: &Profile, role: &Role, proof: Proof<'_>) -> Result<Base, SourceError> {
        let region = profile.region.as_deref();
        let host_name = nix::unistd::gethostname().unwrap_or_default();
        let session_name = role
            .role_session_name
            .clone()
            .unwrap_or_else(|| default_session_name(None, &host_name.to_string_lossy()));
        // No chain begins before this role, so there is no hour to be held to.
        let wanted = Wanted { role, session_name: &session_name, proof, known_reduced: &[] };
        let hop = self
            .hops
            .assume(self.host(profile), profile, &wanted, region)
            .map_err(|cause| SourceError::Role { role_arn: role.role_arn.clone(), cause })?;
        let fallback_region = region.is_some_and(|asked| asked != hop.region).then_some(hop.region);
        Ok(Base { issued: hop.issued, at: hop.at, real_expiration: None, fallback_region })
    }

    fn instance(&self, profile: &Profile) -> Result<Base, ImdsError> {
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
        let (issued, at) = (fetched.issued, self.host(profile).true_time());
        Ok(Base { issued, at, real_expiration: fetched.real_expiration, fallback_region: None })
    }

    /// The name of the session of `role`: the configured one, else one that identifies the host.
    ///
    /// # Errors
    ///
    /// When it takes the instance's id and IMDS does not answer.
    pub fn session_name(&self, profile: &Profile, role: &Role) -> Result<String, Arc<SourceError>> {
        if let Some(configured) = &role.role_session_name {
            return Ok(configured.clone());
        }
        let identity = self.identity(profile)?;
        let host_name = nix::unistd::gethostname().unwrap_or_default();
        Ok(default_session_name(identity.instance_id.as_deref(), &host_name.to_string_lossy()))
    }

    /// What IMDS says of the instance; nothing for a chain that starts elsewhere, and IMDS is not asked.
    ///
    /// # Errors
    ///
    /// When IMDS does not say what this profile needs.
    pub fn identity(&self, profile: &Profile) -> Result<InstanceIdentity, Arc<SourceError>> {
        if !profile.chain.base.is_instance() {
            return Ok(InstanceIdentity::default());
        }
        let failed = |cause| Arc::new(SourceError::Imds(cause));
        let mut identities = locked(&self.identities);
        if let Some(identity) = identities.get(&profile.imds.endpoint) {
            return Ok(identity.clone());
        }
        let imds = Imds::open(&profile.imds, self.host(profile)).map_err(failed)?;
        let identity = identity_of(&imds, profile).map_err(failed)?;
        identities.insert(profile.imds.endpoint.clone(), identity.clone());
        Ok(identity)
    }
}

/// Credentials that somebody else issued, unless they have expired.
fn fetched_now(issued: IssuedCredentials, host: &Host<'_>) -> Result<Base, SourceError> {
    let at = host.true_time();
    match issued.expiration.filter(|expiration| *expiration <= at) {
        Some(expired) => Err(SourceError::Expired(expired)),
        None => Ok(Base { issued, at, real_expiration: None, fallback_region: None }),
    }
}

/// Equal for chains that start at the same source in the same way. Secrets are not part of it: a source that has
/// them in its configuration names where they stand.
fn sharing_key(profile: &Profile) -> String {
    let base = &profile.chain.base;
    if base.is_instance() {
        format!("{:?}{}", profile.imds, profile.corrects_clock)
    } else if base.first_role().is_some() {
        // Where STS is asked, and which, is part of the question.
        format!(
            "{base:?}{:?}{:?}{:?}{}",
            profile.region, profile.sts, profile.sts_fallback_regions, profile.corrects_clock
        )
    } else {
        format!("{base:?}{:?}{}", profile.sts.ca_bundle, profile.corrects_clock)
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
