//! The documents of the instance metadata service: bytes in, checked values out. Unknown members are ignored,
//! names match in any letter case, as in the official Rust SDK.

use super::error::ImdsError;
use super::session::Problem;
use crate::credentials::{IssuedCredentials, unchecked::UncheckedCredentials};
use crate::disposition::quote_foreign;
use crate::json::WipedJson;

/// The longest piece of a foreign message that is repeated.
const MAX_MESSAGE: usize = 200;

/// The credential document of a role: credentials, or a code that says why there are none.
#[derive(Debug)]
pub(super) enum CredentialDocument {
    Credentials(IssuedCredentials),
    Failure { code: String, message: String },
}

impl CredentialDocument {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let json = WipedJson::parse(body).ok_or("something that is no JSON object")?;
        let code = json.text("Code").unwrap_or("Success");
        if !code.eq_ignore_ascii_case("Success") {
            let message = json.text("Message").unwrap_or("no message");
            return Ok(Self::Failure {
                code: quote_foreign(code, MAX_MESSAGE),
                message: quote_foreign(message, MAX_MESSAGE),
            });
        }
        let unchecked = UncheckedCredentials {
            access_key_id: json.text("AccessKeyId"),
            secret_access_key: json.text("SecretAccessKey"),
            session_token: json.text("Token").or_else(|| json.text("SessionToken")),
            expiration: json.text("Expiration").or_else(|| json.text("ExpiresAt")),
            account_id: json.text("AccountId"),
        };
        unchecked.check().map(Self::Credentials)
    }

    pub(super) fn into_issued(self) -> Result<IssuedCredentials, ImdsError> {
        match self {
            Self::Credentials(issued) => Ok(issued),
            Self::Failure { code, message } => Err(ImdsError::Code { code, message }),
        }
    }
}

/// What the identity document says of the instance, as far as the agent needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceIdentity {
    /// The region.
    pub region: Option<String>,
    /// The instance id.
    pub instance_id: Option<String>,
}

impl InstanceIdentity {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let json = WipedJson::parse(body).ok_or("something that is no JSON object")?;
        let region = json.text("region").filter(|region| is_region(region)).map(str::to_owned);
        let instance_id = json.text("instanceId").filter(|id| is_instance_id(id)).map(str::to_owned);
        Ok(Self { region, instance_id })
    }
}

pub(super) fn parse_region(body: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    if is_region(text) { Ok(text.to_owned()) } else { Err("something that is no region") }
}

/// The first line of a listing. The alphabet is that of IAM role names, so that a hostile listing cannot lead to
/// another path.
pub(super) fn parse_role_name(body: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| "a listing that is not text")?;
    let name = text.trim().lines().next().unwrap_or_default().trim_end();
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    match name {
        "" => Err("an empty listing"),
        "." | ".." => Err("a listing that names no role"),
        _ if name.len() <= 128 && name.bytes().all(valid) => Ok(name.to_owned()),
        _ => Err("a listing that names no role"),
    }
}

fn is_region(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_instance_id(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
