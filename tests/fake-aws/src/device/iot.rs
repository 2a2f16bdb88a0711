//! The credentials provider of AWS IoT Core. The certificate was verified in the handshake; what is left is the alias,
//! the thing and the role.

use serde_json::json;

use super::{Refusal, open};
use crate::clock;
use crate::form::decode_path;
use crate::http::{Reply, Request};
use crate::iam::trusts_by_name;
use crate::state::{Answer, Origin, State};

const PRINCIPAL: &str = "credentials.iot.amazonaws.com";

/// Answers `request`.
pub(crate) fn answer(state: &mut State, origin: &Origin, request: &Request) -> Answer {
    let (reply, caller) = match perform(state, origin, request) {
        Ok((reply, caller)) => (reply, Some(caller)),
        Err(refusal) => (refusal.reply(), None),
    };
    Answer { reply: reply.header("Date", &clock::http_date(state.devices.now())), caller }
}

fn perform(state: &mut State, origin: &Origin, request: &Request) -> Result<(Reply, String), Refusal> {
    let forbidden = |message: &str| Refusal::new(403, "AccessDeniedException", message);
    let host = request.header("host").unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    // The account is found by the name in the handshake.
    if origin.server_name.as_deref() != Some(host) {
        return Err(forbidden("Invalid certificate for given endpoint"));
    }
    let alias = request
        .path()
        .strip_prefix("/role-aliases/")
        .and_then(|rest| rest.strip_suffix("/credentials"))
        .filter(|_| request.method == "GET")
        .ok_or_else(|| Refusal::new(404, "ResourceNotFoundException", "No such path"))?;
    if !state.devices.permitted {
        return Err(forbidden("Access Denied"));
    }
    let thing = request.header("x-amzn-iot-thingname");
    if thing.is_some_and(|thing| !state.devices.things.iter().any(|known| known == thing)) {
        return Err(forbidden("Invalid thing name passed"));
    }
    let (role, seconds) = state
        .devices
        .aliases
        .get(&decode_path(alias))
        .cloned()
        .ok_or_else(|| Refusal::new(404, "ResourceNotFoundException", "Role alias does not exist"))?;
    let trusted = state
        .directory
        .role(&role)
        .is_some_and(|role| trusts_by_name(&role.trust, PRINCIPAL, "sts:AssumeRole"));
    if !trusted {
        return Err(Refusal::new(400, "InvalidRequestException", "Unable to assume role"));
    }
    let (credentials, arn) = open(state, &role, thing.unwrap_or("certificate"), seconds);
    let body = json!({ "credentials": credentials }).to_string();
    Ok((Reply::new(200).header("Content-Type", "application/json").body(body), arn))
}
