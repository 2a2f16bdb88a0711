//! IAM Roles Anywhere: `CreateSession`, signed with the private key of a certificate whose issuer a trust anchor vouches
//! for. Source: the Roles Anywhere user guide.

use std::path::Path;

use serde_json::Value;
use sigv4::{Payload, Scope, sign_x509};

use super::SourceError;
use super::endpoint::{Endpoint, Patience, Sender};
use crate::config::model::RolesAnywhereSettings;
use crate::credentials::IssuedCredentials;
use crate::credentials::unchecked::UncheckedCredentials;
use crate::encode::percent_encode;
use crate::host::Host;
use crate::json::WipedJson;
use crate::transport::{Channel, Method};
use crate::x509::X509Identity;

/// What is asked for where nothing is configured, in seconds.
const ONE_HOUR: u32 = 3600;

/// Creates a session for the host.
///
/// # Errors
///
/// When certificate or key cannot be used, and when the service cannot be reached, refuses, or has no credentials.
pub(super) fn fetch(
    settings: &RolesAnywhereSettings,
    ca_bundle: Option<&Path>,
    host: &Host<'_>,
) -> Result<IssuedCredentials, SourceError> {
    let identity = X509Identity::load(&settings.files, host.true_time()).map_err(SourceError::Certificate)?;
    let url = format!(
        "{}/sessions?profileArn={}&roleArn={}&trustAnchorArn={}",
        settings.endpoint,
        percent_encode(&settings.profile_arn),
        percent_encode(&settings.role_arn),
        percent_encode(&settings.trust_anchor_arn)
    );
    let body = body(settings);
    let endpoint = Endpoint {
        name: "IAM Roles Anywhere service",
        channel: Channel::Sts { ca_bundle },
        method: Method::Post,
        url: &url,
        body: body.as_bytes(),
        patience: Patience::SERVICE,
        tells_time: true,
        advice,
    };
    let certificates: Vec<&[u8]> = identity.certificates.iter().map(Vec::as_slice).collect();
    let signer = sigv4::X509Identity {
        serial_number: &identity.serial_number,
        certificate: certificates.first().copied().unwrap_or_default(),
        chain: certificates.get(1..).unwrap_or_default(),
    };
    // Signed for each attempt, because the time is part of it.
    let headers = |send: Sender<'_>| {
        let sent = [("content-type", "application/json")];
        let request = sigv4::Request::new("POST", &url)?
            .with_headers(&sent)
            .with_payload(Payload::Bytes(body.as_bytes()));
        let scope = Scope::new(&settings.region, "rolesanywhere");
        let signed = sign_x509(&request, &signer, &*identity.key, scope, host.true_time())?;
        let mut headers = sent.to_vec();
        headers.extend(signed.headers().map(|header| (header.name, header.value)));
        Ok(send(&headers))
    };
    endpoint.fetch(host, &headers, parse).map_err(SourceError::Endpoint)
}

/// The session name has no character that JSON would have to escape.
fn body(settings: &RolesAnywhereSettings) -> String {
    let duration = settings.duration_seconds.unwrap_or(ONE_HOUR);
    match &settings.session_name {
        Some(name) => format!("{{\"durationSeconds\":{duration},\"roleSessionName\":\"{name}\"}}"),
        None => format!("{{\"durationSeconds\":{duration}}}"),
    }
}

fn parse(json: &WipedJson) -> Result<IssuedCredentials, &'static str> {
    let set = json.member("credentialSet").and_then(|set| set.get(0)).ok_or("no credentials")?;
    let credentials = set.get("credentials").ok_or("no credentials")?;
    let user = set.get("assumedRoleUser").and_then(|user| user.get("arn")).and_then(Value::as_str);
    let account_id = user.and_then(|arn| arn.split(':').nth(4));
    UncheckedCredentials::of_camel_case(credentials, account_id).check()
}

fn advice(status: u16) -> Option<&'static str> {
    match status {
        403 => Some(
            "the trust anchor has to be enabled and to vouch for the issuer of the certificate, the profile to be \
             enabled and to list the role, and the role's trust policy to allow sts:AssumeRole, sts:TagSession and \
             sts:SetSourceIdentity to rolesanywhere.amazonaws.com",
        ),
        404 => Some("correct the ARNs of trust anchor and profile"),
        _ => None,
    }
}
