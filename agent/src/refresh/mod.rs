//! One batch of refreshes: what is due is obtained and published, what failed is remembered, and the files that
//! cover several profiles are written last. The one module that knows configuration, chains, state and output.

mod aggregate;
mod failures;
mod fetch;
mod freshness;
mod hooks;
mod outage;
mod served;
mod shared;
mod upkeep;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::info;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::chain::{ChainError, Chains, Obtained};
use crate::clock::Clock;
use crate::config::model::{Profile, Publication, WriteMode};
use crate::config::{Config, ManagedProfile, PUBLISHED_MARKER};
use crate::credentials::IssuedCredentials;
use crate::error::Error;
use crate::fingerprint::fingerprint;
use crate::host::Host;
use crate::output::directory::{Attributes, Directory, OnMountPoint};
use crate::output::names::file_name;
use crate::output::profile_files::{self, keyed_digest};
use crate::output::render::{ConfigEntry, Material, shell_word};
use crate::output::state::{PendingHook, Published, Record, State};
use crate::output::{OutputError, Step};

pub use self::aggregate::last_anchor;
pub use self::failures::Held;
use self::fetch::{Job, fetch_all};
pub use self::freshness::{Freshness, peek};
pub use self::hooks::{FailedHook, run_hooks};
pub use self::served::{NotServed, Served, is_noted, look_up, withdraw_tokens};

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
    /// What hooks inherit of this process's environment.
    pub hook_environment: Vec<(OsString, OsString)>,
}

/// Whether fresh credentials are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// They are.
    Fresh,
    /// They are kept while at least this much life is left, however soon they are due.
    WithLife(Duration),
    /// They are kept where they are of a later generation than this: another process was quicker.
    After(u64),
    /// They are replaced.
    Nothing,
}

/// A profile to refresh, and what of it may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    /// The profile.
    pub name: &'a str,
    /// What may be kept.
    pub reuse: Reuse,
}

/// What is published for a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Counts the sets of credentials.
    pub generation: u64,
    /// When they are due; long-term keys never are.
    pub due: Option<OffsetDateTime>,
    /// Until when they are valid.
    pub expiration: Option<OffsetDateTime>,
    /// Whether they had expired already, and their expiration was extended.
    pub is_extended: bool,
}

impl Published {
    /// Whether `obtained` is the set that was published last. Without its end it is the same also where IMDS, which
    /// cannot renew it, has let it expire.
    fn is_again(&self, obtained: &Obtained) -> bool {
        let Obtained { issued, real_expiration, .. } = obtained;
        self.access_key_id == issued.credentials.access_key_id
            && (real_expiration.is_some() || self.expiration == issued.expiration)
    }
}

impl Standing {
    fn of(published: &Published) -> Self {
        Self {
            generation: published.generation,
            due: published.due,
            expiration: published.expiration,
            is_extended: published.real_expiration.is_some(),
        }
    }
}

/// What became of one profile.
#[derive(Debug)]
pub enum Outcome {
    /// Fresh credentials were there.
    Kept(Standing),
    /// New credentials were published.
    Refreshed(Standing),
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
        Self::open_within(LOCK_DEADLINE, host, config, facts)
    }

    /// The same for whoever has no more patience than this with another batch.
    ///
    /// # Errors
    ///
    /// When the directories cannot be used, or another batch does not end in time.
    pub fn open_within(
        patience: Duration,
        host: &'a Host<'a>,
        config: &'a Config,
        facts: &'a Facts,
    ) -> Result<Self, OutputError> {
        let mode = directory_mode(config);
        let top = Directory::open_top(&facts.output_dir, mode)?;
        let state = top.subdirectory("state", CLOSED)?;
        let lock = lock(&state, LOCK_FILE, patience, host.clock)?;
        let state = State::open(state, &facts.fresh_key)?;
        if !state.directory().is_new() {
            top.mark_in_use();
            host.adopt(last_anchor(&top));
        }
        refuse_files_of_others(&top)?;
        top.sweep()?;
        state.directory().sweep()?;
        let profiles = top.subdirectory("profiles", mode)?;
        Ok(Self { host, config, facts, top, profiles, state, _lock: lock })
    }

    /// Refreshes what of `selected` is due, removes what is no longer managed, and writes the common files.
    ///
    /// # Errors
    ///
    /// When the common files cannot be written; what becomes of a single profile is in the report.
    pub fn refresh(&self, selected: &[Selected<'_>]) -> Result<Report, OutputError> {
        let mut entries = self.entries()?;
        let reuse: BTreeMap<&str, Reuse> =
            selected.iter().map(|selected| (selected.name, selected.reuse)).collect();
        let mut outcomes: Vec<Option<Result<Outcome, Error>>> = Vec::with_capacity(entries.len());
        let mut jobs = Vec::new();
        for (index, entry) in entries.iter_mut().enumerate() {
            outcomes.push(reuse.get(entry.managed.name.as_str()).and_then(
                |reuse| match &entry.managed.outcome {
                    Err(error) => Some(Err(Error::Config(error.clone()))),
                    Ok(profile) => {
                        let kept = self.kept(profile, &entry.record, *reuse);
                        let kept = kept.map(|standing| {
                            self.keep(profile, &mut entry.record).map(|()| Outcome::Kept(standing))
                        });
                        kept.or_else(|| self.held(profile, &entry.record, *reuse).map(Ok)).or_else(|| {
                            jobs.push(Job { index, profile, reduced: entry.record.reduced.clone() });
                            None
                        })
                    }
                },
            ));
        }
        fetch_all(&Chains::new(self.host), &jobs, |index, obtained| {
            if let (Some(entry), Some(outcome)) = (entries.get_mut(index), outcomes.get_mut(index)) {
                *outcome = Some(self.conclude(entry, obtained));
            }
        });
        let mut report = Vec::with_capacity(selected.len());
        for (entry, outcome) in entries.iter_mut().zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            let outcome = outcome.or_else(|error| self.remember_failure(entry, error))?;
            report.push((entry.managed.name.clone(), outcome));
        }
        self.remove_unmanaged()?;
        self.write_common_files(&entries)?;
        Ok(report)
    }

    /// What is published for `profile` and matches it, with the time of its issue, and why it is not asked for at
    /// present, where it is not.
    #[must_use]
    pub fn known(&self, profile: &Profile) -> (Option<(OffsetDateTime, Standing)>, Option<Held>) {
        let mut record = self.state.load(&profile.name);
        freshness::reschedule(&mut record, profile, self.state.key());
        (self.matching(profile, &record), self.hold(profile, &record))
    }

    fn matching(&self, profile: &Profile, record: &Record) -> Option<(OffsetDateTime, Standing)> {
        let wanted = fingerprint(self.state.key(), profile);
        let freshness = freshness::of(&self.state, self.profiles.path(), profile, record, &wanted);
        let is_whole = freshness != Freshness::None && !record.is_torn();
        let published = record.published.as_ref().filter(|_| is_whole)?;
        if self.lacks_copy(profile, published) {
            return None;
        }
        Some((published.issued, Standing::of(published)))
    }

    fn entries(&self) -> Result<Vec<Entry<'a>>, OutputError> {
        let entry = |managed: &'a ManagedProfile| {
            let mut record = if self.state.directory().is_new() {
                Record { profile: managed.name.clone(), ..Record::default() }
            } else {
                self.state.try_load(&managed.name)?
            };
            if let Ok(profile) = &managed.outcome {
                freshness::reschedule(&mut record, profile, self.state.key());
            }
            Ok(Entry { managed, record, issued: None })
        };
        self.config.profiles().iter().map(entry).collect()
    }

    /// Looks after the files of a profile that is kept: the files of others, and what a crash before the first rename
    /// left, which the old files say nothing of.
    fn keep(&self, profile: &Profile, record: &mut Record) -> Result<(), Error> {
        self.profile_directory(profile)?;
        self.merge_kept(profile, record)
    }

    fn kept(&self, profile: &Profile, record: &Record, reuse: Reuse) -> Option<Standing> {
        let wanted = fingerprint(self.state.key(), profile);
        let freshness = freshness::of(&self.state, self.profiles.path(), profile, record, &wanted);
        let published = record.published.as_ref().filter(|_| !record.is_torn())?;
        if self.lacks_copy(profile, published) {
            return None;
        }
        freshness.is_kept(reuse, published.generation, self.host.true_time()).then(|| Standing::of(published))
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

    /// Publishes what a chain gave.
    fn conclude(
        &self,
        entry: &mut Entry<'_>,
        obtained: Result<Obtained, ChainError>,
    ) -> Result<Outcome, Error> {
        let profile = entry.managed.outcome.as_ref().map_err(|error| Error::Config(error.clone()))?;
        let wanted = fingerprint(self.state.key(), profile);
        let obtained = match obtained {
            Ok(obtained) => obtained,
            Err(cause) => {
                if cause.is_imds_outage() {
                    self.extend_in_outage(profile, entry, wanted)?;
                }
                return Err(Error::Chain { profile: profile.name.clone(), cause: Box::new(cause) });
            }
        };
        let record = &mut entry.record;
        let last = record.published.as_ref();
        // A source that hands out the same set again, as IMDS does, gives nobody a reason to act.
        let is_new = record.is_torn() || last.is_none_or(|last| !last.is_again(&obtained));
        let generation = last.map_or(0, |last| last.generation).saturating_add(is_new.into());
        if is_new || profile.on_rotate.is_none() {
            record.hook =
                profile.on_rotate.as_ref().map(|_| PendingHook { generation, ..PendingHook::default() });
        }
        if is_new && record.hook.is_some() {
            self.state.store(record)?;
        }
        let published = self.publish(profile, &obtained, wanted, generation)?;
        let standing = Standing::of(&published);
        record.published = Some(published);
        record.failure = None;
        record.reduced = obtained.reduced;
        record.config = self.config_path();
        self.state.store(record)?;
        let issued = entry.issued.insert(obtained.issued);
        self.merge(profile, issued, record)?;
        info!("profile `{}`: published, generation {generation}", profile.name);
        Ok(Outcome::Refreshed(standing))
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
        // What is remembered has whole seconds; so has what is said of it before it was read back.
        let issued = obtained.at.replace_nanosecond(0).unwrap_or(obtained.at);
        let json = material.process_json();
        let digest = keyed_digest(self.state.key(), json.as_bytes());
        let directory = self.profile_directory(profile)?;
        let entry = self.config_entry(&profile.name, Some(&profile.publication), obtained.region.clone());
        profile_files::publish(&directory, &material, &entry, attributes(&profile.publication))?;
        self.keep_copy(profile, &json)?;
        let due = freshness::due(profile, self.state.key(), generation, issued, obtained.issued.expiration);
        Ok(Published {
            fingerprint,
            digest,
            generation,
            issued,
            expiration: obtained.issued.expiration,
            real_expiration: obtained.real_expiration,
            due,
            settings: Some(profile.refresh),
            access_key_id: obtained.issued.credentials.access_key_id.clone(),
            region: obtained.region.clone(),
            fallback_region: obtained.fallback_region.clone(),
        })
    }

    fn profile_directory(&self, profile: &Profile) -> Result<Directory, OutputError> {
        let mode = if is_shared(&profile.publication) { PASSABLE } else { CLOSED };
        let directory = self.profiles.subdirectory(&file_name(&profile.name), mode)?;
        directory.sweep()?;
        Ok(directory)
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

    /// Absolute, because it tells this configuration from others, whatever directory a run was started in.
    fn config_path(&self) -> String {
        let path = self.config.file().and_then(|path| std::path::absolute(path).ok());
        path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// The mode of the directories that all profiles share.
#[must_use]
pub fn directory_mode(config: &Config) -> u32 {
    let mut usable = config.profiles().iter().filter_map(|managed| managed.outcome.as_ref().ok());
    if usable.any(|profile| is_shared(&profile.publication)) { PASSABLE } else { CLOSED }
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

/// A directory that holds a `config` or `credentials` of somebody else's is the wrong one: publishing there would
/// replace the very configuration that was read, for instance.
fn refuse_files_of_others(top: &Directory) -> Result<(), OutputError> {
    if top.is_new() {
        return Ok(());
    }
    for name in ["config", "credentials"] {
        let found = top.read(name).ok().flatten();
        if found.is_some_and(|bytes| !bytes.starts_with(PUBLISHED_MARKER.as_bytes())) {
            return Err(OutputError::NotOurs(top.path().join(name)));
        }
    }
    Ok(())
}

/// Polls, because a blocking lock knows no deadline.
fn lock(
    directory: &Directory,
    name: &str,
    patience: Duration,
    clock: &dyn Clock,
) -> Result<std::fs::File, OutputError> {
    let file = directory.lock_file(name)?;
    let deadline = clock.uptime().saturating_add(patience);
    let path = directory.path().join(name);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if clock.uptime() < deadline => clock.pause(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(OutputError::Locked(path)),
            Err(TryLockError::Error(cause)) => return Err(OutputError::Io { step: Step::Lock, path, cause }),
        }
    }
}
