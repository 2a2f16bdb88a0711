//! The errors of a whole command: what is said, what is advised, and the exit code. The one place that prints
//! chains of causes.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::chain::ChainError;
use crate::cli::UsageError;
use crate::config::ConfigError;
use crate::disposition::Disposition;
use crate::hook::HookError;
use crate::output::OutputError;

/// Exit codes after sysexits.h; the ones that the agent uses.
pub mod exit_code {
    /// Everything went well, or as well as it needs to.
    pub const OK: u8 = 0;
    /// `EX_USAGE`: the command line does not make sense.
    pub const USAGE: u8 = 64;
    /// `EX_UNAVAILABLE`: there are no valid credentials, and none can be had here.
    pub const UNAVAILABLE: u8 = 69;
    /// `EX_SOFTWARE`: a mistake of ours.
    pub const SOFTWARE: u8 = 70;
    /// `EX_CANTCREAT`: files cannot be written.
    pub const CANNOT_CREATE: u8 = 73;
    /// `EX_TEMPFAIL`: the network or a service; trying again may help.
    pub const TEMPORARY: u8 = 75;
    /// `EX_NOPERM`: AWS denied it.
    pub const NO_PERMISSION: u8 = 77;
    /// `EX_CONFIG`: the configuration has to change.
    pub const CONFIGURATION: u8 = 78;
    /// The command of `exec` is there and cannot be run, as shells say it.
    pub const CANNOT_EXECUTE: u8 = 126;
    /// The command of `exec` does not exist, as shells say it.
    pub const COMMAND_NOT_FOUND: u8 = 127;
}

impl Disposition {
    /// The exit code for an error of this kind.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Retry => exit_code::TEMPORARY,
            Self::Refused => exit_code::NO_PERMISSION,
            Self::Misconfigured => exit_code::CONFIGURATION,
            Self::Local => exit_code::CANNOT_CREATE,
            Self::Broken => exit_code::SOFTWARE,
        }
    }
}

const WRITE_A_PROFILE: &str = "write a profile with role_arn into the configuration";

/// Why a command, or one profile of it, failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The command line.
    Usage(UsageError),
    /// The configuration.
    Config(ConfigError),
    /// The chain of a profile.
    Chain {
        /// The profile.
        profile: String,
        /// Why.
        cause: Box<ChainError>,
    },
    /// A file.
    Output(OutputError),
    /// The file of others that a profile is merged into; the agent's own files are up to date.
    Merge {
        /// The profile.
        profile: String,
        /// Why.
        cause: OutputError,
    },
    /// There is no profile to speak of.
    NoProfile {
        /// The names to choose from.
        known: Vec<String>,
    },
    /// No profile of the configuration is to be kept fresh.
    NothingManaged {
        /// The configuration.
        file: std::path::PathBuf,
    },
    /// No valid credentials are published, and none can be had here.
    NothingPublished {
        /// The profile.
        profile: String,
        /// Why, in words that follow a colon.
        reason: String,
    },
    /// No status was left by any refresh.
    NoStatus,
    /// The command of `exec` cannot be run.
    Execute {
        /// The command.
        command: String,
        /// Why.
        cause: std::io::Error,
    },
    /// The hook of a profile failed; what was published stays.
    Hook {
        /// The profile.
        profile: String,
        /// How often it has failed in a row.
        attempts: u64,
        /// Why.
        cause: HookError,
    },
    /// The `credential_process` of this profile is what started this command.
    LeadsBack {
        /// The profile.
        profile: String,
    },
    /// Standard output cannot be written.
    Stdout(std::io::Error),
    /// Signals cannot be waited for.
    Signals(std::io::Error),
    /// A thread of the daemon cannot be started, or has ended too early.
    Thread(std::io::Error),
    /// A process that works for the daemon cannot be started, or has given no answer.
    Worker(std::io::Error),
    /// What a process that works for the daemon has reported.
    Told(Told),
    /// The credentials endpoint cannot be opened; all else goes on.
    Serve {
        /// Where it should listen.
        address: std::net::SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// The configuration that was read again names another output directory.
    OutputMoved {
        /// Where files are published.
        from: std::path::PathBuf,
        /// Where they should be.
        to: std::path::PathBuf,
    },
}

impl Error {
    /// The exit code that tells scripts what kind of error this is.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NoProfile { .. } => exit_code::USAGE,
            Self::Config(_) | Self::NothingManaged { .. } => exit_code::CONFIGURATION,
            Self::Chain { cause, .. } => cause.disposition().exit_code(),
            Self::Output(_) | Self::Merge { .. } => exit_code::CANNOT_CREATE,
            Self::NothingPublished { .. } | Self::NoStatus => exit_code::UNAVAILABLE,
            Self::Execute { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                exit_code::COMMAND_NOT_FOUND
            }
            Self::Execute { .. } => exit_code::CANNOT_EXECUTE,
            Self::Hook { .. } | Self::Serve { .. } => exit_code::TEMPORARY,
            Self::Stdout(_) => exit_code::CANNOT_CREATE,
            Self::Signals(_) | Self::Thread(_) | Self::Worker(_) => exit_code::SOFTWARE,
            Self::Told(told) => told.exit_code,
            Self::OutputMoved { .. } | Self::LeadsBack { .. } => exit_code::CONFIGURATION,
        }
    }

    /// What kind of error it is, for status and schedule.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Chain { cause, .. } => cause.disposition(),
            Self::Config(cause) if cause.problem().is_of_named_file() => Disposition::Local,
            Self::Output(_)
            | Self::Merge { .. }
            | Self::Stdout(_)
            | Self::Execute { .. }
            | Self::Thread(_)
            | Self::Worker(_)
            | Self::Hook { .. }
            | Self::Serve { .. } => Disposition::Local,
            Self::Told(told) => told.pace,
            Self::Usage(_)
            | Self::Config(_)
            | Self::NoProfile { .. }
            | Self::NothingManaged { .. }
            | Self::OutputMoved { .. }
            | Self::LeadsBack { .. } => Disposition::Misconfigured,
            Self::Signals(_) => Disposition::Broken,
            Self::NothingPublished { .. } | Self::NoStatus => Disposition::Retry,
        }
    }

    /// What it means for the plan of a daemon. What a chain has met with may be mended from outside at any time, in IAM
    /// or in a file of certificates, so that only an error of the configuration itself waits for another one; and to
    /// ask the instance's own service again costs nobody anything.
    #[must_use]
    pub fn pace(&self) -> Disposition {
        let disposition = self.disposition();
        let Self::Chain { cause, .. } = self else { return disposition };
        match disposition {
            _ if cause.is_answer_of_imds() => Disposition::Retry,
            Disposition::Misconfigured => Disposition::Refused,
            Disposition::Retry | Disposition::Refused | Disposition::Local | Disposition::Broken => {
                disposition
            }
        }
    }

    /// How long a service wants to be left alone; no time where it does not say so.
    #[must_use]
    pub fn wish(&self) -> Duration {
        let Self::Chain { cause, .. } = self else { return Duration::ZERO };
        cause.retry_after().unwrap_or_default()
    }

    /// At most one sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Config(cause) => cause.advice(),
            Self::Chain { cause, .. } => cause.advice(),
            Self::Output(cause) | Self::Merge { cause, .. } => cause.advice(),
            Self::NothingManaged { .. } => Some(WRITE_A_PROFILE.to_owned()),
            Self::NoProfile { known } if known.is_empty() => Some(WRITE_A_PROFILE.to_owned()),
            Self::NoProfile { known } => Some(format!("name one, or set AWS_PROFILE: {}", known.join(", "))),
            Self::NoStatus => {
                Some("run `rolekeeper refresh` first, or name the directory with --output-dir".to_owned())
            }
            Self::OutputMoved { .. } => Some("restart the daemon to move its files".to_owned()),
            Self::Hook { .. } => Some("the credentials are published; the hook is tried again".to_owned()),
            Self::Told(told) => told.advice.clone(),
            Self::LeadsBack { .. } => {
                Some("write where that profile has its credentials from into the configuration".to_owned())
            }
            Self::Serve { cause, .. } if cause.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("give it CAP_NET_BIND_SERVICE, which ports below 1024 need, or choose a higher one".to_owned())
            }
            Self::Serve { .. } => Some(
                "find out who has the port, or change `serve`; it is tried again, and meanwhile no profile has a token"
                    .to_owned(),
            ),
            Self::Usage(_)
            | Self::NothingPublished { .. }
            | Self::Execute { .. }
            | Self::Stdout(_)
            | Self::Signals(_)
            | Self::Thread(_)
            | Self::Worker(_) => None,
        }
    }

    /// The error and all its causes, joined by colons.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// An error of another process of ours, as far as it matters to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The error and its causes.
    pub message: String,
    /// What it advises.
    pub advice: Option<String>,
    /// What it means for the next try.
    pub pace: Disposition,
    /// How long a service wants to be left alone.
    pub wish: Duration,
    /// The exit code for it.
    pub exit_code: u8,
}

impl Told {
    /// What to tell of `error`.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        Self {
            message: error.with_causes(),
            advice: error.advice(),
            pace: error.pace(),
            wish: error.wish(),
            exit_code: error.exit_code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(cause) => cause.fmt(f),
            Self::Config(cause) => cause.fmt(f),
            Self::Output(cause) => cause.fmt(f),
            Self::Chain { profile, .. } | Self::Merge { profile, .. } => write!(f, "profile `{profile}`"),
            Self::NoProfile { .. } => f.write_str("no profile is named"),
            Self::NothingManaged { file } => write!(f, "no profile to keep fresh in {}", file.display()),
            Self::NothingPublished { profile, reason } => {
                write!(f, "profile `{profile}` has no valid credentials: {reason}")
            }
            Self::NoStatus => f.write_str("no refresh has left a status"),
            Self::Execute { command, .. } => write!(f, "cannot run `{command}`"),
            Self::Hook { profile, attempts, .. } => {
                write!(f, "profile `{profile}`: the hook has failed, attempt {attempts}")
            }
            Self::LeadsBack { profile } => {
                write!(f, "the `credential_process` of profile `{profile}` leads back to rolekeeper")
            }
            Self::Stdout(_) => f.write_str("cannot write to standard output"),
            Self::Signals(_) => f.write_str("cannot wait for signals"),
            Self::Thread(_) => f.write_str("cannot work on a thread"),
            Self::Worker(_) => f.write_str("cannot work in another process"),
            Self::Told(told) => f.write_str(&told.message),
            Self::Serve { address, .. } => write!(f, "credentials cannot be served at {address}"),
            Self::OutputMoved { from, to } => {
                write!(f, "`output_dir` is `{}` now, and files are in `{}`", to.display(), from.display())
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Usage(cause) => cause.source(),
            Self::Config(cause) => cause.source(),
            Self::Output(cause) => cause.source(),
            Self::Chain { cause, .. } => Some(cause.as_ref()),
            Self::Hook { cause, .. } => Some(cause),
            Self::Merge { cause, .. } => Some(cause),
            Self::Execute { cause, .. }
            | Self::Serve { cause, .. }
            | Self::Stdout(cause)
            | Self::Signals(cause)
            | Self::Thread(cause)
            | Self::Worker(cause) => Some(cause),
            Self::Told(_)
            | Self::NoProfile { .. }
            | Self::NothingManaged { .. }
            | Self::NothingPublished { .. }
            | Self::NoStatus
            | Self::LeadsBack { .. }
            | Self::OutputMoved { .. } => None,
        }
    }
}

impl From<UsageError> for Error {
    fn from(cause: UsageError) -> Self {
        Self::Usage(cause)
    }
}

impl From<ConfigError> for Error {
    fn from(cause: ConfigError) -> Self {
        Self::Config(cause)
    }
}

impl From<OutputError> for Error {
    fn from(cause: OutputError) -> Self {
        Self::Output(cause)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::OffsetDateTime;

    use super::*;
    use crate::source::SourceError;
    use crate::source::imds::ImdsError;
    use crate::sts::StsError;

    #[test]
    fn only_the_configuration_itself_makes_the_daemon_wait_for_another_one() {
        let source = |cause| ChainError::Source(Arc::new(cause));
        let imds = |cause| source(SourceError::Imds(cause));
        for (cause, pace) in [
            (imds(ImdsError::TokenRefused(405)), Disposition::Retry),
            (imds(ImdsError::TokenRefused(403)), Disposition::Retry),
            (imds(ImdsError::UnknownInstanceProfile("x".to_owned())), Disposition::Retry),
            (imds(ImdsError::Disabled), Disposition::Refused),
            (ChainError::Role { role_arn: "x".to_owned(), cause: StsError::NoRegion }, Disposition::Retry),
            (source(SourceError::Expired(OffsetDateTime::UNIX_EPOCH)), Disposition::Retry),
        ] {
            let error = Error::Chain { profile: "x".to_owned(), cause: Box::new(cause) };
            assert_eq!(error.pace(), pace, "{error:?}");
        }
        assert_eq!(Error::NoProfile { known: Vec::new() }.pace(), Disposition::Misconfigured);
    }
}
