//! What the agent remembers of each profile between two runs: never a secret, in a directory that nobody else
//! can enter. Freshness is decided from here and never from a file that a consumer could have changed.
//! A record that cannot be read counts as absent.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::OutputError;
use super::directory::{Attributes, Directory, Durability};
use super::names::file_name;
use crate::config::model::RefreshSettings;
use crate::timestamp::{Rfc3339Seconds, parse_rfc3339};

/// Records of another version count as absent.
const VERSION: u64 = 1;
const KEY_FILE: &str = "key";
const KEY_LENGTH: usize = 32;

/// What is remembered of the credentials that were published last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The keyed fingerprint of the configuration that they were obtained with.
    pub fingerprint: String,
    /// The keyed digest of the published `credentials.json`.
    pub digest: String,
    /// Counts the sets of credentials of this profile.
    pub generation: u64,
    /// When they were issued.
    pub issued: OffsetDateTime,
    /// When they expire, as published.
    pub expiration: Option<OffsetDateTime>,
    /// When the instance's credentials really expired, where the published expiration is an extended one.
    pub real_expiration: Option<OffsetDateTime>,
    /// When they are due for a refresh.
    pub due: Option<OffsetDateTime>,
    /// By which settings they are; records of earlier versions do not say.
    pub settings: Option<RefreshSettings>,
    /// The access key id.
    pub access_key_id: String,
    /// The region that was written beside them.
    pub region: Option<String>,
    /// The region whose STS issued them, where it is one of the fallback regions.
    pub fallback_region: Option<String>,
}

/// What is remembered of a refresh that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it failed last.
    pub at: OffsetDateTime,
    /// The error with its causes.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The kind of error.
    pub disposition: String,
    /// How often in a row it was of this kind.
    pub count: u64,
    /// The keyed fingerprint of the configuration that it failed with.
    pub fingerprint: String,
    /// Before it no process asks again of its own accord, where that would be a burden.
    pub next_attempt: Option<OffsetDateTime>,
}

/// A hook that has not yet succeeded.
///
/// It is remembered before the files of its set of credentials are published, and forgotten when the hook has
/// succeeded; a crash anywhere in between loses nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingHook {
    /// The set of credentials that it follows. A higher one than the published one's says that publishing has begun
    /// and has not ended.
    pub generation: u64,
    /// How often it has failed.
    pub attempts: u64,
    /// Why, the last time.
    pub error: Option<String>,
}

/// A duration that STS did not grant, remembered so that it is not asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReducedDuration {
    /// The role.
    pub role_arn: String,
    /// `duration_seconds` as configured.
    pub configured: u32,
    /// The seconds that were granted.
    pub effective: u32,
}

/// What is remembered of the file of others that the credentials were merged into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The file.
    pub path: String,
    /// Which set of credentials.
    pub generation: u64,
    /// When those expire.
    pub expiration: Option<OffsetDateTime>,
}

/// The record of one profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The profile's name.
    pub profile: String,
    /// The configuration file that the profile comes from; empty for the command line.
    pub config: String,
    /// The credentials that are published.
    pub published: Option<Published>,
    /// The file of others that holds credentials of this profile, once it does.
    pub merged: Option<Merged>,
    /// The failure of the last refresh, where it failed.
    pub failure: Option<Failure>,
    /// Durations that were reduced.
    pub reduced: Vec<ReducedDuration>,
    /// The hook that has yet to run.
    pub hook: Option<PendingHook>,
}

/// The directory of records, and the key of this host.
#[derive(Debug)]
pub struct State {
    directory: Directory,
    key: Vec<u8>,
}

impl State {
    /// Opens the records in `directory`. A missing or damaged key is replaced by `fresh_key`; records that were
    /// made under the old one no longer match, which only means a refresh.
    ///
    /// # Errors
    ///
    /// When the key cannot be written, or not be read for want of descriptors or memory.
    pub fn open(directory: Directory, fresh_key: &[u8]) -> Result<Self, OutputError> {
        let known = directory.read_if_sound(KEY_FILE)?;
        if known.is_some() {
            directory.mark_in_use();
        }
        if let Some(key) = known.filter(|key| key.len() == KEY_LENGTH) {
            return Ok(Self { directory, key: key.to_vec() });
        }
        // Not synced: a key that a power loss takes is replaced like a damaged one.
        directory.replace(KEY_FILE, fresh_key, Attributes::PRIVATE, Durability::Renamed)?;
        Ok(Self { directory, key: fresh_key.to_vec() })
    }

    /// Opens records that are there, without writing anything; `None` where this user may not or there are none.
    #[must_use]
    pub fn open_to_read(path: &Path) -> Option<Self> {
        let directory = Directory::open_to_read(path).ok()?;
        let key = directory.read(KEY_FILE).ok().flatten().filter(|key| key.len() == KEY_LENGTH)?.to_vec();
        Some(Self { directory, key })
    }

    /// The secret of this host that fingerprints and jitter are keyed with.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The directory of the records, for the locks in it.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The record of `profile`, or an empty one.
    #[must_use]
    pub fn load(&self, profile: &str) -> Record {
        self.try_load(profile).unwrap_or_else(|_| Record::empty(profile))
    }

    /// The same, for whoever must not take a passing lack for an empty record.
    ///
    /// # Errors
    ///
    /// When it cannot be said, because the process lacks descriptors or memory.
    pub fn try_load(&self, profile: &str) -> Result<Record, OutputError> {
        let bytes = self.directory.read_if_sound(&record_name(profile))?;
        Ok(bytes
            .and_then(|bytes| Record::parse(&bytes))
            .filter(|record| record.profile == profile)
            .unwrap_or_else(|| Record::empty(profile)))
    }

    /// Every record that can be read.
    ///
    /// # Errors
    ///
    /// When the directory cannot be listed.
    pub fn load_all(&self) -> Result<Vec<Record>, OutputError> {
        let mut names = self.directory.entries()?;
        names.sort();
        Ok(names
            .iter()
            .filter(|name| name.ends_with(".json"))
            .filter_map(|name| Record::parse(&self.directory.read(name).ok().flatten()?))
            .collect())
    }

    /// Writes `record`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store(&self, record: &Record) -> Result<(), OutputError> {
        let text = record.render();
        let name = record_name(&record.profile);
        self.directory.replace(&name, text.as_bytes(), Attributes::PRIVATE, Durability::Synced)?;
        self.directory.settle()
    }

    /// Forgets `profile`.
    ///
    /// # Errors
    ///
    /// When its record stays.
    pub fn forget(&self, profile: &str) -> Result<(), OutputError> {
        self.directory.remove(&record_name(profile))
    }
}

fn record_name(profile: &str) -> String {
    format!("{}.json", file_name(profile))
}

impl Record {
    fn empty(profile: &str) -> Self {
        Self { profile: profile.to_owned(), ..Self::default() }
    }

    fn render(&self) -> String {
        let reduced: Vec<_> = self
            .reduced
            .iter()
            .map(|entry| {
                json!({"role_arn": entry.role_arn, "configured": entry.configured, "effective": entry.effective})
            })
            .collect();
        let record = json!({
            "version": VERSION,
            "profile": self.profile,
            "config": self.config,
            "published": self.published.as_ref().map(Published::to_json),
            "merged": self.merged.as_ref().map(Merged::to_json),
            "failure": self.failure.as_ref().map(Failure::to_json),
            "reduced": reduced,
            "hook": self.hook.as_ref().map(PendingHook::to_json),
        });
        format!("{record}\n")
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(bytes).ok()?;
        let record = json.as_object()?;
        if record.get("version")?.as_u64()? != VERSION {
            return None;
        }
        let part = |name| record.get(name).filter(|value| !value.is_null());
        let published = match part("published") {
            Some(value) => Some(Published::from_json(value.as_object()?)?),
            None => None,
        };
        let failure = match part("failure") {
            Some(value) => Some(Failure::from_json(value.as_object()?)?),
            None => None,
        };
        let hook = match part("hook") {
            Some(value) => Some(PendingHook::from_json(value.as_object()?)?),
            None => None,
        };
        let merged = match part("merged") {
            Some(value) => Some(Merged::from_json(value.as_object()?)?),
            None => None,
        };
        let reduced = record.get("reduced")?.as_array()?.iter();
        Some(Self {
            profile: text(record, "profile")?,
            config: text(record, "config")?,
            published,
            merged,
            failure,
            reduced: reduced
                .map(|entry| ReducedDuration::from_json(entry.as_object()?))
                .collect::<Option<_>>()?,
            hook,
        })
    }

    /// The hook that can run: that of what is published.
    #[must_use]
    pub fn waiting_hook(&self) -> Option<&PendingHook> {
        let published = self.published.as_ref()?.generation;
        self.hook.as_ref().filter(|hook| hook.generation == published)
    }

    /// Whether a set of credentials was being published when its publisher ended. Some of its files may be in place.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        let published = self.published.as_ref().map_or(0, |last| last.generation);
        self.hook.as_ref().is_some_and(|hook| hook.generation > published)
    }
}

impl Published {
    fn to_json(&self) -> Value {
        json!({
            "fingerprint": self.fingerprint,
            "digest": self.digest,
            "generation": self.generation,
            "issued": seconds(self.issued),
            "expiration": self.expiration.map(seconds),
            "real_expiration": self.real_expiration.map(seconds),
            "due": self.due.map(seconds),
            "after_percent": self.settings.map(|settings| settings.after_percent),
            "margin_seconds": self.settings.map(|settings| settings.margin.as_secs()),
            "access_key_id": self.access_key_id,
            "region": self.region,
            "fallback_region": self.fallback_region,
        })
    }

    fn from_json(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            fingerprint: text(object, "fingerprint")?,
            digest: text(object, "digest")?,
            generation: object.get("generation")?.as_u64()?,
            issued: parse_rfc3339(object.get("issued")?.as_str()?)?,
            expiration: optional_time(object, "expiration")?,
            real_expiration: optional_time(object, "real_expiration")?,
            due: optional_time(object, "due")?,
            settings: settings(object),
            access_key_id: text(object, "access_key_id")?,
            region: text(object, "region"),
            fallback_region: text(object, "fallback_region"),
        })
    }
}

impl Merged {
    fn to_json(&self) -> Value {
        json!({
            "path": self.path,
            "generation": self.generation,
            "expiration": self.expiration.map(seconds),
        })
    }

    fn from_json(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            path: text(object, "path")?,
            generation: object.get("generation")?.as_u64()?,
            expiration: optional_time(object, "expiration")?,
        })
    }
}

impl Failure {
    fn to_json(&self) -> Value {
        json!({
            "at": seconds(self.at),
            "message": self.message,
            "advice": self.advice,
            "disposition": self.disposition,
            "count": self.count,
            "fingerprint": self.fingerprint,
            "next_attempt": self.next_attempt.map(seconds),
        })
    }

    fn from_json(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            at: parse_rfc3339(object.get("at")?.as_str()?)?,
            message: text(object, "message")?,
            advice: text(object, "advice"),
            disposition: text(object, "disposition")?,
            count: object.get("count")?.as_u64()?,
            fingerprint: text(object, "fingerprint")?,
            next_attempt: optional_time(object, "next_attempt")?,
        })
    }
}

impl PendingHook {
    fn to_json(&self) -> Value {
        json!({"generation": self.generation, "attempts": self.attempts, "error": self.error})
    }

    fn from_json(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            generation: object.get("generation")?.as_u64()?,
            attempts: object.get("attempts")?.as_u64()?,
            error: text(object, "error"),
        })
    }
}

impl ReducedDuration {
    fn from_json(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            role_arn: text(object, "role_arn")?,
            configured: u32::try_from(object.get("configured")?.as_u64()?).ok()?,
            effective: u32::try_from(object.get("effective")?.as_u64()?).ok()?,
        })
    }
}

fn seconds(at: OffsetDateTime) -> String {
    Rfc3339Seconds(at).to_string()
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    Some(object.get(name)?.as_str()?.to_owned())
}

fn settings(object: &Map<String, Value>) -> Option<RefreshSettings> {
    let number = |name: &str| object.get(name)?.as_u64();
    let after_percent = number("after_percent")?.try_into().ok()?;
    Some(RefreshSettings { after_percent, margin: Duration::from_secs(number("margin_seconds")?) })
}

/// The outer `None` is a damaged record, the inner one a time that is not set.
#[expect(clippy::option_option, reason = "damaged and absent are different here")]
fn optional_time(object: &Map<String, Value>, name: &str) -> Option<Option<OffsetDateTime>> {
    match object.get(name)? {
        value if value.is_null() => Some(None),
        value => Some(Some(parse_rfc3339(value.as_str()?)?)),
    }
}
