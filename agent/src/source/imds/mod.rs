//! The EC2 instance metadata service, version 2 only: which documents to ask for, in which order, and what a
//! 404 means at each step. The rules are the SDKs' common ones: extended path first, a 404 there switches to
//! the older path, a role that vanished between listing and document is listed once more.

mod document;
mod error;
mod session;

pub use document::InstanceIdentity;
pub use error::ImdsError;

use std::time::Duration;

use log::warn;
use time::OffsetDateTime;

use self::session::Session;
use crate::config::model::ImdsSettings;
use crate::credentials::IssuedCredentials;
use crate::encode::percent_encode;
use crate::host::Host;
use crate::timestamp::Rfc3339Seconds;

const EXTENDED: &str = "/latest/meta-data/iam/security-credentials-extended/";
const LEGACY: &str = "/latest/meta-data/iam/security-credentials/";
const IDENTITY: &str = "/latest/dynamic/instance-identity/document";
const REGION: &str = "/latest/meta-data/placement/region";

/// Expired credentials are offered for this much longer: more than the 15 minutes below which botocore calls
/// them expiring. A random part, of eight minutes at most, is added, so that a fleet does not come back at once.
pub const EXTENSION: time::Duration = time::Duration::minutes(15);
const EXTENSION_JITTER: Duration = Duration::from_secs(8 * 60);

/// One conversation with the instance metadata service: one session token, one deadline.
#[derive(Debug)]
pub struct Imds<'a> {
    session: Session<'a>,
    settings: &'a ImdsSettings,
    host: &'a Host<'a>,
}

/// The credentials of the instance profile.
#[derive(Clone, Debug)]
pub struct InstanceCredentials {
    /// The credentials; `expiration` is the advertised one, which [`Self::real_expiration`] may contradict.
    pub issued: IssuedCredentials,
    /// The role name that IMDS lists.
    pub role_name: String,
    /// When the credentials really expired, where IMDS handed out expired ones and their advertised expiration
    /// was therefore extended.
    pub real_expiration: Option<OffsetDateTime>,
}

impl<'a> Imds<'a> {
    /// Prepares a conversation; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the settings forbid to contact the service.
    pub fn open(settings: &'a ImdsSettings, host: &'a Host<'a>) -> Result<Self, ImdsError> {
        if settings.disabled {
            return Err(ImdsError::Disabled);
        }
        Ok(Self { session: Session::new(&settings.endpoint, host), settings, host })
    }

    /// Fetches the credentials of the instance profile.
    ///
    /// # Errors
    ///
    /// When the service cannot be reached, refuses, or has no usable credentials.
    pub fn credentials(&self) -> Result<InstanceCredentials, ImdsError> {
        let (role_name, document) = match &self.settings.instance_profile_name {
            Some(name) => self.configured(name)?,
            None => self.discovered()?,
        };
        let mut issued = document.into_issued()?;
        let real_expiration = self.extend_if_expired(&mut issued);
        Ok(InstanceCredentials { issued, role_name, real_expiration })
    }

    /// Fetches the identity document of the instance; `None` where this service has none.
    ///
    /// # Errors
    ///
    /// When the service cannot be reached or refuses.
    pub fn identity(&self) -> Result<Option<InstanceIdentity>, ImdsError> {
        self.session.get(IDENTITY, InstanceIdentity::parse)
    }

    /// Fetches the region of the instance; `None` where this service does not tell.
    ///
    /// # Errors
    ///
    /// When the service cannot be reached or refuses.
    pub fn region(&self) -> Result<Option<String>, ImdsError> {
        self.session.get(REGION, document::parse_region)
    }

    fn configured(&self, name: &str) -> Result<(String, document::CredentialDocument), ImdsError> {
        for family in [EXTENDED, LEGACY] {
            if let Some(document) = self.document(family, name)? {
                return Ok((name.to_owned(), document));
            }
        }
        Err(ImdsError::UnknownInstanceProfile(name.to_owned()))
    }

    fn discovered(&self) -> Result<(String, document::CredentialDocument), ImdsError> {
        let mut family = EXTENDED;
        let mut listed = self.session.get(family, document::parse_role_name)?;
        if listed.is_none() {
            family = LEGACY;
            listed = self.session.get(family, document::parse_role_name)?;
        }
        let name = listed.ok_or(ImdsError::NoInstanceProfile)?;
        if let Some(document) = self.document(family, &name)? {
            return Ok((name, document));
        }
        // The role was swapped between the two requests: one more round, and no third.
        listed = self.session.get(family, document::parse_role_name)?;
        let name = listed.ok_or(ImdsError::NoInstanceProfile)?;
        let document = self.document(family, &name)?.ok_or(ImdsError::NoInstanceProfile)?;
        Ok((name, document))
    }

    fn document(
        &self,
        family: &str,
        role_name: &str,
    ) -> Result<Option<document::CredentialDocument>, ImdsError> {
        let path = format!("{family}{}", percent_encode(role_name));
        self.session.get(&path, document::CredentialDocument::parse)
    }

    /// Static stability: an IMDS that cannot renew hands out its last credentials, and the services may still
    /// accept them. Only the advertised expiration moves, because botocore and the JavaScript SDK refuse a
    /// document that says it has expired.
    fn extend_if_expired(&self, issued: &mut IssuedCredentials) -> Option<OffsetDateTime> {
        let now = self.host.true_time();
        let real = issued.expiration.filter(|expiration| *expiration <= now)?;
        let advertised = extended_expiration(self.host);
        warn!(
            "the instance metadata service handed out credentials that expired at {}; \
             they are published as valid until {}, and the service decides",
            Rfc3339Seconds(real),
            Rfc3339Seconds(advertised)
        );
        issued.expiration = Some(advertised);
        Some(real)
    }
}

/// The expiration that is advertised for credentials that IMDS should have renewed and has not.
#[must_use]
pub fn extended_expiration(host: &Host<'_>) -> OffsetDateTime {
    let random = host.jitter.duration_up_to(EXTENSION_JITTER);
    let extension = EXTENSION.saturating_add(random.try_into().unwrap_or_default());
    host.true_time().saturating_add(extension)
}
