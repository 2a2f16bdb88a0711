//! What happens to the world, and when: thrown by the dice before the run begins, so that a seed tells the same story
//! again.

use std::time::Duration;

use fake_aws::{Action, Fault, Kind};
use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::options::{Dice, Options};
use crate::stage::{ROLES, Stage, allow};
use crate::watch::Watch;
use crate::weather::{Scope, Weather};

/// A service that can misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Imds,
    Sts,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Misbehave(Service, Fault),
    Slow(Service, Duration),
    Heal(Service),
    Deny(usize),
    /// Allows it, and says so to the daemons with SIGHUP, as an operator does who has mended a policy.
    Allow(usize),
    Reload,
    Kill,
    Restart,
    SpoilHooks,
    MendHooks,
    /// New base credentials on the next fetch.
    RotateBase,
}

/// A deed and its time.
pub(crate) type Timed = (Duration, Deed);

/// Runs of so many seconds have two minutes of good weather whose memory is compared.
pub(crate) const JUDGED: u64 = 240;

const SECOND: Duration = Duration::from_secs(1);

/// The times of bad weather: never in the second minute nor in the last, which are compared with each other, and so
/// long before the end that everything can be fresh again.
fn storms(options: &Options, dice: &mut Dice) -> Vec<(Duration, Duration)> {
    let end = options.time();
    if options.seconds < JUDGED {
        let start = end / 4;
        return vec![(start, start + end / 4)];
    }
    let mut storms = vec![(8 * SECOND, 40 * SECOND)];
    let mut at = 125 * SECOND;
    // The last storm, the longest batch, the longest wait, and the last minute.
    let last = end.saturating_sub(175 * SECOND);
    while at < last {
        let until = (at + dice.milliseconds(20_000, 50_000)).min(last);
        storms.push((at, until));
        at = until + dice.milliseconds(25_000, 75_000);
    }
    storms
}

/// Everything that will happen, in order.
pub(crate) fn timeline(options: &Options) -> Vec<Timed> {
    let mut dice = Dice::new(options.seed);
    let mut deeds = Vec::new();
    // A short storm has to be a dense one.
    let rarest = if options.seconds < JUDGED { 800 } else { 5_000 };
    for (from, until) in storms(options, &mut dice) {
        let mut at = from;
        while at < until {
            let longest = u64::try_from((until - at).as_millis()).unwrap().clamp(600, 12_000);
            let end = at + dice.milliseconds(500, longest);
            fault(&mut deeds, &mut dice, at, end);
            at += dice.milliseconds(200, rarest);
        }
    }
    // What may happen at any time, and excuses nothing but what it does itself.
    let mut at = 3 * SECOND;
    while at + 5 * SECOND < options.time() {
        match dice.between(0, 6) {
            0 | 1 => {
                deeds.push((at, Deed::Kill));
                deeds.push((at + dice.milliseconds(0, 1500), Deed::Restart));
            }
            2 => deeds.push((at, Deed::Reload)),
            3 => deeds.push((at, Deed::RotateBase)),
            _ => {
                deeds.push((at, Deed::SpoilHooks));
                deeds.push((at + dice.milliseconds(500, 2_000), Deed::MendHooks));
            }
        }
        at += dice.milliseconds(2_000, 8_000);
    }
    // A reload builds the new configuration while the old one is there, and leaves holes in the heap that a dozen more
    // of them fill. Memory is flat after that, so they come before it is judged.
    let is_judged = options.seconds >= JUDGED;
    deeds.extend((3..28).filter(|_| is_judged).map(|number| (2 * number * SECOND, Deed::Reload)));
    deeds.sort_by_key(|(at, _)| *at);
    deeds
}

/// One fault from `at` until `end`.
fn fault(deeds: &mut Vec<Timed>, dice: &mut Dice, at: Duration, end: Duration) {
    if dice.between(0, 8) == 0 {
        let role = usize::try_from(dice.between(0, ROLES.try_into().unwrap())).unwrap();
        deeds.extend([(at, Deed::Deny(role)), (end, Deed::Allow(role))]);
        return;
    }
    let service = *dice.pick(&[Service::Imds, Service::Sts, Service::Sts]);
    let some = u32::try_from(dice.between(1, 30)).unwrap();
    let throttled = |retry_after_ms| {
        let code = "Throttling".to_owned();
        Fault::new(Action::Error { status: 400, code, retry_after_ms })
    };
    let faults = match service {
        Service::Imds => [
            Fault::new(Action::status(503)),
            Fault::new(Action::status(500)).times(some),
            Fault::new(Action::status(404)),
            Fault::new(Action::status(404)).on(Kind::Token),
            Fault::new(Action::ResetBefore).times(some),
            Fault::new(Action::ResetMidway).times(some),
            Fault::new(Action::Hang).times(some % 3 + 1),
        ],
        Service::Sts => [
            throttled(None).times(some),
            throttled(Some(dice.between(100, 5_000))).times(some),
            Fault::new(Action::error(503, "ServiceUnavailable")),
            Fault::new(Action::error(500, "InternalFailure")).times(some),
            Fault::new(Action::ResetBefore),
            Fault::new(Action::ResetMidway).times(some),
            Fault::new(Action::Hang).times(some % 3 + 1),
        ],
    };
    let deed = match dice.between(0, 8) {
        0 => Deed::Slow(service, dice.milliseconds(50, 1_500)),
        _ => Deed::Misbehave(service, dice.pick(&faults).clone()),
    };
    deeds.extend([(at, deed), (end, Deed::Heal(service))]);
}

/// Carries out deeds.
#[derive(Debug)]
pub(crate) struct Fate<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) steady: &'a Daemon,
    pub(crate) victim: &'a Daemon,
    pub(crate) weather: &'a Weather,
    pub(crate) watch: &'a Watch,
    /// Faults in force, for each service.
    pub(crate) faults: [usize; 2],
    pub(crate) denied: [usize; ROLES],
    pub(crate) kills: usize,
    pub(crate) reloads: usize,
}

impl<'a> Fate<'a> {
    pub(crate) fn new(
        stage: &'a Stage,
        (steady, victim): (&'a Daemon, &'a Daemon),
        weather: &'a Weather,
        watch: &'a Watch,
    ) -> Self {
        Self {
            stage,
            steady,
            victim,
            weather,
            watch,
            faults: [0; 2],
            denied: [0; ROLES],
            kills: 0,
            reloads: 0,
        }
    }

    /// Carries out `deeds`, each at its time.
    pub(crate) fn take_its_course(&mut self, deeds: &[Timed]) {
        for (at, deed) in deeds {
            self.watch.wait_until(*at);
            self.carry_out(deed);
        }
    }

    fn carry_out(&mut self, deed: &Deed) {
        let fake = &self.stage.fake;
        match deed {
            Deed::Misbehave(service, fault) => {
                self.begin(*service);
                match service {
                    Service::Imds => fake.imds().fail(fault.clone()),
                    Service::Sts => fake.sts().fail(fault.clone()),
                }
            }
            Deed::Slow(service, delay) => {
                self.begin(*service);
                self.delay(*service, *delay);
            }
            Deed::Heal(service) => self.heal(*service),
            Deed::Deny(role) => {
                self.denied[*role] += 1;
                self.weather.begin(Scope::Role(*role));
                allow(fake, *role, false);
            }
            Deed::Allow(role) => {
                self.denied[*role] -= 1;
                if self.denied[*role] == 0 {
                    allow(fake, *role, true);
                    self.reload();
                    self.weather.end(Scope::Role(*role), self.watch.now());
                }
            }
            Deed::Reload => self.reload(),
            // A second death before the first restart is none.
            Deed::Kill if self.victim.is_running() => {
                self.kills += 1;
                self.weather.begin(Scope::Victim);
                self.victim.kill();
            }
            Deed::Restart if !self.victim.is_running() => {
                self.victim.restart(self.stage);
                self.weather.end(Scope::Victim, self.watch.now());
            }
            Deed::Kill | Deed::Restart => {}
            Deed::SpoilHooks => self.stage.write(&self.stage.spoiler(), ""),
            Deed::MendHooks => drop(std::fs::remove_file(self.stage.spoiler())),
            Deed::RotateBase => fake.imds().rotate(),
        }
    }

    fn begin(&mut self, service: Service) {
        if self.faults == [0; 2] {
            self.weather.begin(Scope::Everybody);
        }
        self.faults[service as usize] += 1;
    }

    /// The service is well again when its last fault has ended.
    fn heal(&mut self, service: Service) {
        self.faults[service as usize] -= 1;
        if self.faults[service as usize] == 0 {
            match service {
                Service::Imds => self.stage.fake.imds().heal(),
                Service::Sts => self.stage.fake.sts().heal(),
            }
            self.delay(service, Duration::ZERO);
        }
        if self.faults == [0; 2] {
            self.weather.end(Scope::Everybody, self.watch.now());
        }
    }

    fn delay(&self, service: Service, delay: Duration) {
        match service {
            Service::Imds => self.stage.fake.imds().delay(delay),
            Service::Sts => self.stage.fake.sts().delay(delay),
        }
    }

    fn reload(&mut self) {
        self.reloads += 1;
        for daemon in [self.steady, self.victim] {
            if daemon.is_running() {
                daemon.signal(Signal::SIGHUP);
            }
        }
    }
}
