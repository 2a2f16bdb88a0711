//! A certificate and its private key as files: read, checked against each other and against the time, and ready to
//! sign. Knows nothing of the services that ask for them, nor of TLS.
//!
//! The forms: certificates as PEM or DER; keys as PEM or DER in PKCS#8, PKCS#1 or SEC1; RSA of 2048 to 4096 bits, P-256
//! and P-384.

mod certificate;
mod der;
mod error;
mod key;
mod p384;
mod pem;
#[cfg(test)]
mod tests;

pub use error::{X509Error, X509Problem};

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use log::warn;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use self::certificate::Certificate;
pub(crate) use self::key::PrivateKey;
use crate::config::model::X509Files;
use crate::config::read::read_trusted;
use crate::disposition::quote_foreign;

/// More than a chain of certificates needs, in bytes.
const LARGEST: usize = 64 * 1024;

const CERTIFICATE: &str = "CERTIFICATE";

/// A certificate that is valid now, what leads from it to its root, and its private key.
pub struct X509Identity {
    /// In DER, the holder's own first.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Of the first, most significant byte first.
    pub(crate) serial_number: Vec<u8>,
    pub(crate) key: Arc<PrivateKey>,
}

impl fmt::Debug for X509Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "X509Identity({} certificates, {:?})", self.certificates.len(), self.key)
    }
}

impl X509Identity {
    /// Reads `files`. `now` is the true time, as far as it is known.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or trusted, holds something else, or does not fit the others or the time.
    pub fn load(files: &X509Files, now: OffsetDateTime) -> Result<Self, X509Error> {
        let at = |file: &Path| {
            let file = file.to_owned();
            move |problem| X509Error { file, problem }
        };
        let mut certificates = certificates(&files.certificate).map_err(at(&files.certificate))?;
        if let Some(chain) = &files.chain {
            certificates.truncate(1);
            certificates.extend(self::certificates(chain).map_err(at(chain))?);
        }
        let leaf = certificates.first().and_then(|der| Certificate::parse(der));
        let leaf =
            leaf.ok_or(X509Problem::Malformed("a damaged certificate")).map_err(at(&files.certificate))?;
        check_dates(&leaf, now).map_err(at(&files.certificate))?;
        let key = private_key(&files.private_key, &leaf).map_err(at(&files.private_key))?;
        let serial_number = leaf.serial_number.to_owned();
        Ok(Self { certificates, serial_number, key: Arc::new(key) })
    }
}

fn check_dates(leaf: &Certificate<'_>, now: OffsetDateTime) -> Result<(), X509Problem> {
    if now < leaf.not_before {
        return Err(X509Problem::NotYetValid { at: leaf.not_before, now });
    }
    if now > leaf.not_after {
        return Err(X509Problem::Expired { at: leaf.not_after, now });
    }
    Ok(())
}

/// All certificates of a file; at least one.
fn certificates(file: &Path) -> Result<Vec<Vec<u8>>, X509Problem> {
    let content = read(file)?;
    let damaged = || X509Problem::Malformed("a damaged certificate");
    let mut found = Vec::new();
    let Some(text) = as_pem(&content) else {
        if key::is_key(&content) {
            let found = "a private key".to_owned();
            return Err(X509Problem::Kind { found, wanted: "a certificate" });
        }
        Certificate::parse(&content).ok_or(X509Problem::Malformed("neither PEM nor a certificate in DER"))?;
        return Ok(vec![content.to_vec()]);
    };
    for block in pem::blocks(text).filter(|block| block.label == CERTIFICATE) {
        let der = block.decode().ok_or_else(damaged)?;
        Certificate::parse(&der).ok_or_else(damaged)?;
        found.push(der.to_vec());
    }
    if found.is_empty() { Err(another_kind(text, "a certificate")) } else { Ok(found) }
}

fn private_key(file: &Path, leaf: &Certificate<'_>) -> Result<PrivateKey, X509Problem> {
    let content = read(file)?;
    warn_if_open(file);
    let Some(text) = as_pem(&content) else {
        if Certificate::parse(&content).is_some() {
            let found = "a certificate".to_owned();
            return Err(X509Problem::Kind { found, wanted: "a private key" });
        }
        return PrivateKey::parse(&content, &leaf.public_key);
    };
    // Parameters of the curve, or certificates, may stand in front.
    let block = pem::blocks(text).find(|block| block.label.ends_with("PRIVATE KEY"));
    let block = block.ok_or_else(|| another_kind(text, "a private key"))?;
    if block.is_encrypted() {
        return Err(X509Problem::Encrypted);
    }
    let der = block.decode().ok_or(X509Problem::Malformed("a damaged private key"))?;
    PrivateKey::parse(&der, &leaf.public_key)
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, X509Problem> {
    let content = read_trusted(file, LARGEST).map_err(X509Problem::File)?;
    if content.is_empty() { Err(X509Problem::Empty) } else { Ok(content) }
}

/// The content as text, where it has a block.
fn as_pem(content: &[u8]) -> Option<&str> {
    str::from_utf8(content).ok().filter(|text| pem::blocks(text).next().is_some())
}

fn another_kind(text: &str, wanted: &'static str) -> X509Problem {
    let label = pem::blocks(text).next().map_or("", |block| block.label);
    X509Problem::Kind { found: format!("`{}`", quote_foreign(label, 40)), wanted }
}

/// Whom the group of a file stands for is the administrator's choice; everybody is nobody's.
fn warn_if_open(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).map_or(0, |stat| stat.permissions().mode());
    if mode & 0o004 != 0 {
        warn!("`{}`: every user can read this private key; run `chmod o-rwx` on it", file.display());
    }
}
