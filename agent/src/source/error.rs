//! Why a base source gave no credentials. One variant for each kind of failure; where several sources fail alike,
//! they share one.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use super::endpoint::EndpointError;
use super::imds::ImdsError;
use super::process::ProcessError;
use crate::config::ConfigError;
use crate::config::model::KeyHolder;
use crate::disposition::Disposition;
use crate::sts::StsError;
use crate::timestamp::Rfc3339Seconds;
use crate::x509::X509Error;

/// Why a base source gave no credentials. Holds no secret and no part of a reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// The instance metadata service.
    Imds(ImdsError),
    /// The files of a certificate.
    Certificate(X509Error),
    /// The static keys cannot be written into the files that are published.
    UnusableKeys(KeyHolder),
    /// What the source gave had expired at this time.
    Expired(OffsetDateTime),
    /// A file that the source reads cannot be read, or root must not believe it.
    File(ConfigError),
    /// The file of a container's authorization holds what no header can carry.
    NotAHeader(PathBuf),
    /// A file does not hold the proof of identity that it should.
    NoProof {
        /// The file.
        file: PathBuf,
        /// What is wrong, in words that follow the file's name.
        problem: &'static str,
    },
    /// An HTTP endpoint.
    Endpoint(EndpointError),
    /// A `credential_process`.
    Process {
        /// The profile that names it.
        profile: String,
        /// Why.
        cause: ProcessError,
    },
    /// The role that the proof of identity is for was not assumed.
    Role {
        /// The role.
        role_arn: String,
        /// Why.
        cause: StsError,
    },
}

impl SourceError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Imds(cause) => cause.disposition(),
            Self::UnusableKeys(_) => Disposition::Misconfigured,
            Self::Role { cause, .. } => cause.disposition(),
            Self::Endpoint(cause) => cause.disposition(),
            // Whoever writes the files and owns the command may mend it at any time.
            Self::Expired(_)
            | Self::File(_)
            | Self::NotAHeader(_)
            | Self::NoProof { .. }
            | Self::Certificate(_)
            | Self::Process { .. } => Disposition::Retry,
        }
    }

    /// Whether the instance metadata service is out of order, rather than refusing.
    #[must_use]
    pub fn is_imds_outage(&self) -> bool {
        matches!(self, Self::Imds(cause) if cause.is_outage())
    }

    /// Whether the instance metadata service was asked, and did not give what was wanted.
    #[must_use]
    pub fn is_answer_of_imds(&self) -> bool {
        matches!(self, Self::Imds(cause) if !matches!(cause, ImdsError::Disabled))
    }

    /// How long the service wants to be left alone, where it says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Role { cause, .. } = self { cause.retry_after() } else { None }
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Imds(cause) => cause.advice(),
            Self::Certificate(cause) => cause.advice(),
            Self::Endpoint(cause) => cause.advice(),
            Self::File(cause) => cause.advice(),
            Self::Role { cause, .. } => cause.advice(),
            Self::Process { cause, .. } => cause.advice().map(str::to_owned),
            Self::UnusableKeys(_) => {
                Some("copy the keys again, without quotes, spaces or comments behind them".to_owned())
            }
            Self::Expired(_) => Some("renew them where the chain starts".to_owned()),
            Self::NotAHeader(_) => {
                Some("write the text alone into the file, without a line break at the end".to_owned())
            }
            Self::NoProof { .. } => None,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imds(cause) => cause.fmt(f),
            Self::Certificate(cause) => cause.fmt(f),
            Self::UnusableKeys(KeyHolder::Profile(profile)) => {
                write!(f, "the static keys of profile `{profile}` hold characters that keys never have")
            }
            Self::UnusableKeys(KeyHolder::Environment) => {
                f.write_str("the keys in the environment hold characters that keys never have")
            }
            Self::Expired(at) => write!(f, "the credentials expired at {}", Rfc3339Seconds(*at)),
            Self::File(cause) => cause.fmt(f),
            Self::NotAHeader(file) => {
                write!(f, "`{}` holds a line break, or nothing that a header can carry", file.display())
            }
            Self::NoProof { file, problem } => write!(f, "`{}` {problem}", file.display()),
            Self::Endpoint(cause) => cause.fmt(f),
            Self::Process { profile, .. } => write!(f, "the `credential_process` of profile `{profile}`"),
            Self::Role { role_arn, .. } => write!(f, "role `{role_arn}` was not assumed"),
        }
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Imds(cause) => cause.source(),
            Self::Certificate(cause) => cause.source(),
            Self::File(cause) => cause.source(),
            Self::Endpoint(cause) => cause.source(),
            Self::Process { cause, .. } => Some(cause),
            Self::Role { cause, .. } => Some(cause),
            Self::UnusableKeys(_) | Self::Expired(_) | Self::NotAHeader(_) | Self::NoProof { .. } => None,
        }
    }
}
