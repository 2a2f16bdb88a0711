//! IAM Roles Anywhere: `CreateSession`, believed where a certificate of the trust anchor signed it.

use serde_json::{Value, json};

use super::signature::{self, Signed};
use super::{Refusal, open, place};
use crate::clock;
use crate::form;
use crate::http::{Reply, Request};
use crate::iam::trusts_by_name;
use crate::state::{Answer, State};

const PRINCIPAL: &str = "rolesanywhere.amazonaws.com";

/// Answers `request`.
pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let (reply, caller) = match perform(state, request) {
        Ok((reply, caller)) => (reply, Some(caller)),
        Err(refusal) => (refusal.reply(), None),
    };
    Answer { reply: reply.header("Date", &clock::http_date(state.devices.now())), caller }
}

fn perform(state: &mut State, request: &Request) -> Result<(Reply, String), Refusal> {
    let invalid = |message: &str| Refusal::new(400, "ValidationException", message);
    let denied = |message: &str| Refusal::new(403, "AccessDeniedException", message);
    if request.method != "POST" || request.path() != "/sessions" {
        return Err(Refusal::new(404, "ResourceNotFoundException", "No such path"));
    }
    let query = form::parse(request.query());
    let arn = |name| form::value(&query, name).ok_or_else(|| invalid("An ARN is missing"));
    let (anchor, profile, role) = (arn("trustAnchorArn")?, arn("profileArn")?, arn("roleArn")?);
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| invalid("The body is no JSON"))?;
    let seconds = body.get("durationSeconds").and_then(Value::as_u64).unwrap_or(3600);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    if !(900..=43200).contains(&seconds) {
        return Err(invalid("durationSeconds must be between 900 and 43200"));
    }
    if place(anchor) != place(profile) {
        return Err(invalid("Trust anchor and profile must be in one region and account"));
    }
    if anchor != state.devices.trust_anchor || profile != state.devices.profile {
        return Err(Refusal::new(404, "ResourceNotFoundException", "No such trust anchor or profile"));
    }
    let now = state.devices.now();
    let Signed { serial_number } = signature::verify(request, place(anchor).0, &state.devices.root, now)
        .map_err(|text| denied(&text))?;
    if !state.devices.roles.iter().any(|listed| listed == role) {
        return Err(denied("Role is not in the profile"));
    }
    let actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let trusted =
        |role: &crate::iam::Role| actions.iter().all(|action| trusts_by_name(&role.trust, PRINCIPAL, action));
    if !state.directory.role(role).is_some_and(trusted) {
        return Err(denied("Unable to assume role"));
    }
    let name = match body.get("roleSessionName").and_then(Value::as_str) {
        Some(_) if !state.devices.accepts_session_name => {
            return Err(denied("The profile does not accept custom role session names"));
        }
        Some(name) => name.to_owned(),
        None => serial_number,
    };
    let (credentials, arn) = open(state, role, &name, seconds);
    let body = json!({
        "credentialSet": [{
            "assumedRoleUser": { "arn": arn, "assumedRoleId": "AROAEXAMPLE:session" },
            "credentials": credentials,
            "packedPolicySize": 3,
            "roleArn": role,
            "sourceIdentity": "CN=device",
        }],
        "subjectArn": "arn:aws:rolesanywhere:us-east-1:111111111111:subject/0",
    });
    Ok((Reply::new(201).header("Content-Type", "application/json").body(body.to_string()), arn))
}
