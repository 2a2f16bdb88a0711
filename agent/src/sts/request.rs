//! STS requests of the Query protocol: form bodies. Pure; signing and sending are the caller's.

use zeroize::Zeroizing;

use crate::credentials::{Credentials, Secret};
use crate::encode::percent_encode;

/// The version of the STS API.
const VERSION: &str = "2011-06-15";

/// The media type of every request.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// What makes STS believe that the caller may assume the role.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// A signature with these.
    Keys(&'a Credentials),
    /// `AssumeRoleWithWebIdentity`: the token of an OIDC provider.
    WebIdentity {
        /// `WebIdentityToken`
        token: &'a Secret,
    },
    /// `AssumeRoleWithSAML`: the assertion of an identity provider.
    Saml {
        /// `PrincipalArn`
        principal_arn: &'a str,
        /// `SAMLAssertion`
        assertion: &'a Secret,
    },
}

/// The parameters of one `AssumeRole` call; their limits were checked when the configuration was read.
#[derive(Clone, Copy, Debug)]
pub struct AssumeRole<'a> {
    /// `RoleArn`
    pub role_arn: &'a str,
    /// `RoleSessionName`
    pub role_session_name: &'a str,
    /// `DurationSeconds`
    pub duration_seconds: u32,
    /// `ExternalId`
    pub external_id: Option<&'a str>,
    /// Why STS should grant it.
    pub proof: Proof<'a>,
}

impl AssumeRole<'_> {
    pub(super) fn action(&self) -> &'static str {
        match self.proof {
            Proof::Keys(_) => "AssumeRole",
            Proof::WebIdentity { .. } => "AssumeRoleWithWebIdentity",
            Proof::Saml { .. } => "AssumeRoleWithSAML",
        }
    }

    pub(super) fn body(&self) -> Zeroizing<String> {
        // A token of 20000 characters, most of which need no encoding; growing would leave copies behind.
        let secret = match self.proof {
            Proof::Keys(_) => 0,
            Proof::WebIdentity { token } => token.expose().len(),
            Proof::Saml { assertion, .. } => assertion.expose().len(),
        };
        let mut form = Form::new(self.action(), secret.saturating_mul(3));
        form.push("RoleArn", self.role_arn);
        // An assertion names the session itself.
        if !matches!(self.proof, Proof::Saml { .. }) {
            form.push("RoleSessionName", self.role_session_name);
        }
        form.push("DurationSeconds", &self.duration_seconds.to_string());
        match self.proof {
            Proof::Keys(_) => {
                if let Some(external_id) = self.external_id {
                    form.push("ExternalId", external_id);
                }
            }
            Proof::WebIdentity { token } => form.push("WebIdentityToken", token.expose()),
            Proof::Saml { principal_arn, assertion } => {
                form.push("PrincipalArn", principal_arn);
                form.push("SAMLAssertion", assertion.expose());
            }
        }
        form.0
    }
}

pub(super) fn caller_identity_body() -> Zeroizing<String> {
    Form::new("GetCallerIdentity", 0).0
}

struct Form(Zeroizing<String>);

impl Form {
    /// With room for `more` characters beside what every request has.
    fn new(action: &str, more: usize) -> Self {
        let mut form = Self(Zeroizing::new(String::with_capacity(more.saturating_add(512))));
        form.push("Action", action);
        form.push("Version", VERSION);
        form
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(percent_encode(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reserved_character_of_a_value_is_encoded() {
        let keys = Credentials {
            access_key_id: "AKID".to_owned(),
            secret_access_key: Secret::new("hidden".to_owned()),
            session_token: None,
        };
        let call = AssumeRole {
            role_arn: "arn:aws:iam::222222222222:role/path/efgh",
            role_session_name: "a=b,c.d@e-f_g",
            duration_seconds: 3600,
            external_id: Some("a+b=c/d:e@f"),
            proof: Proof::Keys(&keys),
        };
        assert_eq!(
            call.body().as_str(),
            "Action=AssumeRole&Version=2011-06-15\
             &RoleArn=arn%3Aaws%3Aiam%3A%3A222222222222%3Arole%2Fpath%2Fefgh\
             &RoleSessionName=a%3Db%2Cc.d%40e-f_g&DurationSeconds=3600&ExternalId=a%2Bb%3Dc%2Fd%3Ae%40f"
        );
    }
}
