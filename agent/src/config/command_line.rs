//! One profile that the command line describes, for containers without any file.

use std::collections::BTreeMap;

use super::document::{Document, Entry, Section};
use super::error::{ConfigError, Location};
use super::names::is_valid;
use super::problem::Problem;

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

/// The document that a file with this one profile would give.
///
/// # Errors
///
/// When `--profile-name` is none.
pub(crate) fn document(given: &CommandLineProfile) -> Result<Document, ConfigError> {
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
    enter("role_arn", given.role_arn.as_deref());
    enter("credential_source", given.credential_source.as_deref());
    enter("external_id", given.external_id.as_deref());
    enter("duration_seconds", given.duration_seconds.as_deref());
    enter("role_session_name", given.role_session_name.as_deref());
    // Who names a base source and no role wants that source's own credentials.
    enter("rolekeeper_publish", Some("true"));
    let section = Section { name: name.to_owned(), file: None, line: None, entries };
    Ok(Document { profiles: vec![section], ..Document::default() })
}
