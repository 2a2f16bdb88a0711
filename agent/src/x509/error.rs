//! What can be wrong with the files of a certificate and its key.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use time::OffsetDateTime;

use crate::config::problem::Problem;
use crate::timestamp::Rfc3339Seconds;

/// Why a certificate or a private key cannot be used.
#[derive(Debug)]
pub struct X509Error {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: X509Problem,
}

/// What is wrong with a file that should hold a certificate or a private key.
#[derive(Debug)]
#[non_exhaustive]
pub enum X509Problem {
    /// It cannot be read, is no file, is too large, or another user can change it.
    File(Problem),
    /// There is nothing in it.
    Empty,
    /// Something else than was expected is in it, named by what PEM calls it.
    Kind {
        /// What is there.
        found: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// The private key is encrypted.
    Encrypted,
    /// The content is damaged; the words say what was found.
    Malformed(&'static str),
    /// A kind of key that cannot be used.
    Unsupported(&'static str),
    /// The private key is not the certificate's.
    Mismatch,
    /// The certificate has expired.
    Expired {
        /// When.
        at: OffsetDateTime,
        /// The time it was held against.
        now: OffsetDateTime,
    },
    /// The certificate is not valid yet.
    NotYetValid {
        /// When it will be.
        at: OffsetDateTime,
        /// The time it was held against.
        now: OffsetDateTime,
    },
}

impl X509Error {
    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(
            match &self.problem {
                X509Problem::File(problem) => return problem.advice(),
                X509Problem::Empty | X509Problem::Malformed(_) => {
                    "copy the file again, as PEM or DER; the next refresh reads it anew"
                }
                X509Problem::Kind { .. } => "name the right file; perhaps certificate and key are exchanged",
                X509Problem::Encrypted => {
                    "a service cannot ask for the passphrase; decrypt the key with `openssl pkey -in FILE -out FILE2`, \
                     and keep it readable to the agent alone"
                }
                X509Problem::Unsupported(_) => {
                    "use an RSA key of 2048 to 4096 bits, or one on the curve P-256 or P-384, in PKCS#8, PKCS#1 or SEC1"
                }
                X509Problem::Mismatch => "name the key that the certificate was issued for",
                X509Problem::Expired { .. } => "renew the certificate; the next refresh reads it anew",
                X509Problem::NotYetValid { .. } => "check the clock of this host, or wait until then",
            }
            .to_owned(),
        )
    }
}

impl fmt::Display for X509Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.file.display(), self.problem)
    }
}

impl fmt::Display for X509Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dates = |f: &mut fmt::Formatter<'_>, word: &str, at: &OffsetDateTime, now: &OffsetDateTime| {
            write!(f, "the certificate {word} `{}`; it is `{}`", Rfc3339Seconds(*at), Rfc3339Seconds(*now))
        };
        match self {
            Self::File(problem) => problem.fmt(f),
            Self::Empty => f.write_str("the file is empty"),
            Self::Kind { found, wanted } => write!(f, "holds {found}, not {wanted}"),
            Self::Encrypted => f.write_str("the private key is encrypted"),
            Self::Malformed(found) => write!(f, "holds {found}"),
            Self::Unsupported(found) => write!(f, "holds {found}, which is not supported"),
            Self::Mismatch => f.write_str("the private key does not belong to the certificate"),
            Self::Expired { at, now } => dates(f, "expired at", at, now),
            Self::NotYetValid { at, now } => dates(f, "is not valid before", at, now),
        }
    }
}

impl Error for X509Error {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let X509Problem::File(problem) = &self.problem { problem.cause() } else { None }
    }
}
