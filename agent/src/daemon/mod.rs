//! `rolekeeper run`: the loop that obeys the plan. It reads the clocks, asks the plan, has batches carried out, waits
//! for signals, and tells the service manager how things stand. What is due, and when, it does not decide.

mod hooks;
mod notify;
mod scene;
mod serving;
mod signals;
mod task;
mod verdicts;
mod wire;
mod work;
mod worker;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, error, info};

use self::hooks::Hooks;
use self::notify::Notifier;
use self::scene::{Ground, Place, Scene};
use self::serving::Serving;
use self::signals::{Signals, Wake};
use self::task::{Done, Task};
use self::verdicts::Verdicts;
use self::work::{Load, Member, Reply, Report, Standings, Work};
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::disposition::Disposition;
use crate::environment::Environment;
use crate::error::{Error, Told};
use crate::output::OutputError;
use crate::refresh::{Held, Keeper, Standing};
use crate::schedule::{Carried, Known, Outcome as Verdict, Plan, ProfileIndex, Step};
use crate::transport::ProxyRules;

pub(crate) use self::work::{Loaded, Origin};
pub use self::worker::WORKER;
pub(crate) use self::worker::work;

/// How long the predecessor of this daemon may take to end.
const PREDECESSOR: Duration = Duration::from_secs(5);
const LOCK_AGAIN: Duration = Duration::from_millis(50);

/// Until the daemon is ready, the service manager is asked for so much time, again and again.
const START_EXTENSION: Duration = Duration::from_secs(120);
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// A service manager that had no room for what it has to know is told again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Keeps the profiles fresh until a signal ends it.
///
/// # Errors
///
/// When it cannot start: the configuration, the output directory, another daemon there. Never for the network.
pub(crate) fn run(
    load: &Load<'_>,
    environment: &Environment,
    program: &Path,
    clock: &'static dyn Clock,
    seed: u64,
) -> Result<(), Error> {
    let signals = Signals::take_over().map_err(Error::Signals)?;
    let outside = Outside { signals, notifier: Notifier::new(environment) };
    let corrects_clock = environment.corrects_clock();
    let proxies = ProxyRules::of(environment);
    let ground = Ground { program: program.into(), clock, seed, corrects_clock, proxies };
    if let Some(mut daemon) = Daemon::start(&ground, load, &outside)? {
        let (kept, place) = (daemon.generations.len(), daemon.scene.roster.output_dir.display());
        info!("keeping {kept} profiles in `{place}`");
        let end = daemon.obey(load, &outside);
        daemon.serving.close(&daemon.scene.roster.output_dir);
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
enum Attended {
    /// It has ended; whether a reload was asked for meanwhile.
    Ended(Done, bool),
    /// The daemon shall end, and does not wait for it.
    Stop,
}

impl Outside {
    /// Waits for `time`, or until `other` can be read. Attends to the watchdog on the way, and asks for more time to
    /// start.
    fn wait(&self, time: Duration, other: Option<BorrowedFd<'_>>, is_ready: bool) -> Result<Wake, Error> {
        let starting = (!is_ready).then_some(ASK_AGAIN);
        let untold = self.notifier.has_untold().then_some(TELL_AGAIN);
        let pauses = [self.notifier.watchdog_interval(), starting, untold];
        self.notifier.alive();
        if starting.is_some() {
            self.notifier.extend_start(START_EXTENSION);
        }
        self.signals
            .wait(pauses.into_iter().flatten().fold(time, Duration::min), other)
            .map_err(Error::Signals)
    }

    /// Waits until `task` has ended.
    fn attend(&self, task: Task, is_ready: bool) -> Result<Attended, Error> {
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

/// Has the configuration read by a process of its own, and notes whether a reload was asked for meanwhile: also where it
/// cannot be used, since it may have been mended since. `None` where the daemon shall end.
fn read_apart(
    ground: Ground,
    anchor: Option<Anchor>,
    outside: &Outside,
    is_ready: bool,
    asked_to_reload: &mut bool,
) -> Result<Option<Scene>, Error> {
    let scene = Scene::unread(ground, anchor)?;
    let attended = outside.attend(scene.start(Work::Load)?, is_ready)?;
    let Attended::Ended(done, asked) = attended else { return Ok(None) };
    *asked_to_reload |= asked;
    match done? {
        (Reply::Loaded(roster), _) => Ok(Some(Scene { roster: Arc::new(roster), ..scene })),
        (other, _) => Err(other.into_error()),
    }
}

/// The same, or within the daemon where no process can be started: the want may be a passing one, so each reload of a
/// daemon that works so tries again.
fn read_anyhow(
    ground: &Ground,
    anchor: Option<Anchor>,
    load: &Load<'_>,
    outside: &Outside,
    is_ready: bool,
    asked_to_reload: &mut bool,
) -> Result<Option<Scene>, Error> {
    match read_apart(ground.clone(), anchor.clone(), outside, is_ready, asked_to_reload) {
        Err(Error::Worker(cause)) => {
            debug!("work is done within the daemon: {cause}");
            Scene::within(ground.clone(), anchor, load).map(Some)
        }
        read => read,
    }
}

/// Takes the lock of the one daemon; whether a reload was asked for meanwhile. `None` where this one shall end before it
/// has got it.
fn lock(scene: &Scene, outside: &Outside) -> Result<Option<(File, bool)>, Error> {
    let mut asked_to_reload = false;
    let clock = scene.ground.clock;
    let deadline = clock.uptime().saturating_add(PREDECESSOR);
    loop {
        match Keeper::life_lock(clock, &scene.roster.output_dir, scene.roster.mode) {
            Err(OutputError::Locked(_)) if clock.uptime() < deadline => {
                match outside.wait(LOCK_AGAIN, None, false)? {
                    Wake::Stop => return Ok(None),
                    Wake::Reload => asked_to_reload = true,
                    Wake::Timeout | Wake::Ready => {}
                }
            }
            taken => return Ok(Some((taken?, asked_to_reload))),
        }
    }
}

fn standings(done: Done) -> Result<(Standings, Option<Anchor>), Error> {
    match done? {
        (Reply::Standings(standings), anchor) => Ok((standings, anchor)),
        (other, _) => Err(other.into_error()),
    }
}

/// The daemon between two looks at the clock.
struct Daemon {
    /// Whom it keeps fresh, and what the batches have learnt of AWS's time.
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
    fn start(ground: &Ground, load: &Load<'_>, outside: &Outside) -> Result<Option<Self>, Error> {
        let mut asked_before = false;
        let read = read_anyhow(ground, None, load, outside, false, &mut asked_before)?;
        let Some(mut scene) = read else { return Ok(None) };
        let Some((lock, asked_between)) = lock(&scene, outside)? else { return Ok(None) };
        let Attended::Ended(done, asked_since) = outside.attend(scene.start(Work::Look)?, false)? else {
            return Ok(None);
        };
        let (standings, anchor) = standings(done)?;
        let asked_to_reload = asked_before || asked_between || asked_since;
        scene.anchor = anchor;
        let now = scene.now();
        let mut plan = Plan::new(scene.ground.seed, &now);
        let mut verdicts = Verdicts::new(standings.len());
        let mut generations = Vec::with_capacity(standings.len());
        for (index, (known, generation, held)) in standings.into_iter().enumerate() {
            let place = plan.add(known, &now);
            generations.push(generation);
            if let Known::Published { due, .. } = known
                && due.is_none_or(|due| now.wall.saturating_add(now.offset) < due)
            {
                verdicts.fresh(index);
            } else if let Some(Held { refusals, until, told }) = held {
                plan.hold(place, told.pace, refusals, until, &now);
                verdicts.failing(index, &told.message, told.advice.as_deref());
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
            let now = self.scene.ground.clock.uptime();
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
                        let now = self.scene.ground.clock.uptime();
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
        let done = match self.scene.start(Work::Refresh(self.known(profiles))) {
            Err(error) => Err(error),
            Ok(task) => match outside.attend(task, self.is_ready)? {
                Attended::Stop => return Ok(ControlFlow::Break(())),
                Attended::Ended(done, asked_to_reload) => {
                    self.asked_to_reload = asked_to_reload;
                    done
                }
            },
        };
        let report = done.and_then(|(reply, anchor)| {
            self.serving.learn_time(anchor.as_ref());
            self.scene.anchor = anchor;
            if let Reply::Report(report) = reply { Ok(report) } else { Err(reply.into_error()) }
        });
        self.record(profiles, report);
        self.look_for_hooks();
        self.tell(outside);
        Ok(ControlFlow::Continue(()))
    }

    /// Brings the credentials endpoint in line with the configuration.
    fn serve(&mut self, outside: &Outside) -> Result<ControlFlow<()>, Error> {
        let tokens = self.serving.open(self.scene.roster.serve);
        let done = match self.scene.start(Work::Tokens(tokens)) {
            Err(error) => Err(error),
            Ok(task) => match outside.attend(task, self.is_ready)? {
                Attended::Stop => return Ok(ControlFlow::Break(())),
                Attended::Ended(done, asked_to_reload) => {
                    self.asked_to_reload |= asked_to_reload;
                    done
                }
            },
        };
        let served = done.and_then(|(reply, _)| {
            if let Reply::Served(served) = reply { Ok(served) } else { Err(reply.into_error()) }
        });
        self.serving.settle(served, &self.scene);
        Ok(ControlFlow::Continue(()))
    }

    /// The generations that are known of these profiles.
    fn known(&self, profiles: &[ProfileIndex]) -> Vec<(usize, u64)> {
        let generation = |index: usize| self.generations.get(index).copied().unwrap_or_default();
        profiles.iter().map(|index| (index.0, generation(index.0))).collect()
    }

    /// Hands the outcomes to the plan. Profiles without one, because the batch as a whole failed, have failed with it.
    fn record(&mut self, profiles: &[ProfileIndex], report: Result<Report, Error>) {
        let (report, whole) = match report {
            Ok(report) => (report, Error::Worker(io::ErrorKind::InvalidData.into())),
            Err(error) => (Vec::new(), error),
        };
        let whole = (Told { pace: Disposition::Local, ..Told::of(&whole) }, None);
        let now = self.scene.now();
        for index in profiles {
            // In the order of the configuration, other than the plan's.
            let found = report.binary_search_by_key(&index.0, |(index, _)| *index);
            let became = found.ok().and_then(|place| report.get(place));
            let verdict = match became.map_or(Err(&whole), |(_, became)| became.as_ref()) {
                Ok(standing) => self.published(*index, standing),
                Err((told, expiration)) => {
                    self.verdicts.failing(index.0, &told.message, told.advice.as_deref());
                    Verdict::Failed { pace: told.pace, expiration: *expiration, wish: told.wish }
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
        let status = self.verdicts.in_words(&self.scene.roster.members, self.serving.trouble());
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
        outside.notifier.reloading(self.scene.ground.clock.uptime());
        match self.adopt(load, outside) {
            Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
            Ok(ControlFlow::Continue(())) => {
                info!("the configuration was read again");
                if self.serving.is_due(self.scene.ground.clock.uptime()) && self.serve(outside)?.is_break() {
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
        let (ground, anchor) = (self.scene.ground.clone(), self.scene.anchor.clone());
        let asked = &mut self.asked_to_reload;
        let read = match &self.scene.place {
            Place::Within(_) => read_anyhow(&ground, anchor, load, outside, self.is_ready, asked)?,
            Place::Apart(_) => read_apart(ground, anchor, outside, self.is_ready, asked)?,
        };
        let Some(scene) = read else { return Ok(ControlFlow::Break(())) };
        let (from, to) = (&self.scene.roster.output_dir, &scene.roster.output_dir);
        if from != to {
            return Err(Error::OutputMoved { from: from.clone(), to: to.clone() });
        }
        let standings = match outside.attend(scene.start(Work::Look)?, self.is_ready)? {
            Attended::Stop => return Ok(ControlFlow::Break(())),
            Attended::Ended(done, asked_to_reload) => {
                self.asked_to_reload |= asked_to_reload;
                standings(done)?.0
            }
        };
        self.carry_over(scene, standings);
        Ok(ControlFlow::Continue(()))
    }

    fn carry_over(&mut self, scene: Scene, standings: Standings) {
        let old = self.scene.roster.members.iter().enumerate();
        let before: HashMap<&str, ProfileIndex> =
            old.map(|(index, old)| (old.name.as_str(), ProfileIndex(index))).collect();
        let carry = |(member, (known, ..)): (&Member, &(Known, u64, Option<Held>))| Carried {
            before: before.get(member.name.as_str()).copied(),
            known: *known,
        };
        let carried: Vec<Carried> = scene.roster.members.iter().zip(&standings).map(carry).collect();
        self.verdicts.carry(&carried);
        self.plan.reload(carried, &scene.now());
        self.generations = standings.into_iter().map(|(_, generation, _)| generation).collect();
        self.scene = scene;
        self.look_at_serving();
        self.look_for_hooks();
    }

    fn look_at_serving(&mut self) {
        self.serving.look(self.scene.roster.serve, &self.scene.roster.output_dir);
    }

    fn look_for_hooks(&mut self) {
        self.hooks.look(&self.scene.roster, self.scene.ground.clock.uptime());
    }
}
