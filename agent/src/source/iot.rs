//! The credentials provider of AWS IoT Core: a device shows its certificate in the TLS handshake and gets a session of
//! the role behind a role alias. How long it lasts is a property of the alias. Source: the AWS IoT developer guide.

use std::path::Path;

use super::SourceError;
use super::endpoint::{Endpoint, Patience};
use crate::config::model::IotSettings;
use crate::credentials::IssuedCredentials;
use crate::credentials::unchecked::UncheckedCredentials;
use crate::encode::percent_encode;
use crate::host::Host;
use crate::json::WipedJson;
use crate::transport::{Channel, Method};
use crate::x509::X509Identity;

/// Fetches credentials for the device; `ca_bundle` stands in for the CA file that the settings do not name.
///
/// # Errors
///
/// When certificate or key cannot be used, and when the service cannot be reached, refuses, or has no credentials.
pub(super) fn fetch(
    settings: &IotSettings,
    ca_bundle: Option<&Path>,
    host: &Host<'_>,
) -> Result<IssuedCredentials, SourceError> {
    let identity = X509Identity::load(&settings.files, host.true_time()).map_err(SourceError::Certificate)?;
    let url =
        format!("{}/role-aliases/{}/credentials", settings.endpoint, percent_encode(&settings.role_alias));
    let endpoint = Endpoint {
        name: "AWS IoT credentials provider",
        channel: Channel::Mutual {
            ca_bundle: settings.ca_file.as_deref().or(ca_bundle),
            identity: &identity,
        },
        method: Method::Get,
        url: &url,
        body: &[],
        patience: Patience::SERVICE,
        tells_time: true,
        advice,
    };
    let thing = settings.thing_name.as_deref().map(|name| ("x-amzn-iot-thingname", name));
    endpoint.fetch(host, &|send| Ok(send(thing.as_slice())), parse).map_err(SourceError::Endpoint)
}

fn parse(json: &WipedJson) -> Result<IssuedCredentials, &'static str> {
    let credentials = json.member("credentials").ok_or("no credentials")?;
    UncheckedCredentials::of_camel_case(credentials, None).check()
}

fn advice(status: u16) -> Option<&'static str> {
    match status {
        403 => Some(
            "the certificate has to be active and its policy to allow iot:AssumeRoleWithCertificate on the role alias; \
             a thing name has to be that of a thing that the certificate is attached to",
        ),
        404 => Some("correct rolekeeper_iot_role_alias, or create the role alias in the endpoint's region"),
        400 => Some(
            "the role's trust policy has to allow sts:AssumeRole to credentials.iot.amazonaws.com, and its maximum \
             session duration must not be below the duration of the role alias",
        ),
        _ => None,
    }
}
