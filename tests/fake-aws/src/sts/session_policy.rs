//! Session policies: JSON to statements, as far as the fake's own permissions go. Knows nothing of sessions.

use serde_json::Value;

use super::assume_role::POLICY_LIMIT;
use super::{Call, StsError};
use crate::iam::Permission;
use crate::state::State;

/// What the policies of `call`, inline and managed, let through together; `None` where there are none.
pub(super) fn of(state: &State, call: &Call<'_>) -> Result<Option<Vec<Permission>>, StsError> {
    let (inline, arns) = (call.parameter("Policy"), call.list("PolicyArns.member", ".arn"));
    let length = arns
        .iter()
        .fold(inline.unwrap_or_default().chars().count(), |sum, arn| sum.saturating_add(arn.len()));
    if length > POLICY_LIMIT {
        return Err(StsError::sender(400, "PackedPolicyTooLarge", "The session policies are too long."));
    }
    let mut permissions = inline.map(parse).transpose()?;
    for arn in &arns {
        let unknown = || StsError::sender(400, "InvalidParameterValue", &format!("{arn} is not attachable."));
        let policy = state.directory.policy(arn).ok_or_else(unknown)?;
        permissions.get_or_insert_default().extend_from_slice(policy);
    }
    Ok(permissions)
}

/// The statements of `text`.
fn parse(text: &str) -> Result<Vec<Permission>, StsError> {
    let malformed = || StsError::sender(400, "MalformedPolicyDocument", "Syntax errors in policy.");
    let document: Value = serde_json::from_str(text).map_err(|_| malformed())?;
    let statements = document.get("Statement").ok_or_else(malformed)?;
    let mut permissions = Vec::new();
    for statement in one_or_many(statements) {
        let effect = statement.get("Effect").and_then(Value::as_str);
        let member = |name| statement.get(name).map(one_or_many).ok_or_else(malformed);
        for action in member("Action")? {
            for resource in member("Resource")? {
                let (Some(action), Some(resource)) = (action.as_str(), resource.as_str()) else {
                    return Err(malformed());
                };
                permissions.push(match effect {
                    Some("Allow") => Permission::allow(action, resource),
                    Some("Deny") => Permission::deny(action, resource),
                    Some(_) | None => return Err(malformed()),
                });
            }
        }
    }
    Ok(permissions)
}

fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice)
}
