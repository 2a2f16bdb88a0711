//! One profile that the command line describes, for containers without any file.

use std::collections::BTreeMap;

use super::document::{Document, Entry, Section};
use super::error::{ConfigError, Location};
use super::names::is_valid;
use super::problem::Problem;
use crate::environment::Environment;

/// The options that describe one profile, as they were typed; they are checked like a file's values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLineProfile {
    /// `--role-arn`.
    pub role_arn: Option<String>,
    /// `--credential-source`.
    pub credential_source: Option<String>,
    /// `--profile-name`; `default` where it is not given.
    pub profile_name: Option<String>,
    /// `--external-id`.
    pub external_id: Option<String>,
    /// `--duration-seconds`.
    pub duration_seconds: Option<String>,
    /// `--role-session-name`.
    pub role_session_name: Option<String>,
    /// `--region`.
    pub region: Option<String>,
}

/// The variables that give a pod its identity.
pub(crate) const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE_ARN: &str = "AWS_ROLE_ARN";
const ROLE_SESSION_NAME: &str = "AWS_ROLE_SESSION_NAME";

/// The document that a file with this one profile would give. Where no source is named, it is the identity token that
/// the environment gives; each option beats its variable.
///
/// # Errors
///
/// When `--profile-name` is none, or the environment gives a token and no role.
pub(crate) fn document(
    given: &CommandLineProfile,
    environment: &Environment,
) -> Result<Document, ConfigError> {
    let name = given.profile_name.as_deref().unwrap_or("default");
    if !is_valid(name) {
        let problem = Problem::Value {
            key: "--profile-name",
            value: name.to_owned(),
            complaint: "not a profile name",
            write: "write letters, digits and `_-/.%@:+`",
        };
        return Err(ConfigError::new(Location::default(), problem));
    }
    let mut entries = BTreeMap::new();
    let mut enter = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            let entry = Entry { value: value.to_owned().into(), nested: Vec::new(), file: None, line: None };
            entries.insert(key.to_owned(), entry);
        }
    };
    let token_file = environment.text(TOKEN_FILE).filter(|_| given.credential_source.is_none());
    let variable = |name| token_file.and_then(|_| environment.text(name));
    let role_arn = given.role_arn.as_deref().or_else(|| variable(ROLE_ARN));
    if token_file.is_some() && role_arn.is_none() {
        let location = Location { profile: Some(name.to_owned()), ..Location::default() };
        return Err(ConfigError::new(location, Problem::HalfOfKeys { missing: ROLE_ARN }));
    }
    enter("role_arn", role_arn);
    enter("web_identity_token_file", token_file);
    enter("credential_source", given.credential_source.as_deref());
    enter("external_id", given.external_id.as_deref());
    enter("duration_seconds", given.duration_seconds.as_deref());
    enter("role_session_name", given.role_session_name.as_deref().or_else(|| variable(ROLE_SESSION_NAME)));
    // Who names a base source and no role wants that source's own credentials.
    enter("rolekeeper_publish", Some("true"));
    let section = Section { name: name.to_owned(), file: None, line: None, entries };
    Ok(Document { profiles: vec![section], ..Document::default() })
}
