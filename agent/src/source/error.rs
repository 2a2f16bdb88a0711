//! Why a base source gave no credentials. One variant for each kind of failure; where several sources fail alike,
//! they share one.

use std::error::Error;
use std::fmt;

use super::endpoint::EndpointError;
use super::imds::ImdsError;
use crate::disposition::Disposition;
use crate::x509::X509Error;

/// Why a base source gave no credentials. Holds no secret and no part of a reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// The instance metadata service.
    Imds(ImdsError),
    /// The files of a certificate.
    Certificate(X509Error),
    /// An HTTP endpoint.
    Endpoint(EndpointError),
    /// The static keys of this profile cannot be written into the files that are published.
    UnusableKeys {
        /// The profile that holds them.
        profile: String,
    },
}

impl SourceError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Imds(cause) => cause.disposition(),
            // Renewed files are picked up without a word in the configuration.
            Self::Certificate(_) => Disposition::Local,
            Self::Endpoint(cause) => cause.disposition(),
            Self::UnusableKeys { .. } => Disposition::Misconfigured,
        }
    }

    /// Whether the instance metadata service is out of order, rather than refusing.
    #[must_use]
    pub fn is_imds_outage(&self) -> bool {
        matches!(self, Self::Imds(cause) if cause.is_outage())
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Imds(cause) => cause.advice(),
            Self::Certificate(cause) => cause.advice(),
            Self::Endpoint(cause) => cause.advice(),
            Self::UnusableKeys { .. } => {
                Some("copy the keys again, without quotes, spaces or comments behind them".to_owned())
            }
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imds(cause) => cause.fmt(f),
            Self::Certificate(cause) => cause.fmt(f),
            Self::Endpoint(cause) => cause.fmt(f),
            Self::UnusableKeys { profile } => {
                write!(f, "the static keys of profile `{profile}` hold characters that keys never have")
            }
        }
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Imds(cause) => cause.source(),
            Self::Certificate(cause) => cause.source(),
            Self::Endpoint(cause) => cause.source(),
            Self::UnusableKeys { .. } => None,
        }
    }
}
