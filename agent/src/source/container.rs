//! The credentials of a container: Amazon ECS, EKS Pod Identity, and whatever else speaks their protocol.

use std::path::Path;

use super::endpoint::Endpoint;
use super::error::SourceError;
use crate::config::model::{Authorization, ContainerSettings};
use crate::config::{is_header, read_input};
use crate::credentials::{IssuedCredentials, unchecked::UncheckedCredentials};
use crate::host::Host;
use crate::json::WipedJson;
use crate::transport::Channel;

/// Fetches the credentials of the container.
pub(super) fn fetch(
    settings: &ContainerSettings,
    ca_bundle: Option<&Path>,
    host: &Host<'_>,
) -> Result<IssuedCredentials, SourceError> {
    let read;
    let authorization = match &settings.authorization {
        None => None,
        Some(Authorization::Text(text)) => Some(text.expose()),
        Some(Authorization::File(file)) => {
            read = read_input(file).map_err(SourceError::File)?;
            // Sent as it is: the SDKs refuse a newline at the end, too, and a token may mean what it says.
            if !is_header(&read) {
                return Err(SourceError::NotAHeader(file.clone()));
            }
            Some(read.as_str())
        }
    };
    let headers = [("accept", "application/json"), ("authorization", authorization.unwrap_or_default())];
    let endpoint = Endpoint {
        name: "container credentials endpoint",
        channel: Channel::Container { ca_bundle },
        url: &settings.url,
        headers: if authorization.is_some() { &headers } else { headers.get(..1).unwrap_or_default() },
    };
    endpoint.fetch(host, parse).map_err(SourceError::Endpoint)
}

fn parse(json: &WipedJson) -> Result<IssuedCredentials, &'static str> {
    let unchecked = UncheckedCredentials {
        access_key_id: json.text("AccessKeyId"),
        secret_access_key: json.text("SecretAccessKey"),
        session_token: json.text("Token"),
        expiration: json.text("Expiration"),
        account_id: json.text("AccountId"),
    };
    unchecked.check()
}
