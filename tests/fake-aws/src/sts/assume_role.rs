//! `AssumeRole`: limits, then permission and trust, then durations, then a session. The order is the service's:
//! what is malformed is refused before anything is looked up.

use super::limits::{EXTERNAL_ID, Findings, NAME, SERIAL_NUMBER};
use super::{Call, StsError, session, session_policy};
use crate::iam::{Context, Identity, KeyRecord, Role};
use crate::state::State;

/// The longest session of a role that was assumed by a role.
const CHAINED_LIMIT: i64 = 3600;
const DEFAULT_DURATION: i64 = 3600;
const MFA_CODE: &str = "123456";
/// Of the session policies taken together, in characters.
pub(super) const POLICY_LIMIT: usize = 2048;

/// The parameters, within their limits.
pub(super) struct Wanted<'a> {
    pub(super) role_arn: &'a str,
    pub(super) session_name: &'a str,
    pub(super) duration: i64,
    context: Context<'a>,
    pub(super) policy: Option<&'a str>,
    tagged: bool,
    source_identity: Option<&'a str>,
}

pub(super) fn perform(state: &mut State, call: &Call<'_>, caller: &KeyRecord) -> Result<String, StsError> {
    let wanted = check_limits(call)?;
    if matches!(caller.identity, Identity::Root { .. }) {
        return Err(StsError::sender(403, "AccessDenied", "Roles may not be assumed by root accounts."));
    }
    let policy = wanted.policy.map(session_policy::parse).transpose()?;
    let role = authorise(state, caller, &wanted)?.clone();
    check_duration(caller.identity.is_session(), &role, &wanted)?;
    let source_identity = wanted.source_identity.or(caller.source_identity.as_deref()).map(str::to_owned);
    let session = session::open(state, &role, &wanted, policy, source_identity);
    let members = session::render(state, &session);
    Ok(format!("  <AssumeRoleResult>\n{members}  </AssumeRoleResult>\n"))
}

pub(super) fn check_limits<'a>(call: &'a Call<'_>) -> Result<Wanted<'a>, StsError> {
    check_limits_named(call, call.parameter("RoleSessionName"))
}

/// The same for a session whose name is not a parameter.
pub(super) fn check_limits_named<'a>(
    call: &'a Call<'_>,
    given: Option<&'a str>,
) -> Result<Wanted<'a>, StsError> {
    let mut findings = Findings::default();
    let role_arn = findings.require("roleArn", call.parameter("RoleArn"));
    if call.parameter("RoleArn").is_some() {
        findings.length("roleArn", role_arn, 20, 2048);
    }
    let session_name = findings.require("roleSessionName", given);
    if given.is_some() {
        findings.length("roleSessionName", session_name, 2, 64);
        findings.letters("roleSessionName", session_name, NAME);
    }
    let duration = match call.parameter("DurationSeconds") {
        None => DEFAULT_DURATION,
        Some(text) => text
            .parse()
            .map_err(|_| StsError::sender(400, "MalformedInput", "DurationSeconds is not an integer."))?,
    };
    findings.range("durationSeconds", duration, 900, 43_200);
    let external_id = call.parameter("ExternalId");
    if let Some(value) = external_id {
        findings.length("externalId", value, 2, 1224);
        findings.letters("externalId", value, EXTERNAL_ID);
    }
    let source_identity = call.parameter("SourceIdentity");
    if let Some(value) = source_identity {
        findings.length("sourceIdentity", value, 2, 64);
        findings.letters("sourceIdentity", value, NAME);
    }
    if let Some(value) = call.parameter("SerialNumber") {
        findings.length("serialNumber", value, 9, 256);
        findings.letters("serialNumber", value, SERIAL_NUMBER);
    }
    if let Some(value) = call.parameter("TokenCode") {
        findings.length("tokenCode", value, 6, 6);
        findings.pattern("tokenCode", value, value.bytes().all(|byte| byte.is_ascii_digit()), "[\\d]*");
    }
    let policy = call.parameter("Policy");
    if let Some(value) = policy {
        findings.length("policy", value, 1, POLICY_LIMIT);
        let fits = |letter| matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
        findings.pattern("policy", value, value.chars().all(fits), "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+");
    }
    let tagged = check_lists(call, &mut findings);
    findings.conclude()?;
    if !is_role_arn(role_arn) {
        return Err(StsError::validation(&format!("{role_arn} is invalid")));
    }
    let context = Context { external_id, mfa: check_mfa(call)? };
    Ok(Wanted { role_arn, session_name, duration, context, policy, tagged, source_identity })
}

/// Whether a second factor was shown. Every device here shows the same code.
fn check_mfa(call: &Call<'_>) -> Result<bool, StsError> {
    match (call.parameter("SerialNumber"), call.parameter("TokenCode")) {
        (Some(_), Some(MFA_CODE)) => Ok(true),
        (Some(_), Some(_)) => Err(StsError::sender(
            403,
            "AccessDenied",
            "MultiFactorAuthentication failed with invalid MFA one time pass code.",
        )),
        (Some(_), None) | (None, Some(_)) => {
            Err(StsError::validation("SerialNumber and TokenCode must be given together."))
        }
        (None, None) => Ok(false),
    }
}

/// Holds the lists against their limits; true when the session is to be tagged.
fn check_lists(call: &Call<'_>, findings: &mut Findings) -> bool {
    findings.count("policyArns", &list(call, "PolicyArns.member", ".arn"), 10);
    let (keys, values) = (list(call, "Tags.member", ".Key"), list(call, "Tags.member", ".Value"));
    findings.count("tags", &keys, 50);
    for (number, key) in (1_usize..).zip(&keys) {
        findings.length(&format!("tags.{number}.member.key"), key, 1, 128);
    }
    for (number, value) in (1_usize..).zip(&values) {
        findings.length(&format!("tags.{number}.member.value"), value, 0, 256);
    }
    let transitive = list(call, "TransitiveTagKeys.member", "");
    findings.count("transitiveTagKeys", &transitive, 50);
    !keys.is_empty() || !transitive.is_empty()
}

/// The elements `NAME.1FIELD`, `NAME.2FIELD` and so on, up to the first that is missing.
fn list(call: &Call<'_>, name: &str, field: &str) -> Vec<String> {
    (1_usize..)
        .map_while(|number| call.parameter(&format!("{name}.{number}{field}")).map(str::to_owned))
        .collect()
}

fn is_role_arn(text: &str) -> bool {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    matches!(fields.as_slice(), ["arn", partition, "iam", "", account, resource]
        if partition.starts_with("aws")
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty()))
}

/// The role, where the caller's permissions and the role's trust allow all that is asked.
fn authorise<'a>(state: &'a State, caller: &KeyRecord, wanted: &Wanted<'_>) -> Result<&'a Role, StsError> {
    let denied = |action: &str| StsError::denied(caller, action, wanted.role_arn);
    let role = state.directory.role(wanted.role_arn).ok_or_else(|| denied("sts:AssumeRole"))?;
    let asked = [
        ("sts:AssumeRole", true),
        ("sts:TagSession", wanted.tagged),
        // A source identity stays for the rest of a chain, and every later role must allow it too.
        ("sts:SetSourceIdentity", wanted.source_identity.is_some() || caller.source_identity.is_some()),
    ];
    for (action, _) in asked.into_iter().filter(|(_, asked)| *asked) {
        if !state.directory.may_assume(caller, role, action, wanted.context) {
            return Err(denied(action));
        }
    }
    let changed = caller.source_identity.is_some()
        && wanted.source_identity.is_some()
        && caller.source_identity.as_deref() != wanted.source_identity;
    if changed {
        return Err(denied("sts:SetSourceIdentity"));
    }
    Ok(role)
}

/// Holds the duration against the role, and against the limit of chains when the caller is `chained`.
pub(super) fn check_duration(chained: bool, role: &Role, wanted: &Wanted<'_>) -> Result<(), StsError> {
    if chained && wanted.duration > CHAINED_LIMIT {
        return Err(StsError::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    if wanted.duration > i64::from(role.max_session_seconds) {
        return Err(StsError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(())
}
