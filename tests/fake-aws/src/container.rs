//! The endpoint that a task of ECS or a pod of EKS has its credentials from: one path, one document. Checks how it is
//! asked, because a real one does not forgive.

use crate::http::{Reply, Request};
use crate::iam::{Identity, KeyRecord, account_of};
use crate::state::State;
use crate::{clock, issue, scenario};

/// Path and query of the one document.
pub(crate) const PATH: &str = "/v2/credentials/5f1b?of=task";

/// What the endpoint gives, and to whom.
#[derive(Debug)]
pub(crate) struct ContainerState {
    /// The ARN of the task's role.
    pub(crate) role: String,
    pub(crate) authorization: Option<String>,
    pub(crate) lifetime: time::Duration,
}

impl Default for ContainerState {
    fn default() -> Self {
        Self { role: scenario::ABCD.to_owned(), authorization: None, lifetime: time::Duration::hours(6) }
    }
}

/// Answers `request`.
pub(crate) fn answer(state: &mut State, request: &Request) -> Reply {
    if request.method != "GET" {
        return refusal(405, "MethodNotAllowed", "only GET is understood");
    }
    if request.header("x-forwarded-for").is_some() {
        return refusal(403, "Forwarded", "the request came through a proxy");
    }
    if request.header("accept") != Some("application/json") {
        return refusal(406, "NotAcceptable", "the client has to accept JSON");
    }
    if request.target != PATH {
        return refusal(404, "NotFound", "no such credentials");
    }
    let settings = &state.container;
    if settings.authorization.is_some()
        && settings.authorization.as_deref() != request.header("authorization")
    {
        return refusal(401, "InvalidToken", "the authorization is not the one of this container");
    }
    let (role, expiration) = (settings.role.clone(), clock::now().saturating_add(settings.lifetime));
    let keys = issue::session_keys();
    let role_id = state.directory.role(&role).map(|role| role.id.clone()).unwrap_or_default();
    let name = "5f1b".to_owned();
    let document = serde_json::json!({
        "RoleArn": role,
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key,
        "Token": keys.session_token,
        "Expiration": clock::rfc3339(expiration),
        "AccountId": account_of(&role),
    });
    state.directory.remember(KeyRecord {
        keys,
        identity: Identity::Session { role_arn: role, role_id, name },
        expiration: Some(expiration),
        session_policy: None,
        source_identity: None,
    });
    Reply::new(200).header("Content-Type", "application/json").body(document.to_string())
}

/// The error document of such endpoints.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let document = serde_json::json!({ "code": code, "message": message });
    Reply::new(status).header("Content-Type", "application/json").body(document.to_string())
}
