//! What serves hosts outside AWS that have a certificate: the credentials provider of AWS IoT Core and IAM Roles
//! Anywhere. Both believe the certificates of one authority of the fake.

mod authority;
pub(crate) mod iot;
pub(crate) mod roles_anywhere;
mod signature;

use std::collections::BTreeMap;

pub(crate) use authority::Authority;
pub use authority::{Certificate, Order};

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::http::Reply;
use crate::iam::{Identity, KeyRecord, account_of};
use crate::state::State;
use crate::{clock, issue, scenario};

/// How both services are set.
#[derive(Debug)]
pub(crate) struct DeviceState {
    /// How far the clock of both is ahead of the host's.
    pub(crate) clock_offset: Duration,
    /// Role aliases: the role, and how many seconds its sessions last.
    pub(crate) aliases: BTreeMap<String, (String, u32)>,
    /// The things that certificates are attached to.
    pub(crate) things: Vec<String>,
    /// Whether the policy of certificates allows `iot:AssumeRoleWithCertificate`.
    pub(crate) permitted: bool,
    pub(crate) trust_anchor: String,
    pub(crate) profile: String,
    /// The roles that the profile lists.
    pub(crate) roles: Vec<String>,
    /// Whether the profile lets clients name their sessions.
    pub(crate) accepts_session_name: bool,
    /// In DER: whom both believe.
    pub(crate) root: Vec<u8>,
}

impl DeviceState {
    pub(crate) fn new(root: Vec<u8>) -> Self {
        Self {
            clock_offset: Duration::ZERO,
            aliases: BTreeMap::from([(scenario::ROLE_ALIAS.to_owned(), (scenario::EDGE.to_owned(), 3600))]),
            things: vec![scenario::THING.to_owned()],
            permitted: true,
            trust_anchor: scenario::TRUST_ANCHOR.to_owned(),
            profile: scenario::ANYWHERE_PROFILE.to_owned(),
            roles: vec![scenario::EDGE.to_owned()],
            accepts_session_name: true,
            root,
        }
    }

    fn now(&self) -> OffsetDateTime {
        clock::now().saturating_add(self.clock_offset)
    }
}

/// An error in the form of both services.
#[derive(Debug)]
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn reply(&self) -> Reply {
        error(self.status, self.code, &self.message)
    }
}

/// An error that a test ordered.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(status)
        .header("Content-Type", "application/json")
        .header("x-amzn-ErrorType", &format!("{code}:http://internal.amazon.com/coral/"))
        .body(json!({ "message": message }).to_string())
}

/// Issues a session of `role_arn` and remembers it: the credentials as both services write them, and the session's ARN.
fn open(state: &mut State, role_arn: &str, name: &str, seconds: u32) -> (Value, String) {
    let expiration = state.devices.now().saturating_add(Duration::seconds(i64::from(seconds)));
    let keys = issue::session_keys();
    let document = json!({
        "accessKeyId": keys.access_key_id,
        "secretAccessKey": keys.secret_access_key,
        "sessionToken": keys.session_token,
        "expiration": clock::rfc3339(expiration),
    });
    let role_id = state.directory.role(role_arn).map(|role| role.id.clone()).unwrap_or_default();
    let identity = Identity::Session { role_arn: role_arn.to_owned(), role_id, name: name.to_owned() };
    let arn = identity.arn();
    state.directory.remember(KeyRecord {
        tags: Vec::new(),
        keys,
        identity,
        expiration: Some(expiration),
        session_policy: None,
        source_identity: None,
    });
    (document, arn)
}

/// Region and account of an ARN.
fn place(arn: &str) -> (&str, &str) {
    (arn.split(':').nth(3).unwrap_or_default(), account_of(arn))
}
