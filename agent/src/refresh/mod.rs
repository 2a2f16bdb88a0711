//! One batch of refreshes: what is due is obtained and published, what failed is remembered, and the files that
//! cover several profiles are written last. The one module that knows configuration, chains, state and output.

mod aggregate;
mod freshness;
mod shared;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::info;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::chain::{Chains, Obtained};
use crate::config::model::{Profile, Publication, WriteMode};
use crate::config::{Config, ManagedProfile};
use crate::credentials::IssuedCredentials;
use crate::error::Error;
use crate::fingerprint::fingerprint;
use crate::host::Host;
use crate::output::directory::{Attributes, Directory, OnMountPoint};
use crate::output::names::file_name;
use crate::output::profile_files::{self, keyed_digest};
use crate::output::render::{ConfigEntry, Material, shell_word};
use crate::output::state::{Failure, Published, Record, State};
use crate::output::{OutputError, Step};
use crate::schedule::{Fraction, Lifetime};
use crate::timestamp::between;

pub use self::freshness::{Freshness, peek};

const LOCK_FILE: &str = "batch.lock";
/// A batch of another process is waited for so long.
const LOCK_DEADLINE: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Where nobody else has to pass through.
const CLOSED: u32 = 0o700;
/// Where the owners of files have to pass through, without being able to list.
const PASSABLE: u32 = 0o711;

/// What this process knows of itself and its host, gathered in main.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The directory to publish in, absolute.
    pub output_dir: PathBuf,
    /// The program's own path, for published commands.
    pub program: PathBuf,
    /// Random bytes for a host that has no key yet.
    pub fresh_key: Vec<u8>,
}

/// Whether fresh credentials are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// They are.
    Fresh,
    /// They are kept while at least this much life is left, however soon they are due.
    WithLife(Duration),
    /// They are replaced.
    Nothing,
}

/// What became of one profile.
#[derive(Debug)]
pub enum Outcome {
    /// Fresh credentials were there.
    Kept,
    /// New credentials were published.
    Refreshed {
        /// Until when they are valid.
        expiration: Option<OffsetDateTime>,
    },
    /// The refresh failed; the files are as they were.
    Failed {
        /// Why.
        error: Error,
        /// The life left in what is published.
        remaining: Option<time::Duration>,
        /// The margin of the profile.
        margin: time::Duration,
    },
}

/// The published `credential_process` document of one profile.
#[derive(Debug)]
pub struct PublishedDocument {
    /// Its bytes.
    pub json: Zeroizing<Vec<u8>>,
    /// The region of the profile.
    pub region: Option<String>,
}

/// One managed profile in a batch.
#[derive(Debug)]
struct Entry<'a> {
    managed: &'a ManagedProfile,
    record: Record,
    /// What this batch obtained.
    issued: Option<IssuedCredentials>,
}

/// What became of the profiles of a batch, by name.
pub type Report = Vec<(String, Outcome)>;

/// The agent at work in one output directory.
#[derive(Debug)]
pub struct Keeper<'a> {
    host: &'a Host<'a>,
    config: &'a Config,
    facts: &'a Facts,
    top: Directory,
    profiles: Directory,
    state: State,
    /// Held for as long as the keeper lives; closing the file releases it.
    _lock: std::fs::File,
}

impl<'a> Keeper<'a> {
    /// Opens the output directory and waits for its lock, so that two batches never write at once.
    ///
    /// # Errors
    ///
    /// When the directories cannot be used, or another batch does not end in time.
    pub fn open(host: &'a Host<'a>, config: &'a Config, facts: &'a Facts) -> Result<Self, OutputError> {
        let usable = config.profiles().iter().filter_map(|managed| managed.outcome.as_ref().ok());
        let shared = usable.into_iter().any(|profile| is_shared(&profile.publication));
        let mode = if shared { PASSABLE } else { CLOSED };
        let top = Directory::open_top(&facts.output_dir, mode)?;
        let state = top.subdirectory("state", CLOSED)?;
        let lock = state.lock_file(LOCK_FILE)?;
        wait_for_lock(&lock, &facts.output_dir, host)?;
        let profiles = top.subdirectory("profiles", mode)?;
        let state = State::open(state, &facts.fresh_key)?;
        Ok(Self { host, config, facts, top, profiles, state, _lock: lock })
    }

    /// Refreshes what of `selected` is due, removes what is no longer managed, and writes the common files.
    ///
    /// # Errors
    ///
    /// When the common files cannot be written; what becomes of a single profile is in the report.
    pub fn refresh(&self, selected: &[&ManagedProfile], reuse: Reuse) -> Result<Report, OutputError> {
        let chains = Chains::new(self.host);
        let entry = |managed: &'a ManagedProfile| Entry {
            managed,
            record: self.state.load(&managed.name),
            issued: None,
        };
        let mut entries: Vec<Entry<'a>> = self.config.profiles().iter().map(entry).collect();
        let selected: BTreeSet<&str> = selected.iter().map(|managed| managed.name.as_str()).collect();
        let mut report = Vec::with_capacity(selected.len());
        for entry in &mut entries {
            let name = &entry.managed.name;
            if !selected.contains(name.as_str()) {
                continue;
            }
            let outcome = match &entry.managed.outcome {
                Ok(profile) => self.refresh_profile(profile, entry, &chains, reuse),
                Err(error) => Err(Error::Config(error.clone())),
            };
            let outcome = outcome.or_else(|error| self.remember_failure(entry, error))?;
            report.push((name.clone(), outcome));
        }
        self.remove_unmanaged()?;
        self.write_common_files(&entries)?;
        Ok(report)
    }

    /// What is published for `name`, where it is what was published last.
    #[must_use]
    pub fn published(&self, name: &str) -> Option<PublishedDocument> {
        self.document(name, &self.state.load(name).published?)
    }

    fn document(&self, name: &str, last: &Published) -> Option<PublishedDocument> {
        let directory = Directory::open_to_read(&self.profiles.path().join(file_name(name))).ok()?;
        let json = profile_files::read_own(&directory, self.state.key(), &last.digest)?;
        Some(PublishedDocument { json, region: last.region.clone() })
    }

    fn refresh_profile(
        &self,
        profile: &Profile,
        entry: &mut Entry<'_>,
        chains: &Chains<'_>,
        reuse: Reuse,
    ) -> Result<Outcome, Error> {
        let record = &mut entry.record;
        let wanted = fingerprint(self.state.key(), profile);
        let freshness = freshness::of(&self.state, self.profiles.path(), profile, record, &wanted);
        if freshness.is_kept(reuse, self.host.true_time()) {
            self.merge_kept(profile, record)?;
            return Ok(Outcome::Kept);
        }
        let obtained = chains
            .obtain(profile, &record.reduced)
            .map_err(|cause| Error::Chain { profile: profile.name.clone(), cause: Box::new(cause) })?;
        let generation = record.published.as_ref().map_or(0, |last| last.generation).saturating_add(1);
        let published = self.publish(profile, &obtained, wanted, generation)?;
        let expiration = published.expiration;
        record.published = Some(published);
        record.failure = None;
        record.reduced = obtained.reduced;
        record.config = self.config_path();
        self.state.store(record)?;
        let issued = entry.issued.insert(obtained.issued);
        self.merge(profile, issued, record)?;
        info!("profile `{}`: published, generation {generation}", profile.name);
        Ok(Outcome::Refreshed { expiration })
    }

    fn publish(
        &self,
        profile: &Profile,
        obtained: &Obtained,
        fingerprint: String,
        generation: u64,
    ) -> Result<Published, OutputError> {
        let material =
            Material { profile: &profile.name, issued: &obtained.issued, region: obtained.region.as_deref() };
        let digest = keyed_digest(self.state.key(), material.process_json().as_bytes());
        let directory = self.profile_directory(profile)?;
        let entry = self.config_entry(&profile.name, Some(&profile.publication), obtained.region.clone());
        profile_files::publish(&directory, &material, &entry, attributes(&profile.publication))?;
        let due = obtained.issued.expiration.map(|expiration| {
            let jitter = Fraction::keyed(self.state.key(), &profile.name, generation);
            Lifetime { issued: obtained.at, expiration }.due(&profile.refresh, jitter)
        });
        Ok(Published {
            fingerprint,
            digest,
            generation,
            issued: obtained.at,
            expiration: obtained.issued.expiration,
            real_expiration: obtained.real_expiration,
            due,
            access_key_id: obtained.issued.credentials.access_key_id.clone(),
            region: obtained.region.clone(),
        })
    }

    /// A failure changes no published file; it is remembered for `status`.
    fn remember_failure(&self, entry: &mut Entry<'_>, error: Error) -> Result<Outcome, OutputError> {
        let now = self.host.true_time();
        let record = &mut entry.record;
        let count = record.failure.as_ref().map_or(0, |last| last.count).saturating_add(1);
        record.failure = Some(Failure {
            at: now,
            message: error.with_causes(),
            advice: error.advice(),
            disposition: error.disposition().as_str().to_owned(),
            count,
        });
        record.config = self.config_path();
        self.state.store(record)?;
        let published = || record.published.as_ref().and_then(|last| last.expiration);
        let expiration = if let Error::Merge { cause, .. } = &error {
            shared::expiration(record, cause)
        } else {
            published()
        };
        let remaining = expiration.map(|expiration| between(now, expiration));
        let margin = entry.managed.outcome.as_ref().map_or(Duration::ZERO, |profile| profile.refresh.margin);
        let margin = time::Duration::try_from(margin).unwrap_or_default();
        Ok(Outcome::Failed { error, remaining, margin })
    }

    /// Files of profiles that left the configuration go away with them. Only profiles of this very configuration
    /// file count: a run with another one must not take down what it does not know.
    fn remove_unmanaged(&self) -> Result<(), OutputError> {
        let path = self.config_path();
        if path.is_empty() || self.state.directory().is_new() {
            return Ok(());
        }
        for record in self.state.load_all()? {
            let managed = self.config.profiles().iter().any(|managed| managed.name == record.profile);
            if !managed && record.config == path {
                info!("profile `{}` is no longer managed; its files are removed", record.profile);
                self.profiles.remove_subdirectory(&file_name(&record.profile))?;
                self.state.forget(&record.profile)?;
            }
        }
        Ok(())
    }

    fn profile_directory(&self, profile: &Profile) -> Result<Directory, OutputError> {
        let mode = if is_shared(&profile.publication) { PASSABLE } else { CLOSED };
        self.profiles.subdirectory(&file_name(&profile.name), mode)
    }

    /// `publication` is unknown where a profile that was published is no longer usable; its files stay, and so does
    /// its place in the common ones.
    fn config_entry(
        &self,
        profile: &str,
        publication: Option<&Publication>,
        region: Option<String>,
    ) -> ConfigEntry {
        let configured = publication.and_then(|publication| publication.credential_process.clone());
        let credential_process = configured.unwrap_or_else(|| {
            let word = |path: &Path| shell_word(&path.to_string_lossy());
            let program = word(&self.facts.program);
            let directory = word(&self.facts.output_dir);
            format!("{program} print --output-dir {directory} -- {}", shell_word(profile))
        });
        ConfigEntry { profile: profile.to_owned(), region, credential_process }
    }

    fn config_path(&self) -> String {
        self.config.file().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Whether somebody beside the agent's user may read the files of a profile.
fn is_shared(publication: &Publication) -> bool {
    publication.owner.is_some() || publication.group.is_some() || publication.mode & 0o077 != 0
}

fn attributes(publication: &Publication) -> Attributes {
    let on_mount_point = match publication.write_mode {
        WriteMode::Rename => OnMountPoint::Refuse,
        WriteMode::InPlace => OnMountPoint::WriteInPlace,
    };
    Attributes { owner: publication.owner, group: publication.group, mode: publication.mode, on_mount_point }
}

/// Polls, because a blocking lock knows no deadline.
fn wait_for_lock(lock: &std::fs::File, output_dir: &Path, host: &Host<'_>) -> Result<(), OutputError> {
    let deadline = host.clock.uptime().saturating_add(LOCK_DEADLINE);
    let path = output_dir.join("state").join(LOCK_FILE);
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) if host.clock.uptime() < deadline => {
                host.clock.pause(LOCK_POLL);
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(OutputError::Locked(path)),
            Err(std::fs::TryLockError::Error(cause)) => {
                return Err(OutputError::Io { step: Step::Lock, path, cause });
            }
        }
    }
}
