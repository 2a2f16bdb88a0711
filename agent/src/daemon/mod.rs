//! `rolekeeper run`: the loop that obeys the plan. It reads the clocks, asks the plan, has batches carried out, waits
//! for signals, and tells the service manager how things stand. What is due, and when, it does not decide.

mod batch;
mod hooks;
mod notify;
mod serving;
mod signals;
mod task;
mod verdicts;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use log::{error, info};

use self::batch::{Scene, Standings, Start};
use self::hooks::Hooks;
use self::notify::Notifier;
use self::serving::Serving;
use self::signals::{Signals, Wake};
use self::task::Task;
use self::verdicts::Verdicts;
use crate::clock::Clock;
use crate::config::Config;
use crate::disposition::Disposition;
use crate::environment::Environment;
use crate::error::Error;
use crate::refresh::{Facts, Outcome, Reuse, Standing};
use crate::schedule::{Carried, Known, Outcome as Verdict, Plan, ProfileIndex, Step};
use crate::transport::ProxyRules;

/// How long the predecessor of this daemon may take to end.
const PREDECESSOR: Duration = Duration::from_secs(5);

/// Until the daemon is ready, the service manager is asked for so much time, again and again.
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
    let outside = Outside { signals, notifier: Notifier::new(environment) };
    let (config, facts) = load()?;
    let corrects_clock = environment.corrects_clock();
    let proxies = ProxyRules::of(environment);
    let scene = Scene { config: Arc::new(config), facts, clock, seed, anchor: None, corrects_clock, proxies };
    if let Some(mut daemon) = Daemon::start(scene, &outside)? {
        let (kept, place) = (daemon.generations.len(), daemon.scene.facts.output_dir.display());
        info!("keeping {kept} profiles in `{place}`");
        let end = daemon.obey(load, &outside);
        daemon.serving.close(&daemon.scene.facts.output_dir);
        end?;
    }
    outside.notifier.stopping();
    Ok(())
}

/// Whom the daemon listens to and speaks to.
#[derive(Debug)]
struct Outside {
    signals: Signals,
    notifier: Notifier,
}

/// What became of a task.
enum Attended<T> {
    /// It has ended; whether a reload was asked for meanwhile.
    Ended(io::Result<T>, bool),
    /// The daemon shall end, and does not wait for it.
    Stop,
}

impl Outside {
    /// Waits for `time`, or until `other` can be read. Attends to the watchdog on the way, and asks for more time to
    /// start.
    fn wait(&self, time: Duration, other: Option<BorrowedFd<'_>>, is_ready: bool) -> Result<Wake, Error> {
        let starting = (!is_ready).then_some(ASK_AGAIN);
        let pauses = [self.notifier.watchdog_interval(), starting];
        self.notifier.alive();
        if starting.is_some() {
            self.notifier.extend_start(START_EXTENSION);
        }
        self.signals
            .wait(pauses.into_iter().flatten().fold(time, Duration::min), other)
            .map_err(Error::Signals)
    }

    /// Waits until `task` has ended.
    fn attend<T: Send + 'static>(&self, task: Task<T>, is_ready: bool) -> Result<Attended<T>, Error> {
        let mut asked_to_reload = false;
        loop {
            match self.wait(Duration::MAX, Some(task.ended()), is_ready)? {
                Wake::Stop => return Ok(Attended::Stop),
                Wake::Reload => asked_to_reload = true,
                Wake::Timeout => {}
                Wake::Ready => return Ok(Attended::Ended(task.finish(), asked_to_reload)),
            }
        }
    }
}

/// The daemon between two looks at the clock.
#[derive(Debug)]
struct Daemon {
    /// The configuration in force, and what the batches have learnt of AWS's time.
    scene: Scene,
    plan: Plan,
    /// The set of credentials that the plan knows of, for each profile.
    generations: Vec<u64>,
    verdicts: Verdicts,
    hooks: Hooks,
    serving: Serving,
    /// Whether the service manager was told that the daemon is ready, which is said once and for all.
    is_ready: bool,
    asked_to_reload: bool,
    /// Held for life, so that no second daemon works in the same directory.
    _lock: File,
}

impl Daemon {
    /// `None` where it was told to end before it had begun.
    fn start(mut scene: Scene, outside: &Outside) -> Result<Option<Self>, Error> {
        let own = scene.clone();
        let task = Task::start("start", move || own.take_over(PREDECESSOR)).map_err(Error::Thread)?;
        let (result, asked_to_reload) = match outside.attend(task, false)? {
            Attended::Ended(result, asked_to_reload) => (result, asked_to_reload),
            Attended::Stop => return Ok(None),
        };
        let Start { lock, standings, anchor } = result.map_err(Error::Thread)??;
        scene.anchor = anchor;
        let now = scene.now();
        let mut plan = Plan::new(scene.seed, &now);
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
        let (is_ready, hooks, serving) = (false, Hooks::default(), Serving::default());
        Ok(Some(Self {
            scene,
            plan,
            generations,
            verdicts,
            hooks,
            serving,
            is_ready,
            asked_to_reload,
            _lock: lock,
        }))
    }

    fn obey(&mut self, load: &Load<'_>, outside: &Outside) -> Result<(), Error> {
        self.tell(outside);
        self.look_for_hooks();
        self.look_at_serving();
        loop {
            let now = self.scene.clock.uptime();
            self.hooks.tend(now, &self.scene);
            let end = if std::mem::take(&mut self.asked_to_reload) {
                self.reload(load, outside)?
            } else if self.serving.is_due(now) {
                let end = self.serve(outside)?;
                self.tell(outside);
                end
            } else {
                match self.plan.next(&self.scene.now()) {
                    Step::Refresh(profiles) => self.refresh(&profiles, outside)?,
                    Step::Wait(time) => {
                        let now = self.scene.clock.uptime();
                        let time = time.min(self.hooks.rest(now)).min(self.serving.rest(now));
                        let wake = outside.wait(time, None, self.is_ready)?;
                        self.asked_to_reload = wake == Wake::Reload;
                        if wake == Wake::Stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    }
                }
            };
            if end.is_break() {
                return Ok(());
            }
        }
    }

    fn refresh(&mut self, profiles: &[ProfileIndex], outside: &Outside) -> Result<ControlFlow<()>, Error> {
        // Another seed for each batch, or retries would be spread the same way in all of them.
        let salt = u64::try_from(self.scene.clock.uptime().as_nanos()).unwrap_or_default();
        let scene = Scene { seed: self.scene.seed ^ salt, ..self.scene.clone() };
        let selected = self.selected(profiles);
        let result = match Task::start("batch", move || scene.refresh(&selected)) {
            Err(cause) => Err(cause),
            Ok(task) => match outside.attend(task, self.is_ready)? {
                Attended::Stop => return Ok(ControlFlow::Break(())),
                Attended::Ended(result, asked_to_reload) => {
                    self.asked_to_reload = asked_to_reload;
                    result
                }
            },
        };
        self.record(profiles, result.map_err(Error::Thread));
        self.look_for_hooks();
        self.tell(outside);
        Ok(ControlFlow::Continue(()))
    }

    /// Brings the credentials endpoint in line with the configuration.
    fn serve(&mut self, outside: &Outside) -> Result<ControlFlow<()>, Error> {
        let tokens = self.serving.open(self.scene.config.settings.serve);
        let scene = self.scene.clone();
        let result = match Task::start("tokens", move || scene.tend_tokens(&tokens)) {
            Err(cause) => Err(cause),
            Ok(task) => match outside.attend(task, self.is_ready)? {
                Attended::Stop => return Ok(ControlFlow::Break(())),
                Attended::Ended(result, asked_to_reload) => {
                    self.asked_to_reload |= asked_to_reload;
                    result
                }
            },
        };
        self.serving.settle(result.map_err(Error::Thread).flatten(), &self.scene);
        Ok(ControlFlow::Continue(()))
    }

    fn selected(&self, profiles: &[ProfileIndex]) -> Vec<(String, Reuse)> {
        let names = self.scene.config.profiles();
        let select = |index: &ProfileIndex| {
            let generation = self.generations.get(index.0).copied().unwrap_or_default();
            Some((names.get(index.0)?.name.clone(), Reuse::After(generation)))
        };
        profiles.iter().filter_map(select).collect()
    }

    /// Hands the outcomes to the plan. Profiles without one, because the batch as a whole failed, have failed with it.
    fn record(&mut self, profiles: &[ProfileIndex], result: Result<batch::Result, Error>) {
        let mut outcomes = HashMap::new();
        let mut whole = String::new();
        match result {
            Ok((report, anchor)) => {
                self.serving.learn_time(anchor.as_ref());
                self.scene.anchor = anchor;
                match report {
                    Ok(report) => outcomes.extend(report),
                    Err(cause) => whole = Error::Output(cause).with_causes(),
                }
            }
            Err(error) => whole = error.with_causes(),
        }
        let now = self.scene.now();
        let config = Arc::clone(&self.scene.config);
        for index in profiles {
            let Some(managed) = config.profiles().get(index.0) else { continue };
            let verdict = match outcomes.remove(&managed.name) {
                Some(Outcome::Kept(standing) | Outcome::Refreshed(standing)) => {
                    self.published(*index, &standing)
                }
                Some(Outcome::Failed { error, .. }) => {
                    self.verdicts.failing(index.0, &error.with_causes(), error.advice().as_deref());
                    Verdict::Failed(error.pace())
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

    fn tell(&mut self, outside: &Outside) {
        let status = self.verdicts.in_words(&self.scene.config, self.serving.trouble());
        self.is_ready |= self.verdicts.are_complete() && self.verdicts.any_fresh();
        // Said again, it ends a reload, however the profiles are.
        if self.is_ready {
            outside.notifier.ready(&status);
        } else {
            outside.notifier.status(&status);
        }
    }

    /// Takes over a configuration that was read again. One that cannot be used changes nothing.
    fn reload(&mut self, load: &Load<'_>, outside: &Outside) -> Result<ControlFlow<()>, Error> {
        outside.notifier.reloading(self.scene.clock.uptime());
        match self.adopt(load, outside) {
            Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
            Ok(ControlFlow::Continue(())) => {
                info!("the configuration was read again");
                if self.serving.is_due(self.scene.clock.uptime()) && self.serve(outside)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Err(error) => {
                error!("the configuration stays as it was: {}", error.with_causes());
                self.verdicts.remark(format!("the new configuration is not used: {}", error.with_causes()));
            }
        }
        self.tell(outside);
        Ok(ControlFlow::Continue(()))
    }

    fn adopt(&mut self, load: &Load<'_>, outside: &Outside) -> Result<ControlFlow<()>, Error> {
        let (config, facts) = load()?;
        let from = &self.scene.facts.output_dir;
        if facts.output_dir != *from {
            return Err(Error::OutputMoved { from: from.clone(), to: facts.output_dir });
        }
        let scene = Scene { config: Arc::new(config), facts, ..self.scene.clone() };
        let own = scene.clone();
        let task = Task::start("reload", move || own.look_around()).map_err(Error::Thread)?;
        let standings = match outside.attend(task, self.is_ready)? {
            Attended::Stop => return Ok(ControlFlow::Break(())),
            Attended::Ended(result, asked_to_reload) => {
                self.asked_to_reload = asked_to_reload;
                result.map_err(Error::Thread)??
            }
        };
        self.carry_over(scene, standings);
        Ok(ControlFlow::Continue(()))
    }

    fn carry_over(&mut self, scene: Scene, standings: Standings) {
        let old = self.scene.config.profiles().iter().enumerate();
        let before: HashMap<&str, ProfileIndex> =
            old.map(|(index, old)| (old.name.as_str(), ProfileIndex(index))).collect();
        let carried: Vec<Carried> = scene
            .config
            .profiles()
            .iter()
            .zip(&standings)
            .map(|(managed, (known, _))| Carried {
                before: before.get(managed.name.as_str()).copied(),
                known: *known,
            })
            .collect();
        self.verdicts.carry(&carried);
        self.plan.reload(carried, &scene.now());
        self.generations = standings.into_iter().map(|(_, generation)| generation).collect();
        self.scene = scene;
        self.look_at_serving();
        self.look_for_hooks();
    }

    fn look_at_serving(&mut self) {
        self.serving.look(self.scene.config.settings.serve, &self.scene.facts.output_dir);
    }

    fn look_for_hooks(&mut self) {
        self.hooks.look(&self.scene.config, self.scene.clock.uptime());
    }
}
