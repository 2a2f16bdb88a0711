//! Why a fake could not be started. Knows nothing of what it answers once it runs.

use std::path::PathBuf;
use std::{fmt, io};

/// Why a fake could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address could not be bound.
    Bind {
        /// The service, as `imds`, `sts` or `s3`.
        service: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// A thread could not be started.
    Thread(io::Error),
    /// The certificates could not be made.
    Certificate(rcgen::Error),
    /// The certificates were made and cannot be served.
    Tls(rustls::Error),
    /// A file could not be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { service, .. } => write!(f, "the address of `{service}` cannot be bound"),
            Self::Thread(_) => f.write_str("a thread cannot be started"),
            Self::Certificate(_) => f.write_str("the certificates cannot be made"),
            Self::Tls(_) => f.write_str("the certificates cannot be served"),
            Self::Write { path, .. } => write!(f, "`{}` cannot be written", path.display()),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { cause, .. } | Self::Thread(cause) | Self::Write { cause, .. } => Some(cause),
            Self::Certificate(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
        }
    }
}
