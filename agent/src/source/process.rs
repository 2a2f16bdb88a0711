//! `credential_process`: a command that prints credentials. Executed directly, without a shell; what it prints is read
//! by the SDKs' contract and shown to nobody.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::error::SourceError;
use crate::clock::Clock;
use crate::config::model::ProcessSettings;
use crate::credentials::{IssuedCredentials, unchecked::UncheckedCredentials};
use crate::hook::{Hook, HookError, Purpose};
use crate::json::WipedJson;

/// Set in the environment of the command: a rolekeeper that finds it there has been led back to.
pub const MARKER: &str = "ROLEKEEPER_CREDENTIAL_PROCESS";

/// The Go SDK's limit.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Why a `credential_process` gave no credentials. What it printed is no part of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessError {
    /// It did not succeed.
    Failed(HookError),
    /// It printed more than credentials can be; it was ended.
    TooMuch,
    /// It printed something else than credentials.
    BadOutput(&'static str),
}

/// Runs the command and reads what it prints.
pub(super) fn fetch(settings: &ProcessSettings, clock: &dyn Clock) -> Result<IssuedCredentials, SourceError> {
    let failed = |cause| SourceError::Process { profile: settings.profile.clone(), cause };
    let added = [
        (OsString::from("PATH"), settings.path.clone()),
        (OsString::from(MARKER), OsString::from(&settings.profile)),
    ];
    let command =
        Hook { words: &settings.words, environment: &added, timeout: TIMEOUT, purpose: Purpose::Answer };
    let (output, ended) = command.run(clock);
    if output.dropped() > 0 {
        return Err(failed(ProcessError::TooMuch));
    }
    ended.map_err(|cause| failed(ProcessError::Failed(cause)))?;
    let mut issued = parse(output.kept()).map_err(|problem| failed(ProcessError::BadOutput(problem)))?;
    issued.account_id = issued.account_id.or_else(|| settings.account_id.clone());
    Ok(issued)
}

/// Reads the document of the contract; member names in any letter case, as in the Rust SDK.
fn parse(output: &[u8]) -> Result<IssuedCredentials, &'static str> {
    let json = WipedJson::parse(output).ok_or("something that is no JSON object")?;
    // The text "1" is none, as in every SDK.
    if json.member("Version").and_then(Value::as_u64) != Some(1) {
        return Err("a document whose `Version` is not the number 1");
    }
    let text = |name| match json.member(name) {
        None | Some(Value::Null) => None,
        // A value of another type is there, and is nothing that could be used.
        Some(value) => Some(value.as_str().unwrap_or_default()),
    };
    let unchecked = UncheckedCredentials {
        access_key_id: text("AccessKeyId"),
        secret_access_key: text("SecretAccessKey"),
        session_token: text("SessionToken").filter(|_| json.text("SessionToken") != Some("")),
        expiration: text("Expiration"),
        account_id: text("AccountId"),
    };
    unchecked.check_lasting()
}

impl ProcessError {
    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Failed(HookError::Code(126 | 127)) => {
                "the command cannot be run: write its path from `/` on, without variables, pipes or `~`, which need a shell"
            }
            Self::Failed(HookError::Code(_)) => {
                "run the command as the agent's user to see why; its output is not shown, because it may hold secrets"
            }
            Self::Failed(_) => return None,
            Self::TooMuch | Self::BadOutput(_) => {
                "the command has to print one JSON object: Version 1, AccessKeyId, SecretAccessKey, SessionToken, Expiration"
            }
        })
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(cause) => cause.fmt(f),
            Self::TooMuch => f.write_str("it printed more than credentials can be, and was ended"),
            Self::BadOutput(problem) => write!(f, "it printed {problem}"),
        }
    }
}

impl Error for ProcessError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(cause) => cause.source(),
            Self::TooMuch | Self::BadOutput(_) => None,
        }
    }
}
