//! STS requests of the Query protocol: form bodies. Pure; signing and sending are the caller's.

use zeroize::Zeroizing;

use crate::config::model::{Role, SessionPolicies};
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
    /// The role, and what is asked for with it.
    pub role: &'a Role,
    /// `RoleSessionName`
    pub role_session_name: &'a str,
    /// `DurationSeconds`
    pub duration_seconds: u32,
    /// Why STS should grant it.
    pub proof: Proof<'a>,
    /// `TokenCode`, of the role's MFA device.
    pub token_code: Option<&'a Secret>,
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
        let role = self.role;
        // A token of 20000 characters, most of which need no encoding; growing would leave copies behind.
        let secret = match self.proof {
            Proof::Keys(_) => 0,
            Proof::WebIdentity { token } => token.expose().len(),
            Proof::Saml { assertion, .. } => assertion.expose().len(),
        };
        let mut form = Form::new(self.action(), secret.saturating_mul(3));
        form.push("RoleArn", &role.role_arn);
        // An assertion names the session itself.
        if !matches!(self.proof, Proof::Saml { .. }) {
            form.push("RoleSessionName", self.role_session_name);
        }
        form.push("DurationSeconds", &self.duration_seconds.to_string());
        match self.proof {
            Proof::Keys(_) => {
                form.push_optional("ExternalId", role.external_id.as_deref());
                if let (Some(serial), Some(code)) = (&role.mfa_serial, self.token_code) {
                    form.push("SerialNumber", serial);
                    form.push("TokenCode", code.expose());
                }
            }
            Proof::WebIdentity { token } => form.push("WebIdentityToken", token.expose()),
            Proof::Saml { principal_arn, assertion } => {
                form.push("PrincipalArn", principal_arn);
                form.push("SAMLAssertion", assertion.expose());
            }
        }
        form.push_policies(&role.policies);
        for (number, (key, value)) in (1_usize..).zip(&role.tags) {
            form.push_member("Tags", number, ".Key", key);
            form.push_member("Tags", number, ".Value", value);
        }
        for (number, key) in (1_usize..).zip(&role.transitive_tags) {
            form.push_member("TransitiveTagKeys", number, "", key);
        }
        form.push_optional("SourceIdentity", role.source_identity.as_deref());
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

    fn push_optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    /// One field of the element `number`, counted from 1, of a list.
    fn push_member(&mut self, list: &str, number: usize, field: &str, value: &str) {
        self.push(&format!("{list}.member.{number}{field}"), value);
    }

    fn push_policies(&mut self, policies: &SessionPolicies) {
        self.push_optional("Policy", policies.inline.as_deref());
        for (number, arn) in (1_usize..).zip(&policies.arns) {
            self.push_member("PolicyArns", number, ".arn", arn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> Role {
        Role {
            profile: "a".to_owned(),
            role_arn: "arn:aws:iam::222222222222:role/path/efgh".to_owned(),
            role_session_name: None,
            external_id: None,
            duration_seconds: None,
            mfa_serial: None,
            policies: SessionPolicies::default(),
            tags: Vec::new(),
            transitive_tags: Vec::new(),
            source_identity: None,
        }
    }

    const PLAIN: &str = "Action=AssumeRole&Version=2011-06-15\
        &RoleArn=arn%3Aaws%3Aiam%3A%3A222222222222%3Arole%2Fpath%2Fefgh\
        &RoleSessionName=a%3Db%2Cc.d%40e-f_g&DurationSeconds=3600";

    fn body(role: &Role, code: Option<&str>) -> String {
        let code = code.map(|code| Secret::new(code.to_owned()));
        let token_code = code.as_ref();
        let keys = Credentials {
            access_key_id: "AKID".to_owned(),
            secret_access_key: Secret::new("hidden".to_owned()),
            session_token: None,
        };
        let call = AssumeRole {
            role,
            role_session_name: "a=b,c.d@e-f_g",
            duration_seconds: 3600,
            proof: Proof::Keys(&keys),
            token_code,
        };
        assert!(!format!("{call:?}").contains("123456"));
        call.body().to_string()
    }

    #[test]
    fn every_reserved_character_of_a_value_is_encoded() {
        let role = Role { external_id: Some("a+b=c/d:e@f".to_owned()), ..role() };
        assert_eq!(body(&role, None), format!("{PLAIN}&ExternalId=a%2Bb%3Dc%2Fd%3Ae%40f"));
    }

    #[test]
    fn lists_are_numbered_from_one() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let role = Role {
            mfa_serial: Some("arn:aws:iam::111111111111:mfa/a".to_owned()),
            policies: SessionPolicies {
                inline: Some("{\n \"a\": 1}".to_owned()),
                arns: vec!["arn:aws:iam::aws:policy/A".to_owned(), "arn:aws:iam::aws:policy/B".to_owned()],
            },
            tags: vec![pair("Team", "a b"), pair("Empty", "")],
            transitive_tags: vec!["Team".to_owned()],
            source_identity: Some("me@example".to_owned()),
            ..role()
        };
        assert_eq!(
            body(&role, Some("123456")),
            format!(
                "{PLAIN}&SerialNumber=arn%3Aaws%3Aiam%3A%3A111111111111%3Amfa%2Fa&TokenCode=123456\
                 &Policy=%7B%0A%20%22a%22%3A%201%7D\
                 &PolicyArns.member.1.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FA\
                 &PolicyArns.member.2.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FB\
                 &Tags.member.1.Key=Team&Tags.member.1.Value=a%20b&Tags.member.2.Key=Empty&Tags.member.2.Value=\
                 &TransitiveTagKeys.member.1=Team&SourceIdentity=me%40example"
            )
        );
    }
}
