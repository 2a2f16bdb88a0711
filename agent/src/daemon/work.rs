//! What the daemon has done for it: its configuration read, what is published looked at, profiles refreshed, hooks
//! run. Typed questions and answers, and the one place that answers them, in whichever process that is.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::warn;
use time::OffsetDateTime;

use super::serving::Tokens;
use crate::config::{Config, Texts};
use crate::error::{Error, Told};
use crate::host::Host;
use crate::refresh::{
    Facts, FailedHook, Held, Keeper, Outcome, Reuse, Selected, Served, Standing, directory_mode, run_hooks,
};
use crate::schedule::Known;

/// After the first failure of a hook; it doubles with each further one.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(10);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Where a configuration comes from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// From the files, as they are.
    Files,
    /// From the texts that the files had when it came into force.
    Texts(&'a Texts),
}

/// A configuration that can be worked with.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) facts: Facts,
    /// What it was made of; empty where that was texts.
    pub(crate) texts: Texts,
}

/// Loads the configuration.
pub(crate) type Load<'a> = dyn Fn(Origin<'_>) -> Result<Loaded, Error> + 'a;

/// What the daemon itself knows of its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roster {
    pub(super) output_dir: PathBuf,
    /// The mode of that directory.
    pub(super) mode: u32,
    /// Where credentials are to be served.
    pub(super) serve: Option<SocketAddr>,
    /// In the order of the configuration.
    pub(super) members: Vec<Member>,
}

/// One managed profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) has_hook: bool,
}

/// Something to do. Profiles are called by their place in the configuration.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Read the configuration from its files.
    Load,
    /// Bring the directory in line with the configuration, and see what is published for each profile.
    Look,
    /// Refresh these profiles, unless credentials of a later generation than this are published.
    Refresh(Vec<(usize, u64)>),
    /// Run the hooks that are pending.
    Hooks,
    /// Hand out tokens for the endpoint or take them back, and note what is served.
    Tokens(Tokens),
}

/// What is published for each profile, of which generation, and why it is not asked for at present.
pub(super) type Standings = Vec<(Known, u64, Option<Held>)>;

/// What became of each profile of a batch; of one that failed, also when what is published expires.
pub(super) type Report = Vec<(usize, Result<Standing, (Told, Option<OffsetDateTime>)>)>;

/// What came of it.
#[derive(Debug)]
pub(super) enum Reply {
    Loaded(Roster),
    Standings(Standings),
    Report(Report),
    /// How long to wait before hooks that have failed are tried again.
    Hooks(Option<Duration>),
    /// Whom the endpoint shall answer for.
    Served(Vec<Served>),
    /// It could not be done as a whole.
    Failed(Told),
}

/// Longer than reading, looking and waiting for a lock can take where nothing is broken.
const LONGEST_WORK: Duration = Duration::from_secs(15 * 60);
/// Longer than the whole chain of one profile can.
const LONGEST_CHAIN: Duration = Duration::from_secs(5 * 60);
/// Longer than the rounds of one hook with the longest timeout.
const LONGEST_HOOK: Duration = Duration::from_secs(4 * 3600);

impl Work {
    /// How long it may take in a process of its own, for a configuration with so many profiles: one that was stopped, or
    /// that hangs in a disk, must not keep the daemon from working for ever.
    pub(super) fn limit(&self, profiles: usize) -> Duration {
        let times = |time: Duration, count: usize| time.saturating_mul(count.try_into().unwrap_or(u32::MAX));
        LONGEST_WORK.saturating_add(match self {
            Self::Load | Self::Look | Self::Tokens(_) => Duration::ZERO,
            Self::Refresh(profiles) => times(LONGEST_CHAIN, profiles.len()),
            Self::Hooks => times(LONGEST_HOOK, profiles),
        })
    }

    /// A name for its thread.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Look => "look",
            Self::Refresh(_) => "batch",
            Self::Hooks => "hooks",
            Self::Tokens(_) => "tokens",
        }
    }
}

impl Reply {
    /// Why it is not the answer that was asked for.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Failed(told) => Error::Told(told),
            Self::Loaded(_) | Self::Standings(_) | Self::Report(_) | Self::Hooks(_) | Self::Served(_) => {
                Error::Worker(io::ErrorKind::InvalidData.into())
            }
        }
    }
}

impl Roster {
    pub(super) fn of(loaded: &Loaded) -> Self {
        let members = loaded.config.profiles().iter().map(|managed| Member {
            name: managed.name.clone(),
            has_hook: managed.outcome.as_ref().is_ok_and(|profile| profile.on_rotate.is_some()),
        });
        Self {
            output_dir: loaded.facts.output_dir.clone(),
            mode: directory_mode(&loaded.config),
            serve: loaded.config.settings.serve,
            members: members.collect(),
        }
    }
}

/// Does `work`.
pub(super) fn perform(host: &Host<'_>, loaded: &Loaded, work: &Work) -> Reply {
    let reply = match work {
        Work::Load => Ok(Reply::Loaded(Roster::of(loaded))),
        Work::Look => look_around(host, loaded).map(Reply::Standings),
        Work::Refresh(profiles) => refresh(host, loaded, profiles).map(Reply::Report),
        Work::Hooks => Ok(Reply::Hooks(hooks(host, loaded))),
        Work::Tokens(tokens) => tend_tokens(host, loaded, tokens).map(Reply::Served),
    };
    reply.unwrap_or_else(|error| Reply::Failed(Told::of(&error)))
}

fn refresh(host: &Host<'_>, loaded: &Loaded, profiles: &[(usize, u64)]) -> Result<Report, Error> {
    let Loaded { config, facts, .. } = loaded;
    // Within the daemon the configuration is old, and the files that it names need not be.
    let read_again = config.read_again();
    let config = read_again.as_ref().unwrap_or(config);
    let select = |(index, generation): &(usize, u64)| {
        let name = config.profiles().get(*index)?.name.as_str();
        Some(Selected { name, reuse: Reuse::After(*generation) })
    };
    let selected: Vec<Selected<'_>> = profiles.iter().filter_map(select).collect();
    let outcomes = Keeper::open(host, config, facts)?.refresh(&selected)?;
    // Both are in the order of the configuration.
    let mut places = config.profiles().iter().enumerate();
    let report = outcomes.into_iter().filter_map(|(name, outcome)| {
        let (index, _) = places.find(|(_, managed)| managed.name == name)?;
        Some(match outcome {
            Outcome::Kept(standing) | Outcome::Refreshed(standing) => (index, Ok(standing)),
            Outcome::Failed { error, remaining, .. } => {
                let expiration = remaining.map(|life| host.true_time().saturating_add(life));
                (index, Err((Told::of(&error), expiration)))
            }
        })
    });
    Ok(report.collect())
}

fn look_around(host: &Host<'_>, loaded: &Loaded) -> Result<Standings, Error> {
    let keeper = Keeper::open(host, &loaded.config, &loaded.facts)?;
    // The batches try again, and report it where it lasts.
    if let Err(cause) = keeper.tidy() {
        warn!("{}", Error::Output(cause).with_causes());
    }
    let standings = loaded.config.profiles().iter().map(|managed| {
        let Ok(profile) = &managed.outcome else { return (Known::Nothing, 0, None) };
        match keeper.known(profile) {
            (None, held) => (Known::Nothing, 0, held),
            (Some((issued, standing)), held) => {
                (Known::Published { issued, due: standing.due }, standing.generation, held)
            }
        }
    });
    Ok(standings.collect())
}

fn tend_tokens(host: &Host<'_>, loaded: &Loaded, tokens: &Tokens) -> Result<Vec<Served>, Error> {
    let keeper = Keeper::open(host, &loaded.config, &loaded.facts)?;
    let served = keeper.tend_tokens(tokens.known.as_deref())?;
    keeper.note_serving(tokens.note.as_deref())?;
    Ok(served)
}

fn hooks(host: &Host<'_>, loaded: &Loaded) -> Option<Duration> {
    let Loaded { config, facts, .. } = loaded;
    let pending = match Keeper::open(host, config, facts) {
        Ok(keeper) => keeper.pending_hooks(&[]),
        Err(error) => {
            warn!("hooks wait: {}", Error::Output(error).with_causes());
            return Some(FIRST_WAIT);
        }
    };
    let failed = run_hooks(host, config, facts, &pending);
    failed.iter().for_each(|failed| warn!("{}", failed.error.with_causes()));
    failed.iter().map(wait_after).min()
}

fn wait_after(failed: &FailedHook) -> Duration {
    let doublings = u32::try_from(failed.attempts.saturating_sub(1).min(16)).unwrap_or(16);
    FIRST_WAIT.saturating_mul(1_u32 << doublings).min(LONGEST_WAIT)
}
