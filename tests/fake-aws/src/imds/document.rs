//! The documents that the metadata service shows: credentials, instance identity, profile. Knows the shapes, and
//! nothing of tokens or paths.

use time::OffsetDateTime;

use super::ImdsState;
use crate::iam::{self, Identity, KeyRecord, Keys};
use crate::state::State;
use crate::{clock, issue, scenario};

/// How expirations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpirationForm {
    /// `2026-11-23T19:23:13Z`.
    Zulu,
    /// `2026-11-23T19:23:13.904538Z`.
    Fractional,
    /// `2026-11-23T19:23:13+00:00`.
    Offset,
}

impl ExpirationForm {
    pub(crate) fn render(self, at: OffsetDateTime) -> String {
        let whole = clock::rfc3339(at);
        let stem = whole.trim_end_matches('Z');
        match self {
            Self::Zulu => whole,
            Self::Fractional => format!("{stem}.{:06}Z", at.microsecond()),
            Self::Offset => format!("{stem}+00:00"),
        }
    }
}

/// A document that says why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code, such as `AssumeRoleUnauthorizedAccess`.
    pub code: String,
    /// The message.
    pub message: String,
}

/// Credentials as they were last issued to the instance. The service shows the same until they are old.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    role: String,
    keys: Keys,
    updated: OffsetDateTime,
    expiration: OffsetDateTime,
}

/// The name of the attached role.
pub(crate) fn role_name(imds: &ImdsState) -> Option<&str> {
    imds.role.as_deref().and_then(|arn| arn.rsplit('/').next())
}

fn account(state: &State) -> &str {
    state.imds.role.as_deref().map_or(scenario::ACCOUNT, iam::account_of)
}

/// The credential document; `None` when no role is attached.
pub(crate) fn credentials(state: &mut State, extended: bool) -> Option<String> {
    let role = state.imds.role.clone()?;
    if let Some(refusal) = refusal(state, &role) {
        return Some(refused(&refusal, state.imds.now()));
    }
    let issued = issue(state, role);
    let imds = &state.imds;
    let expiration =
        imds.shown_expiration.clone().unwrap_or_else(|| imds.expiration_form.render(issued.expiration));
    let mut members = vec![
        ("Code", quoted("Success")),
        ("LastUpdated", quoted(&clock::rfc3339(issued.updated))),
        ("Type", quoted("AWS-HMAC")),
        ("AccessKeyId", quoted(&issued.keys.access_key_id)),
        ("SecretAccessKey", quoted(&issued.keys.secret_access_key)),
        ("Token", quoted(issued.keys.session_token.as_deref().unwrap_or_default())),
        ("Expiration", quoted(&expiration)),
    ];
    if extended {
        members.push(("AccountId", quoted(account(state))));
    }
    if imds.unknown_members {
        members.insert(
            1,
            ("Unknown", "{ \"Expiration\" : \"never\", \"Nested\" : [ 1, null, { } ] }".to_owned()),
        );
        members.push(("UnknownNumber", "1.5e3".to_owned()));
    }
    Some(object(&members))
}

/// Why the instance gets no credentials: as ordered, or because the role does not trust EC2.
fn refusal(state: &State, role: &str) -> Option<Refusal> {
    if let Some(refusal) = &state.imds.refusal {
        return Some(refusal.clone());
    }
    let trusted = state
        .directory
        .role(role)
        .is_some_and(|role| iam::trusts_by_name(&role.trust, "ec2.amazonaws.com", "sts:AssumeRole"));
    let name = role_name(&state.imds).unwrap_or_default();
    (!trusted).then(|| Refusal {
        code: "AssumeRoleUnauthorizedAccess".to_owned(),
        message: format!(
            "EC2 cannot assume the role {name}. Please see documentation at \
             https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html."
        ),
    })
}

fn refused(refusal: &Refusal, now: OffsetDateTime) -> String {
    object(&[
        ("Code", quoted(&refusal.code)),
        ("Message", quoted(&refusal.message)),
        ("LastUpdated", quoted(&clock::rfc3339(now))),
    ])
}

/// The credentials to show: those shown last while they are young, else new ones.
fn issue(state: &mut State, role: String) -> Issued {
    let now = state.imds.now();
    let lifetime = time::Duration::try_from(state.imds.lifetime).unwrap_or(time::Duration::HOUR);
    // EC2 has the next set ready five minutes before the end; with lifetimes of seconds that is half of them.
    let overlap = lifetime.checked_div(2).unwrap_or_default().min(time::Duration::minutes(5));
    if let Some(issued) = &state.imds.issued
        && issued.role == role
        && issued.expiration.saturating_sub(overlap) > now
    {
        return issued.clone();
    }
    let keys = issue::session_keys();
    let expiration = now.saturating_add(lifetime);
    let role_id = state.directory.role(&role).map(|role| role.id.clone()).unwrap_or_default();
    state.directory.remember(KeyRecord {
        keys: keys.clone(),
        identity: Identity::Session { role_arn: role.clone(), role_id, name: state.imds.instance_id.clone() },
        expiration: Some(expiration),
        session_policy: None,
        source_identity: None,
        tags: Vec::new(),
    });
    let issued = Issued { role, keys, updated: now, expiration };
    state.imds.issued = Some(issued.clone());
    issued
}

/// The instance identity document.
pub(crate) fn identity(state: &State) -> String {
    let imds = &state.imds;
    object(&[
        ("accountId", quoted(account(state))),
        ("architecture", quoted("x86_64")),
        ("availabilityZone", quoted(&imds.availability_zone)),
        ("billingProducts", "null".to_owned()),
        ("imageId", quoted("ami-0123456789abcdef0")),
        ("instanceId", quoted(&imds.instance_id)),
        ("instanceType", quoted("t3.micro")),
        ("pendingTime", quoted("2026-01-02T03:04:05Z")),
        ("privateIp", quoted("10.0.0.10")),
        ("region", quoted(&imds.region)),
        ("version", quoted("2017-09-30")),
    ])
}

/// `iam/info`; `None` when no role is attached.
pub(crate) fn info(state: &State) -> Option<String> {
    let name = role_name(&state.imds)?;
    let arn = format!("arn:aws:iam::{}:instance-profile/{name}", account(state));
    Some(object(&[
        ("Code", quoted("Success")),
        ("LastUpdated", quoted(&clock::rfc3339(state.imds.now()))),
        ("InstanceProfileArn", quoted(&arn)),
        ("InstanceProfileId", quoted("AIPAEXAMPLE0000000000")),
    ]))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object in the layout that IMDS uses: one member to a line, spaces around the colon.
fn object(members: &[(&str, String)]) -> String {
    let lines: Vec<String> = members.iter().map(|(name, value)| format!("  \"{name}\" : {value}")).collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}
