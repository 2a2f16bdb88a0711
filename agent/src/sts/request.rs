//! STS requests of the Query protocol: form bodies. Pure; signing and sending are the caller's.

use zeroize::Zeroizing;

use crate::encode::percent_encode;

/// The version of the STS API.
const VERSION: &str = "2011-06-15";

/// The media type of every request.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

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
}

impl AssumeRole<'_> {
    pub(super) fn body(&self) -> Zeroizing<String> {
        let mut form = Form::new("AssumeRole");
        form.push("RoleArn", self.role_arn);
        form.push("RoleSessionName", self.role_session_name);
        form.push("DurationSeconds", &self.duration_seconds.to_string());
        if let Some(external_id) = self.external_id {
            form.push("ExternalId", external_id);
        }
        form.0
    }
}

pub(super) fn caller_identity_body() -> Zeroizing<String> {
    Form::new("GetCallerIdentity").0
}

struct Form(Zeroizing<String>);

impl Form {
    fn new(action: &str) -> Self {
        let mut form = Self(Zeroizing::new(String::with_capacity(512)));
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
        let call = AssumeRole {
            role_arn: "arn:aws:iam::222222222222:role/path/efgh",
            role_session_name: "a=b,c.d@e-f_g",
            duration_seconds: 3600,
            external_id: Some("a+b=c/d:e@f"),
        };
        assert_eq!(
            call.body().as_str(),
            "Action=AssumeRole&Version=2011-06-15\
             &RoleArn=arn%3Aaws%3Aiam%3A%3A222222222222%3Arole%2Fpath%2Fefgh\
             &RoleSessionName=a%3Db%2Cc.d%40e-f_g&DurationSeconds=3600&ExternalId=a%2Bb%3Dc%2Fd%3Ae%40f"
        );
    }
}
