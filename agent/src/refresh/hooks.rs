//! The hooks of a batch: which are pending, and what their end means for the records. They run when the files are
//! durable and the lock of the batch is released, so that a hook may call any command of ours. How a process is run
//! and watched is nothing it knows.

use std::error::Error as _;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use log::{info, warn};

use super::{Facts, Keeper};
use crate::config::Config;
use crate::config::model::{BaseSource, Profile, RotationHook};
use crate::credentials::Secret;
use crate::error::Error;
use crate::hook::{Hook, HookError, Output, Purpose, Secrets, lines};
use crate::host::Host;
use crate::output::OutputError;
use crate::output::directory::Directory;
use crate::output::names::file_name;
use crate::output::profile_files;
use crate::output::render::parse_process_json;
use crate::output::state::{Published, State};
use crate::output::token_file::TOKEN;
use crate::timestamp::Rfc3339Seconds;

/// A hook that publishes anew by itself is not followed for ever; what is pending then waits for the next time.
const ROUNDS: usize = 3;

/// The file at the top that covers several profiles.
const CREDENTIALS: &str = "credentials";

/// So many lines of what a hook wrote are logged.
const SHOWN_LINES: usize = 200;

/// A hook that failed. It stays pending.
#[derive(Debug)]
pub struct FailedHook {
    /// The profile.
    pub profile: String,
    /// How often it has failed since these credentials were published.
    pub attempts: u64,
    /// Why.
    pub error: Error,
}

/// The long-term keys that the configuration holds for `profile`.
fn add_keys(profile: &Profile, secrets: &mut Secrets) {
    if let BaseSource::StaticKeys { issued, .. } = &profile.chain.base {
        secrets.add(&issued.credentials);
    }
}

/// What a round of one hook came to.
enum Round {
    /// Nothing is pending any more.
    Done,
    Failed(FailedHook),
    /// Other credentials were published meanwhile, and their hook is pending.
    Overtaken,
}

impl Keeper<'_> {
    /// The profiles among those called `names`, or among all where there are none, whose hook is pending.
    #[must_use]
    pub fn pending_hooks(&self, names: &[&str]) -> Vec<String> {
        let is_wanted = |name: &str| names.is_empty() || names.contains(&name);
        let usable = self.config.profiles().iter().filter_map(|managed| managed.outcome.as_ref().ok());
        // Only profiles with a hook are looked at: the others' records need not be read again.
        usable
            .filter(|profile| profile.on_rotate.is_some() && is_wanted(&profile.name))
            .filter(|profile| self.state.load(&profile.name).waiting_hook().is_some())
            .map(|profile| profile.name.clone())
            .collect()
    }

    fn write_status_only(&self) -> Result<(), OutputError> {
        self.write_status(&self.entries()?)
    }
}

/// Runs the pending hooks of the profiles called `names`, one after the other, each once, and records what came of
/// them. No keeper may be open in this process. A hook that another process is running at this moment is left to it.
pub fn run_hooks(host: &Host<'_>, config: &Config, facts: &Facts, names: &[String]) -> Vec<FailedHook> {
    let mut failed = Vec::new();
    let mut ran = false;
    for name in names {
        let managed = config.profiles().iter().find(|managed| managed.name == *name);
        let Some(profile) = managed.and_then(|managed| managed.outcome.as_ref().ok()) else { continue };
        let Some(hook) = &profile.on_rotate else { continue };
        let runner = Runner { host, config, facts, profile, hook };
        match runner.run() {
            Ok(Some(failure)) => failed.push(failure),
            Ok(None) => {}
            Err(error) => warn!("profile `{name}`: what came of the hook is not recorded: {error}"),
        }
        ran = true;
    }
    if ran && let Err(error) = Keeper::open(host, config, facts).and_then(|keeper| keeper.write_status_only())
    {
        warn!("{}", Error::Output(error).with_causes());
    }
    failed
}

/// The hook of one profile.
struct Runner<'a> {
    host: &'a Host<'a>,
    config: &'a Config,
    facts: &'a Facts,
    profile: &'a Profile,
    hook: &'a RotationHook,
}

impl Runner<'_> {
    fn run(&self) -> Result<Option<FailedHook>, OutputError> {
        let mut lock = None;
        for _ in 0..ROUNDS {
            // Whoever holds the lock of a hook looks for newer credentials before releasing it and after, so that
            // leaving the hook to them forgets nothing.
            lock = lock.or_else(|| Directory::open_to_read(&self.directory()).ok()?.try_lock());
            if lock.is_none() {
                return Ok(None);
            }
            let Some(published) = self.pending() else {
                drop(lock.take());
                if self.pending().is_none() {
                    return Ok(None);
                }
                continue;
            };
            let ended = self.carry_out(&published);
            match self.record(&published, ended, &mut lock)? {
                Round::Done => return Ok(None),
                Round::Failed(failure) => return Ok(Some(failure)),
                Round::Overtaken => {}
            }
        }
        Ok(None)
    }

    fn directory(&self) -> PathBuf {
        self.facts.output_dir.join("profiles").join(file_name(&self.profile.name))
    }

    /// What is published, where its hook has not succeeded. Records are replaced whole, so no lock is needed.
    fn pending(&self) -> Option<Published> {
        let state = State::open_to_read(&self.facts.output_dir.join("state"))?;
        let record = state.load(&self.profile.name);
        record.waiting_hook()?;
        record.published
    }

    fn carry_out(&self, published: &Published) -> Result<(), HookError> {
        let name = &self.profile.name;
        info!("profile `{name}`: the hook of generation {} runs", published.generation);
        let mut secrets = Secrets::default();
        self.add_secrets(&mut secrets);
        let environment = self.environment(published);
        let hook = Hook {
            words: &self.hook.words,
            environment: &environment,
            timeout: self.hook.timeout,
            purpose: Purpose::Effect,
        };
        let (output, ended) = hook.run(self.host.clock);
        if !output.kept().is_empty() {
            // What was published meanwhile may have been shown, too, and so may what other profiles have; what the hook is
            // for, also in another form.
            self.add_secrets(&mut secrets);
            secrets.add_encoded();
            self.add_secrets_of_others(&mut secrets);
            self.say(&output, &secrets);
        }
        ended
    }

    fn say(&self, output: &Output, secrets: &Secrets) {
        let name = &self.profile.name;
        let lines = lines(output.kept(), secrets);
        for line in lines.iter().take(SHOWN_LINES) {
            info!("profile `{name}`: hook: {line}");
        }
        if lines.len() > SHOWN_LINES || output.dropped() > 0 {
            info!("profile `{name}`: hook: the rest of its output is not shown");
        }
    }

    /// What the hook is for.
    fn add_secrets(&self, secrets: &mut Secrets) {
        add_keys(self.profile, secrets);
        self.add_published(&self.profile.name, secrets);
    }

    /// What else it could read, with the agent's rights.
    fn add_secrets_of_others(&self, secrets: &mut Secrets) {
        let all = Directory::open_to_read(&self.facts.output_dir).and_then(|open| open.read(CREDENTIALS));
        if let Some(text) = all.ok().flatten().as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            secrets.add_file(text);
        }
        let has_tokens = self.config.settings.serve.is_some();
        for profile in self.config.profiles().iter().filter_map(|managed| managed.outcome.as_ref().ok()) {
            add_keys(profile, secrets);
            // The file at the top has those of the others.
            if has_tokens || profile.publication.owner.is_some() {
                self.add_published(&profile.name, secrets);
            }
        }
    }

    fn add_published(&self, profile: &str, secrets: &mut Secrets) {
        let directory = self.facts.output_dir.join("profiles").join(file_name(profile));
        let Ok(directory) = Directory::open_to_read(&directory) else { return };
        let read = |name| directory.read(name).ok().flatten();
        if let Some(issued) = read(profile_files::JSON).and_then(|json| parse_process_json(&json)) {
            secrets.add(&issued.credentials);
        }
        if let Some(token) = read(TOKEN).and_then(|token| String::from_utf8(token.to_vec()).ok()) {
            secrets.add_whole(Secret::new(token));
        }
    }

    fn environment(&self, published: &Published) -> Vec<(OsString, OsString)> {
        let directory = self.directory();
        let file = |name: &str| directory.join(name).into_os_string();
        let mut variables: Vec<(&str, OsString)> = vec![
            ("ROLEKEEPER_PROFILE", self.profile.name.clone().into()),
            ("ROLEKEEPER_GENERATION", published.generation.to_string().into()),
            ("ROLEKEEPER_OUTPUT_DIR", self.facts.output_dir.clone().into()),
            ("ROLEKEEPER_CREDENTIALS_FILE", file(profile_files::CREDENTIALS)),
            ("ROLEKEEPER_CREDENTIALS_JSON", file(profile_files::JSON)),
            ("ROLEKEEPER_ENV_FILE", file(profile_files::ENV)),
            ("ROLEKEEPER_CONFIG_FILE", file(profile_files::CONFIG)),
        ];
        if let Some(expiration) = published.expiration {
            variables.push(("ROLEKEEPER_EXPIRATION", Rfc3339Seconds(expiration).to_string().into()));
        }
        if let Some(config) = self.config.file().and_then(|path| std::path::absolute(path).ok()) {
            // What our own commands read: in a hook they find the same configuration.
            variables.push(("ROLEKEEPER_CONFIG", config.into()));
        }
        variables.push(("ROLEKEEPER_DIRECTORY", directory.into()));
        let ours = variables.into_iter().map(|(name, value)| (OsString::from(name), value));
        self.facts.hook_environment.iter().cloned().chain(ours).collect()
    }

    /// Records what came of the hook. The lock of the hook is released under the lock of the batch, unless newer
    /// credentials have to be followed.
    fn record(
        &self,
        published: &Published,
        ended: Result<(), HookError>,
        lock: &mut Option<File>,
    ) -> Result<Round, OutputError> {
        let profile = self.profile.name.clone();
        let keeper = Keeper::open(self.host, self.config, self.facts)?;
        let mut record = keeper.state.load(&profile);
        let Some(hook) = record.hook.as_mut().filter(|hook| hook.generation == published.generation) else {
            let is_overtaken = record.waiting_hook().is_some();
            if !is_overtaken {
                drop(lock.take());
            }
            return Ok(if is_overtaken { Round::Overtaken } else { Round::Done });
        };
        let round = match ended {
            Ok(()) => {
                info!("profile `{profile}`: the hook is done");
                record.hook = None;
                Round::Done
            }
            Err(cause) => {
                hook.attempts = hook.attempts.saturating_add(1);
                let attempts = hook.attempts;
                hook.error = Some(match cause.source() {
                    Some(below) => format!("{cause}: {below}"),
                    None => cause.to_string(),
                });
                let error = Error::Hook { profile: profile.clone(), attempts, cause };
                Round::Failed(FailedHook { profile, attempts, error })
            }
        };
        let stored = keeper.state.store(&record);
        drop(lock.take());
        stored.map(|()| round)
    }
}
