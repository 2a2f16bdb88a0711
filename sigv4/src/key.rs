//! The signing key: derived once per secret, day, region and service, kept as a keyed MAC, wiped when
//! dropped.
//!
//! Keeping the MAC rather than the key saves two hash blocks per signature. Knows nothing of requests.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::Error;
use crate::scope::{DatedScope, Scope, Timestamp};

pub(crate) type KeyedMac = Hmac<Sha256>;

/// A derived key. It signs for one day, region and service, and reveals nothing of the secret it comes from.
///
/// The key is wiped when the value is dropped.
#[derive(Clone)]
pub struct SigningKey {
    mac: KeyedMac,
    day: Timestamp,
    region: String,
    service: String,
}

impl SigningKey {
    /// Derives the key for `scope` on the UTC day of `at`.
    ///
    /// # Errors
    ///
    /// When the scope or the instant cannot be written: [`Error::Region`], [`Error::Service`],
    /// [`Error::Instant`].
    pub fn derive(secret_access_key: &str, scope: Scope<'_>, at: OffsetDateTime) -> Result<Self, Error> {
        let day = Timestamp::new(at)?;
        let mac = derive(secret_access_key, scope.dated(&day)?);
        Ok(Self { mac, day, region: scope.region().to_owned(), service: scope.service().to_owned() })
    }

    pub(crate) fn mac(&self) -> KeyedMac {
        self.mac.clone()
    }

    /// The scope of a signature made at `timestamp`.
    pub(crate) fn dated_scope(&self, timestamp: &Timestamp) -> Result<DatedScope<'_>, Error> {
        if self.day.date() != timestamp.date() {
            return Err(Error::KeyOfAnotherDay);
        }
        Ok(DatedScope { date: self.day.date(), scope: Scope::new(&self.region, &self.service) })
    }

    fn serves(&self, scope: Scope<'_>, timestamp: &Timestamp) -> bool {
        self.day.date() == timestamp.date() && Scope::new(&self.region, &self.service) == scope
    }
}

/// Shows what the key is for, never the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("date", &self.day.date())
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// The HMAC chain over day, region, service and terminator, started with `AWS4` and the secret.
pub(crate) fn derive(secret_access_key: &str, scope: DatedScope<'_>) -> KeyedMac {
    let mut key = keyed_with_secret(secret_access_key);
    for part in [scope.date, scope.scope.region(), scope.scope.service(), DatedScope::TERMINATOR] {
        key.update(part.as_bytes());
        let derived: Zeroizing<[u8; 32]> = Zeroizing::new(key.finalize().into_bytes().into());
        key = keyed(derived.as_slice());
    }
    key
}

fn keyed_with_secret(secret: &str) -> KeyedMac {
    const PREFIX: &[u8] = b"AWS4";
    let mut start = Zeroizing::new([0_u8; 64]);
    let (prefix, rest) = start.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    match rest.get_mut(..secret.len()) {
        // HMAC fills a short key up with zeros, so the unused part of the block does no harm.
        Some(room) => {
            room.copy_from_slice(secret.as_bytes());
            keyed(start.as_slice())
        }
        // RFC 2104: a key longer than a block is hashed first. Done here, so that nothing is joined on the
        // heap.
        None => {
            let digest = Sha256::new().chain_update(PREFIX).chain_update(secret).finalize();
            keyed(Zeroizing::new(<[u8; 32]>::from(digest)).as_slice())
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length; the error exists for other MACs")]
fn keyed(key: &[u8]) -> KeyedMac {
    KeyedMac::new_from_slice(key).expect("a key of any length")
}

/// Keeps the key of one secret, day, region and service, and derives it anew when one of them changes.
///
/// The key and the secret that it replaces are wiped. Keep one cache for each place that signs, for instance
/// one for each set of credentials.
#[derive(Default)]
pub struct KeyCache {
    kept: Option<(Zeroizing<String>, SigningKey)>,
}

impl KeyCache {
    /// An empty cache.
    #[must_use]
    pub const fn new() -> Self {
        Self { kept: None }
    }

    /// The key for `scope` on the UTC day of `at`.
    ///
    /// # Errors
    ///
    /// Those of [`SigningKey::derive`].
    pub fn key(
        &mut self,
        secret_access_key: &str,
        scope: Scope<'_>,
        at: OffsetDateTime,
    ) -> Result<&SigningKey, Error> {
        let timestamp = Timestamp::new(at)?;
        let usable = |(secret, key): &(Zeroizing<String>, SigningKey)| {
            secret.as_str() == secret_access_key && key.serves(scope, &timestamp)
        };
        // Looked at and dropped in place: a value that is moved leaves a copy behind that nobody wipes.
        if !self.kept.as_ref().is_some_and(usable) {
            self.kept = None;
        }
        match &mut self.kept {
            Some((_, key)) => Ok(key),
            empty @ None => {
                let key = SigningKey::derive(secret_access_key, scope, at)?;
                Ok(&empty.insert((Zeroizing::new(secret_access_key.to_owned()), key)).1)
            }
        }
    }

    /// Wipes what is kept.
    pub fn clear(&mut self) {
        self.kept = None;
    }
}

/// Shows what the kept key is for, never the key or the secret.
impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyCache").field(&self.kept.as_ref().map(|(_, key)| key)).finish()
    }
}
