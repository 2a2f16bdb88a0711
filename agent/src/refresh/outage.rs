//! Static stability: what is published of an instance profile's credentials while the metadata service is out of
//! order. The keys stay what they were; only the advertised expiration moves, because botocore and the JavaScript SDK
//! refuse a document that says it has expired, while the services may still accept the keys.

use log::warn;

use super::{Entry, Keeper};
use crate::chain::Obtained;
use crate::config::model::Profile;
use crate::error::Error;
use crate::output::render::parse_process_json;
use crate::source::imds::{EXTENSION, extended_expiration};
use crate::timestamp::{Rfc3339Seconds, between};

impl Keeper<'_> {
    /// Advertises the published credentials of `profile` for a while longer, where they are the instance's own, were
    /// obtained with this very configuration, and have expired or are about to. The record is the caller's to store.
    pub(super) fn extend_in_outage(
        &self,
        profile: &Profile,
        entry: &mut Entry<'_>,
        fingerprint: String,
    ) -> Result<(), Error> {
        let is_own = profile.chain.base.is_instance();
        let Some(last) = entry.record.published.as_ref() else { return Ok(()) };
        let Some(expiration) = last.expiration else { return Ok(()) };
        let now = self.host.true_time();
        let is_near = between(now, expiration) <= EXTENSION;
        // Sessions of roles end when STS said so, whatever a file claims.
        if !is_own || !profile.chain.roles.is_empty() || !is_near || last.fingerprint != fingerprint {
            return Ok(());
        }
        let document = self.document(&profile.name, last);
        let Some(mut issued) = document.and_then(|document| parse_process_json(&document.json)) else {
            return Ok(());
        };
        let real = last.real_expiration.unwrap_or(expiration);
        let advertised = extended_expiration(self.host);
        warn!(
            "profile `{}`: the instance metadata service is out of order; credentials that expire at {} are published \
             as valid until {}, and the services decide",
            profile.name,
            Rfc3339Seconds(real),
            Rfc3339Seconds(advertised)
        );
        issued.expiration = Some(advertised);
        let obtained = Obtained {
            issued,
            at: now,
            region: last.region.clone(),
            real_expiration: Some(real),
            reduced: Vec::new(),
            fallback_region: last.fallback_region.clone(),
        };
        // The same set of credentials, so the same generation.
        let published = self.publish(profile, &obtained, fingerprint, last.generation)?;
        entry.record.published = Some(published);
        entry.issued = Some(obtained.issued);
        Ok(())
    }
}
