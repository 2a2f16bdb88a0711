//! `rolekeeper run`: the loop that obeys the plan. It reads the clocks, asks the plan, has batches carried out, waits
//! for signals, and tells the service manager how things stand. What is due, and when, it does not decide.

mod batch;
mod notify;
mod signals;
mod verdicts;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use log::{error, info};

use self::batch::{Batch, Order};
use self::notify::Notifier;
use self::signals::{Signals, Wake};
use self::verdicts::Verdicts;
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::config::Config;
use crate::disposition::Disposition;
use crate::environment::Environment;
use crate::error::Error;
use crate::host::Host;
use crate::output::OutputError;
use crate::refresh::{Facts, Keeper, Outcome, Reuse, Standing};
use crate::schedule::{Carried, Known, Now, Outcome as Verdict, Plan, ProfileIndex, Step};
use crate::timestamp::between;
use crate::transport::HttpTransport;

/// How long the predecessor of this daemon may take to end.
const PREDECESSOR: Duration = Duration::from_secs(5);

/// While the first verdicts are missing, the service manager is asked for so much time, again and again.
const START_EXTENSION: Duration = Duration::from_secs(120);
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Loads the configuration: at the start, and for each SIGHUP.
pub(crate) type Load<'a> = dyn Fn() -> Result<(Config, Facts), Error> + 'a;

/// Keeps the profiles fresh until a signal ends it.
///
/// # Errors
///
/// When it cannot start: the configuration, the output directory, another daemon there. Never for the network.
pub(crate) fn run(
    load: &Load<'_>,
    environment: &Environment,
    clock: &'static dyn Clock,
    seed: u64,
) -> Result<(), Error> {
    let signals = Signals::take_over().map_err(Error::Signals)?;
    let notifier = Notifier::new(environment);
    let (config, facts) = load()?;
    let seams = Seams { clock, seed, corrects_clock: environment.corrects_clock() };
    let mut daemon = Daemon::start(config, facts, seams)?;
    info!("keeping {} profiles in `{}`", daemon.generations.len(), daemon.facts.output_dir.display());
    let ended = daemon.obey(load, &signals, &notifier);
    notifier.stopping();
    ended.map_err(Error::Signals)
}

/// What the host of each batch is made of.
#[derive(Clone, Copy, Debug)]
struct Seams {
    clock: &'static dyn Clock,
    seed: u64,
    corrects_clock: bool,
}

impl Seams {
    fn now(self, anchor: Option<&Anchor>) -> Now {
        let (boot, wall) = (self.clock.since_boot(), self.clock.now());
        let truth = anchor.map_or(wall, |anchor| anchor.correct(wall, self.clock));
        Now { boot, wall, offset: between(wall, truth) }
    }
}

/// The daemon between two looks at the clock.
#[derive(Debug)]
struct Daemon {
    seams: Seams,
    /// What the batches have learnt of AWS's time.
    anchor: Option<Anchor>,
    config: Arc<Config>,
    facts: Facts,
    plan: Plan,
    /// The set of credentials that the plan knows of, for each profile.
    generations: Vec<u64>,
    verdicts: Verdicts,
    /// Held for life, so that no second daemon works in the same directory.
    _lock: File,
}

/// What a wait was interrupted by.
enum Interruption {
    None,
    Reload,
    Stop,
}

impl Daemon {
    fn start(config: Config, facts: Facts, seams: Seams) -> Result<Self, Error> {
        let (lock, standings, anchor) =
            look_around(&config, &facts, seams, |keeper| keeper.life_lock(PREDECESSOR))?;
        let now = seams.now(anchor.as_ref());
        let mut plan = Plan::new(seams.seed, &now);
        let mut verdicts = Verdicts::new(standings.len());
        let mut generations = Vec::with_capacity(standings.len());
        for (index, (known, generation)) in standings.into_iter().enumerate() {
            plan.add(known, &now);
            generations.push(generation);
            if let Known::Published { due, .. } = known
                && due.is_none_or(|due| now.wall.saturating_add(now.offset) < due)
            {
                verdicts.fresh(index);
            }
        }
        let config = Arc::new(config);
        Ok(Self { seams, anchor, config, facts, plan, generations, verdicts, _lock: lock })
    }

    fn obey(&mut self, load: &Load<'_>, signals: &Signals, notifier: &Notifier) -> io::Result<()> {
        self.tell(notifier);
        loop {
            let interruption = match self.plan.next(&self.now()) {
                Step::Refresh(profiles) => self.refresh(&profiles, signals, notifier)?,
                Step::Wait(time) => self.wait(time, None, signals, notifier)?.0,
            };
            match interruption {
                Interruption::None => {}
                Interruption::Reload => self.reload(load, notifier),
                Interruption::Stop => return Ok(()),
            }
        }
    }

    fn now(&self) -> Now {
        self.seams.now(self.anchor.as_ref())
    }

    /// Waits for `time`, or until the batch has ended, which is the second result. Attends to the watchdog and asks
    /// for more time to start on the way.
    fn wait(
        &self,
        time: Duration,
        batch: Option<&Batch>,
        signals: &Signals,
        notifier: &Notifier,
    ) -> io::Result<(Interruption, bool)> {
        let starting = (!self.verdicts.are_complete()).then_some(ASK_AGAIN);
        let pause = [notifier.watchdog_interval(), starting].into_iter().flatten().fold(time, Duration::min);
        notifier.alive();
        if starting.is_some() {
            notifier.extend_start(START_EXTENSION);
        }
        Ok(match signals.wait(pause, batch.map(Batch::ended))? {
            Wake::Timeout => (Interruption::None, false),
            Wake::Ready => (Interruption::None, true),
            Wake::Reload => (Interruption::Reload, false),
            Wake::Stop => (Interruption::Stop, false),
        })
    }

    fn refresh(
        &mut self,
        profiles: &[ProfileIndex],
        signals: &Signals,
        notifier: &Notifier,
    ) -> io::Result<Interruption> {
        let batch = Batch::start(self.order(profiles))?;
        let mut asked_to_reload = Interruption::None;
        loop {
            match self.wait(Duration::MAX, Some(&batch), signals, notifier)? {
                (Interruption::Stop, _) => return Ok(Interruption::Stop),
                (Interruption::Reload, _) => asked_to_reload = Interruption::Reload,
                (Interruption::None, false) => {}
                (Interruption::None, true) => break,
            }
        }
        self.record(profiles, batch);
        self.tell(notifier);
        Ok(asked_to_reload)
    }

    fn order(&self, profiles: &[ProfileIndex]) -> Order {
        let names = self.config.profiles();
        let order = |index: &ProfileIndex| {
            let generation = self.generations.get(index.0).copied().unwrap_or_default();
            Some((names.get(index.0)?.name.clone(), Reuse::After(generation)))
        };
        Order {
            config: Arc::clone(&self.config),
            facts: self.facts.clone(),
            clock: self.seams.clock,
            seed: self.seams.seed ^ u64::try_from(self.seams.clock.uptime().as_nanos()).unwrap_or_default(),
            anchor: self.anchor.clone(),
            corrects_clock: self.seams.corrects_clock,
            profiles: profiles.iter().filter_map(order).collect(),
        }
    }

    /// Hands the outcomes to the plan. Profiles without one, because the batch as a whole failed, have failed with it.
    fn record(&mut self, profiles: &[ProfileIndex], batch: Batch) {
        let mut outcomes = HashMap::new();
        let mut whole = "the batch ended before its end".to_owned();
        if let Some((report, anchor)) = batch.finish() {
            self.anchor = anchor;
            match report {
                Ok(report) => outcomes.extend(report),
                Err(cause) => whole = Error::Output(cause).with_causes(),
            }
        }
        let now = self.now();
        let config = Arc::clone(&self.config);
        for index in profiles {
            let Some(managed) = config.profiles().get(index.0) else { continue };
            let verdict = match outcomes.remove(&managed.name) {
                Some(Outcome::Kept(standing) | Outcome::Refreshed(standing)) => {
                    self.published(*index, &standing)
                }
                Some(Outcome::Failed { error, .. }) => {
                    self.verdicts.failing(index.0, &error.with_causes(), error.advice().as_deref());
                    Verdict::Failed(error.disposition())
                }
                None => {
                    self.verdicts.failing(index.0, &whole, None);
                    Verdict::Failed(Disposition::Local)
                }
            };
            self.plan.record(*index, verdict, &now);
        }
    }

    fn published(&mut self, index: ProfileIndex, standing: &Standing) -> Verdict {
        self.verdicts.fresh(index.0);
        if let Some(generation) = self.generations.get_mut(index.0) {
            *generation = standing.generation;
        }
        if standing.is_extended { Verdict::Extended } else { Verdict::Published { due: standing.due } }
    }

    fn tell(&self, notifier: &Notifier) {
        let status = self.verdicts.in_words(&self.config);
        if self.verdicts.are_complete() && self.verdicts.any_fresh() {
            notifier.ready(&status);
        } else {
            notifier.status(&status);
        }
    }

    /// Takes over a configuration that was read again. One that cannot be used changes nothing.
    fn reload(&mut self, load: &Load<'_>, notifier: &Notifier) {
        notifier.reloading();
        match load().and_then(|(config, facts)| self.adopt(config, facts)) {
            Ok(()) => info!("the configuration was read again"),
            Err(error) => {
                error!("the configuration stays as it was: {}", error.with_causes());
                self.verdicts.remark(format!("the new configuration is not used: {}", error.with_causes()));
            }
        }
        self.tell(notifier);
    }

    fn adopt(&mut self, config: Config, facts: Facts) -> Result<(), Error> {
        if facts.output_dir != self.facts.output_dir {
            return Err(Error::OutputMoved { from: self.facts.output_dir.clone(), to: facts.output_dir });
        }
        let ((), standings, _) = look_around(&config, &facts, self.seams, |_| Ok(()))?;
        let before: HashMap<&str, ProfileIndex> = self
            .config
            .profiles()
            .iter()
            .enumerate()
            .map(|(index, old)| (old.name.as_str(), ProfileIndex(index)))
            .collect();
        let carried: Vec<Carried> = config
            .profiles()
            .iter()
            .zip(&standings)
            .map(|(managed, (known, _))| Carried {
                before: before.get(managed.name.as_str()).copied(),
                known: *known,
            })
            .collect();
        let now = self.now();
        self.verdicts.carry(&carried);
        self.plan.reload(carried, &now);
        self.generations = standings.into_iter().map(|(_, generation)| generation).collect();
        self.config = Arc::new(config);
        Ok(())
    }
}

/// What is published for each profile, and of which generation.
type Standings = Vec<(Known, u64)>;

/// Opens the output directory for a moment and sees what is published for each profile, and of which generation, and
/// what is known there of the time.
fn look_around<T>(
    config: &Config,
    facts: &Facts,
    seams: Seams,
    and: impl FnOnce(&Keeper<'_>) -> Result<T, OutputError>,
) -> Result<(T, Standings, Option<Anchor>), Error> {
    let transport = HttpTransport::new(seams.clock);
    let host = Host::new(seams.clock, &transport, seams.seed).correcting(seams.corrects_clock);
    let keeper = Keeper::open(&host, config, facts)?;
    let extra = and(&keeper)?;
    let standing = |profile| keeper.known(profile);
    let standings =
        config.profiles().iter().map(|managed| match managed.outcome.as_ref().ok().and_then(standing) {
            None => (Known::Nothing, 0),
            Some((issued, standing)) => (Known::Published { issued, due: standing.due }, standing.generation),
        });
    Ok((extra, standings.collect(), host.anchor()))
}
