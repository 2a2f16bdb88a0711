//! The handles by which tests change the world while it runs: faults, clocks, roles, documents. Each method takes
//! effect with the next request. Knows nothing of how the changes are acted upon.

use std::time::Duration;

use crate::fault::Fault;
use crate::iam::{Identity, Keys, Permission, Role, SessionTag, Trust};
use crate::imds::{ExpirationForm, Refusal};
use crate::record::Service;
use crate::state::Shared;
use crate::sts::Assertion;

/// A handle of one service, with what all three have in common.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $service:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a> {
            shared: &'a Shared,
        }

        impl<'a> $name<'a> {
            pub(crate) fn new(shared: &'a Shared) -> Self {
                Self { shared }
            }

            /// Misbehaves as `fault` says. Of several faults that apply, the oldest does.
            pub fn fail(&self, fault: Fault) {
                self.shared.lock().faults.entry($service).or_default().push(fault);
            }

            /// Forgets all faults.
            pub fn heal(&self) {
                self.shared.lock().faults.remove(&$service);
            }

            /// Waits this long before every answer; zero ends it.
            pub fn delay(&self, delay: Duration) {
                self.shared.lock().delays.insert($service, delay);
            }
        }
    };
}

handle!(
    /// Control of the instance metadata service.
    Imds, Service::Imds
);
handle!(
    /// Control of the security token service.
    Sts, Service::Sts
);
handle!(
    /// Control of the object store.
    S3, Service::S3
);
handle!(
    /// Control of the endpoint that a container has its credentials from.
    Container, Service::Container
);

impl Container<'_> {
    /// The role of the task or pod, by its ARN.
    pub fn attach_role(&self, arn: &str) {
        self.shared.lock().container.role = arn.to_owned();
    }

    /// What `Authorization` has to say, to the letter; `None` looks at nothing.
    pub fn require_authorization(&self, text: Option<&str>) {
        self.shared.lock().container.authorization = text.map(str::to_owned);
    }

    /// How long credentials live that are issued from here on; less than nothing has expired already.
    pub fn credential_lifetime(&self, lifetime: time::Duration) {
        self.shared.lock().container.lifetime = lifetime;
    }
}

/// Control of AWS IoT Core and Roles Anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a> {
    shared: &'a Shared,
}

impl<'a> Devices<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Misbehaves as `fault` says.
    pub fn fail(&self, service: Service, fault: Fault) {
        self.shared.lock().faults.entry(service).or_default().push(fault);
    }

    /// Forgets all faults.
    pub fn heal(&self, service: Service) {
        self.shared.lock().faults.remove(&service);
    }

    /// How far the clock of both, and so `Date` and expirations, is ahead of the host's.
    pub fn clock_offset(&self, offset: time::Duration) {
        self.shared.lock().devices.clock_offset = offset;
    }

    /// Whether the policy of certificates allows `iot:AssumeRoleWithCertificate`.
    pub fn permit(&self, permitted: bool) {
        self.shared.lock().devices.permitted = permitted;
    }

    /// How long the sessions of [`crate::scenario::ROLE_ALIAS`] last, in seconds.
    pub fn alias_duration(&self, seconds: u32) {
        let alias = (crate::scenario::EDGE.to_owned(), seconds);
        self.shared.lock().devices.aliases.insert(crate::scenario::ROLE_ALIAS.to_owned(), alias);
    }

    /// Whether the profile of Roles Anywhere lets clients name their sessions.
    pub fn accept_session_name(&self, accepts: bool) {
        self.shared.lock().devices.accepts_session_name = accepts;
    }
}

impl Imds<'_> {
    /// Attaches the role with this ARN, or none.
    pub fn attach_role(&self, arn: Option<&str>) {
        self.shared.lock().imds.role = arn.map(str::to_owned);
    }

    /// Whether the extended paths exist; they answer 404 when not.
    pub fn extended(&self, on: bool) {
        self.shared.lock().imds.extended = on;
    }

    /// Whether listings end with a newline.
    pub fn trailing_newline(&self, on: bool) {
        self.shared.lock().imds.newline = on;
    }

    /// Sets the instance's id.
    pub fn instance_id(&self, id: &str) {
        self.shared.lock().imds.instance_id = id.to_owned();
    }

    /// Sets the region and availability zone.
    pub fn placement(&self, region: &str, availability_zone: &str) {
        let mut state = self.shared.lock();
        state.imds.region = region.to_owned();
        state.imds.availability_zone = availability_zone.to_owned();
    }

    /// How far the service's clock, and so its `Date` and expirations, is ahead of the host's.
    pub fn clock_offset(&self, offset: time::Duration) {
        self.shared.lock().imds.clock_offset = offset;
    }

    /// How long credentials that are issued from here on live.
    pub fn credential_lifetime(&self, lifetime: Duration) {
        let mut state = self.shared.lock();
        state.imds.lifetime = lifetime;
        state.imds.issued = None;
    }

    /// Issues new credentials on the next fetch.
    pub fn rotate(&self) {
        self.shared.lock().imds.issued = None;
    }

    /// How expirations are written.
    pub fn expiration_form(&self, form: ExpirationForm) {
        self.shared.lock().imds.expiration_form = form;
    }

    /// Shows this text as the expiration, whatever the truth; `None` shows the truth.
    pub fn show_expiration(&self, text: Option<&str>) {
        self.shared.lock().imds.shown_expiration = text.map(str::to_owned);
    }

    /// Answers document requests with this refusal, at status 200 as the service does; `None` ends it.
    pub fn refuse_credentials(&self, refusal: Option<Refusal>) {
        self.shared.lock().imds.refusal = refusal;
    }

    /// Adds members to credential documents that no client knows, nested ones among them.
    pub fn unknown_members(&self, on: bool) {
        self.shared.lock().imds.unknown_members = on;
    }

    /// Makes every IMDS token invalid, as a stop and start of the instance does.
    pub fn forget_tokens(&self) {
        self.shared.lock().imds.forget_tokens();
    }
}

impl Sts<'_> {
    /// How far the clock of STS, and of S3, is ahead of the host's.
    pub fn clock_offset(&self, offset: time::Duration) {
        self.shared.lock().sts.clock_offset = offset;
    }

    /// The region that signatures must be scoped to; `None` accepts any. Host names of AWS decide for themselves.
    pub fn require_region(&self, region: Option<&str>) {
        self.shared.lock().sts.region = region.map(str::to_owned);
    }

    /// Sessions live this long, whatever was asked for; `None` gives what was asked for.
    pub fn session_lifetime(&self, lifetime: Option<Duration>) {
        self.shared.lock().sts.session_lifetime = lifetime;
    }

    /// An OIDC token with these claims, for a role whose trust names `oidc-provider/` and the issuer without its
    /// scheme. STS accepts the audience `sts.amazonaws.com`, and the token for `lifetime`, which may be negative.
    #[must_use]
    pub fn web_identity_token(
        &self,
        issuer: &str,
        subject: &str,
        audience: &str,
        lifetime: time::Duration,
    ) -> String {
        let state = self.shared.lock();
        let end = state.sts.now().saturating_add(lifetime);
        crate::sts::mint(&state.sts.issuer, issuer, subject, audience, end)
    }

    /// A SAML response in base64 with this assertion, signed by the identity provider.
    #[must_use]
    pub fn saml_response(&self, assertion: &Assertion<'_>) -> String {
        crate::sts::respond(assertion, self.shared.lock().sts.now())
    }

    /// The codes that MFA devices show from now on, each of which counts once; without this, 123456 always counts.
    pub fn mfa_codes(&self, codes: &[&str]) {
        self.shared.lock().sts.mfa_codes = Some(codes.iter().map(|&code| code.to_owned()).collect());
    }

    /// Whether `Credentials` comes before `AssumedRoleUser` in answers.
    pub fn credentials_first(&self, on: bool) {
        self.shared.lock().sts.credentials_first = on;
    }
}

impl S3<'_> {
    /// Adds a bucket that belongs to `account`.
    pub fn add_bucket(&self, bucket: &str, account: &str) {
        self.shared.lock().s3.buckets.insert(bucket.to_owned(), account.to_owned());
    }
}

/// A role session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its keys.
    pub keys: Keys,
    /// The name that the caller gave it.
    pub name: String,
    /// When it ends.
    pub expiration: time::OffsetDateTime,
}

/// Control of users, roles and what they may do. Methods that name a user or role that does not exist change
/// nothing.
#[derive(Clone, Copy, Debug)]
pub struct Iam<'a> {
    shared: &'a Shared,
}

impl<'a> Iam<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Adds a role, or replaces the one with its ARN.
    pub fn add_role(&self, role: Role) {
        self.shared.lock().directory.add_role(role);
    }

    /// Removes a role. Its sessions stay known and may do nothing any more.
    pub fn remove_role(&self, arn: &str) {
        self.shared.lock().directory.remove_role(arn);
    }

    /// Replaces the trust policy of a role.
    pub fn set_trust(&self, role_arn: &str, trust: Trust) {
        if let Some(role) = self.shared.lock().directory.role_mut(role_arn) {
            role.trust = trust;
        }
    }

    /// Sets the `MaxSessionDuration` of a role, in seconds.
    pub fn set_max_session_duration(&self, role_arn: &str, seconds: u32) {
        if let Some(role) = self.shared.lock().directory.role_mut(role_arn) {
            role.max_session_seconds = seconds;
        }
    }

    /// Adds a user without permissions and returns its new long-term keys.
    #[must_use]
    pub fn add_user(&self, arn: &str) -> Keys {
        let keys = crate::issue::long_term_keys();
        self.shared.lock().directory.add_user(arn, keys.clone());
        keys
    }

    /// Gives one more permission to a user or role.
    pub fn permit(&self, arn: &str, permission: Permission) {
        if let Some(permissions) = self.shared.lock().directory.permissions_mut(arn) {
            permissions.push(permission);
        }
    }

    /// Takes all permissions from a user or role.
    pub fn revoke_permissions(&self, arn: &str) {
        if let Some(permissions) = self.shared.lock().directory.permissions_mut(arn) {
            permissions.clear();
        }
    }

    /// The long-term keys of a user, or of the root user.
    #[must_use]
    pub fn keys_of(&self, arn: &str) -> Option<Keys> {
        self.shared.lock().directory.keys_of(arn).cloned()
    }

    /// The role session that an access key belongs to; `None` for keys that nobody was given, and for those of users.
    #[must_use]
    pub fn session(&self, access_key_id: &str) -> Option<Session> {
        let state = self.shared.lock();
        let record = state.directory.key(access_key_id)?;
        let Identity::Session { name, .. } = &record.identity else { return None };
        Some(Session { keys: record.keys.clone(), name: name.clone(), expiration: record.expiration? })
    }

    /// Adds a managed policy, for sessions that are narrowed by its ARN.
    pub fn add_policy(&self, arn: &str, permissions: &[Permission]) {
        self.shared.lock().directory.add_policy(arn, permissions);
    }

    /// The tags of the session with this access key, those included that it inherited.
    #[must_use]
    pub fn session_tags(&self, access_key_id: &str) -> Vec<SessionTag> {
        self.shared.lock().directory.key(access_key_id).map(|record| record.tags.clone()).unwrap_or_default()
    }

    /// The source identity of the session with this access key.
    #[must_use]
    pub fn source_identity(&self, access_key_id: &str) -> Option<String> {
        self.shared.lock().directory.key(access_key_id)?.source_identity.clone()
    }

    /// Makes an access key unknown, long-term or of a session.
    pub fn forget_key(&self, access_key_id: &str) {
        self.shared.lock().directory.forget_key(access_key_id);
    }
}
