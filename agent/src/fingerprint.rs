//! The fingerprint of a profile's configuration: equal fingerprints mean that credentials obtained before still
//! match. Keyed with the host's secret, because static keys go into it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::model::{BaseSource, Profile};

/// Everything in `profile` that decides which credentials it gets and how they are published. The region of the
/// instance is not part of it; neither are the refresh settings, which only move the next refresh.
#[must_use]
pub fn fingerprint(key: &[u8], profile: &Profile) -> String {
    // HMAC takes keys of every length.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    let mut fields = Fields(mac);
    fields.add("profile", &profile.name);
    fields.add_optional("region", profile.region.as_deref());
    fields.add("sts", &format!("{:?}", profile.sts));
    match &profile.chain.base {
        BaseSource::Ec2InstanceMetadata => fields.add("imds", &format!("{:?}", profile.imds)),
        BaseSource::StaticKeys { issued, .. } => {
            let credentials = &issued.credentials;
            fields.add("access_key_id", &credentials.access_key_id);
            fields.add("secret_access_key", credentials.secret_access_key.expose());
            fields.add_optional(
                "session_token",
                credentials.session_token.as_ref().map(|token| token.expose()),
            );
            fields.add_optional("account_id", issued.account_id.as_deref());
        }
        // Not the PATH, which differs between a daemon and a shell.
        BaseSource::Process(process) => {
            fields.add("process", &format!("{:?}", process.words));
            fields.add_optional("account_id", process.account_id.as_deref());
        }
        // No secret decides which credentials these give.
        base @ (BaseSource::EcsContainer(_) | BaseSource::WebIdentity { .. } | BaseSource::Saml { .. }) => {
            fields.add("base", &format!("{base:?}"));
        }
    }
    for role in &profile.chain.roles {
        fields.add("role_arn", &role.role_arn);
        fields.add_optional("role_session_name", role.role_session_name.as_deref());
        fields.add_optional("external_id", role.external_id.as_deref());
        fields.add("duration_seconds", &format!("{:?}", role.duration_seconds));
    }
    fields.add("publication", &format!("{:?}", profile.publication));
    fields.0.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Fields(Hmac<Sha256>);

impl Fields {
    /// Lengths in front keep two different lists of fields from reading the same.
    fn add(&mut self, name: &str, value: &str) {
        for part in [name, value] {
            self.0.update(&(part.len() as u64).to_be_bytes());
            self.0.update(part.as_bytes());
        }
    }

    fn add_optional(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.add(name, value),
            None => self.add("without", name),
        }
    }
}
