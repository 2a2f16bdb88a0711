//! The directory of one profile, `profiles/NAME/`: four files that can be mounted into one container or given to
//! one user.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::OutputError;
use super::directory::{Attributes, Directory, Durability};
use super::render::{ConfigEntry, Material};

/// The `credential_process` document.
pub const JSON: &str = "credentials.json";
/// `[default]` and `[NAME]` of a credentials file.
pub const CREDENTIALS: &str = "credentials";
/// `NAME=value` lines.
pub const ENV: &str = "env";
/// Region and `credential_process`; no secret.
pub const CONFIG: &str = "config";

/// Writes the files of one profile, the document that `print` answers from first.
///
/// # Errors
///
/// The first file that could not be replaced; each is old or new, and whole.
pub fn publish(
    directory: &Directory,
    material: &Material<'_>,
    config: &ConfigEntry,
    attributes: Attributes,
) -> Result<(), OutputError> {
    let replace =
        |name, text: &str| directory.replace(name, text.as_bytes(), attributes, Durability::Synced).map(drop);
    replace(JSON, &material.process_json())?;
    replace(CREDENTIALS, &material.own_credentials_file())?;
    replace(ENV, &material.env())?;
    replace(CONFIG, &config.own_config_file())?;
    directory.settle()
}

/// Whether all files of the profile are there, with their owner and mode.
#[must_use]
pub fn are_complete(directory: &Directory, attributes: Attributes) -> bool {
    [JSON, CREDENTIALS, ENV, CONFIG].iter().all(|name| directory.holds(name, attributes))
}

/// The published `credential_process` document, where it is still the one whose keyed digest is `digest`.
#[must_use]
pub fn read_own(directory: &Directory, key: &[u8], digest: &str) -> Option<Zeroizing<Vec<u8>>> {
    try_read_own(directory, key, digest).ok().flatten()
}

fn try_read_own(
    directory: &Directory,
    key: &[u8],
    digest: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, OutputError> {
    let bytes = directory.read_if_sound(JSON)?;
    Ok(bytes.filter(|bytes| keyed_digest(key, bytes) == digest))
}

/// The published `credential_process` document, for whoever must not miss one that is good. With the attributes of an
/// `own` file, which nobody else can write to, whatever it holds counts: a refresh that failed between two files has
/// left a set that is newer than its record, and as good. Of any other file, only what was published last.
///
/// # Errors
///
/// When it cannot be said, because the process lacks descriptors or memory.
pub fn read_published(
    directory: &Directory,
    own: Option<Attributes>,
    key: &[u8],
    digest: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, OutputError> {
    if own.is_some_and(|attributes| directory.holds(JSON, attributes)) {
        directory.read_if_sound(JSON)
    } else {
        try_read_own(directory, key, digest)
    }
}

/// A digest of `bytes` that only this host can compute.
#[must_use]
pub fn keyed_digest(key: &[u8], bytes: &[u8]) -> String {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(bytes);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
