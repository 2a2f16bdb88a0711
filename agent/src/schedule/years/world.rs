//! The host of the simulation, its clocks, and what befalls them.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::profile::{MINUTE, Profile, SECOND, Trouble, pick};
use crate::disposition::Disposition;
use crate::retry::Jitter;
use crate::schedule::{Carried, Fraction, Known, Lifetime, Now, Outcome, Plan, ProfileIndex, Step};

const START: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);
const HOUR: i64 = 60 * MINUTE;
const PROFILES: usize = 12;
/// A service refuses signatures that are further from its own time, and so tells the offset.
const REFUSED_SKEW: i64 = 4 * MINUTE;
/// A clock that is set by less during a refresh goes unnoticed.
const SMALL_STEP: i64 = MINUTE;
/// Refreshing a batch takes less, so does whatever else is not the plan's.
const BATCH: i64 = 8 * SECOND;

/// How the host learns the offset of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learning {
    /// From every answer of IMDS.
    FromImds,
    /// From refused signatures only.
    FromRefusals,
}

/// How often what happened.
#[derive(Debug, Default)]
struct Events {
    tries: u32,
    steps: u32,
    suspends: u32,
    outages: u32,
    troubles: u32,
    reloads: u32,
}

#[derive(Debug)]
pub(super) struct World {
    random: Jitter,
    learning: Learning,
    plan: Plan,
    profiles: Vec<Profile>,
    /// Milliseconds of AWS's time since the start.
    truth: i64,
    boot: i64,
    /// How far the wall clock is ahead of the truth, and how far it is thought to be behind.
    wall_error: i64,
    offset: i64,
    outage_end: i64,
    last_step: i64,
    events: Events,
}

#[expect(clippy::arithmetic_side_effects, reason = "milliseconds of a few years")]
impl World {
    pub(super) fn new(seed: u64, learning: Learning) -> Self {
        let random = Jitter::new(seed);
        let plan = Plan::new(seed, &Now { boot: Duration::ZERO, wall: START, offset: time::Duration::ZERO });
        let profiles: Vec<_> = (0..PROFILES).map(|index| Profile::new(index, &random)).collect();
        let (truth, boot, wall_error, offset, outage_end) = (0, 0, 0, 0, 0);
        let events = Events::default();
        let last_step = -HOUR;
        let mut world = Self {
            random,
            learning,
            plan,
            profiles,
            truth,
            boot,
            wall_error,
            offset,
            outage_end,
            last_step,
            events,
        };
        let now = world.now();
        for _ in 0..PROFILES {
            world.plan.add(Known::Nothing, &now);
        }
        world
    }

    pub(super) fn live(mut self, length: i64) -> Self {
        while self.truth < length {
            match self.plan.next(&self.now()) {
                Step::Refresh(batch) => {
                    for profile in batch {
                        self.refresh(profile.0);
                    }
                }
                Step::Wait(wait) => {
                    let wait = i64::try_from(wait.as_millis()).unwrap();
                    assert!((1..=40 * SECOND).contains(&wait), "a wait of {wait} ms");
                    self.pass(wait);
                    self.befall();
                }
            }
            self.judge();
        }
        self
    }

    pub(super) fn assert_eventful(&self) {
        let Events { tries, steps, suspends, outages, troubles, reloads } = self.events;
        let least = steps.min(suspends).min(outages).min(troubles).min(reloads);
        assert!(least > 20 && tries > 10_000, "{:?}", self.events);
    }

    fn now(&self) -> Now {
        let wall = START.saturating_add(time::Duration::milliseconds(self.truth + self.wall_error));
        let boot = Duration::from_millis(u64::try_from(self.boot).unwrap());
        Now { boot, wall, offset: time::Duration::milliseconds(self.offset) }
    }

    fn believed(&self) -> i64 {
        self.truth + self.wall_error + self.offset
    }

    fn pass(&mut self, milliseconds: i64) {
        self.truth += milliseconds;
        self.boot += milliseconds;
        // A cheap oscillator.
        self.wall_error += milliseconds / 20_000;
    }

    fn one_in(&self, times: u64) -> bool {
        self.random.up_to(times - 1) == 0
    }

    fn between(&self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.random.up_to(u64::try_from(most - least).unwrap())).unwrap()
    }

    /// No file has less life than promised, and nobody waits longer than promised.
    fn judge(&self) {
        for profile in &self.profiles {
            let Some(end) = profile.published else { continue };
            let skew = match self.learning {
                Learning::FromImds => SMALL_STEP,
                Learning::FromRefusals => SMALL_STEP + REFUSED_SKEW,
            };
            let (left, promise) = (end - self.truth, profile.promise(skew));
            assert!(
                left >= promise - BATCH || self.truth < profile.grace,
                "{left} ms left of {promise}: {profile:?} {self:?}"
            );
            assert!(profile.must_by.is_none_or(|by| self.boot <= by + BATCH), "{profile:?} {self:?}");
        }
    }

    fn refresh(&mut self, index: usize) {
        self.events.tries += 1;
        let profile = &mut self.profiles[index];
        let waited = self.boot - profile.tried;
        if let Some(allowed) = profile.allowed.take() {
            let (least, most) = allowed.into_inner();
            assert!(waited >= least && waited <= most.saturating_add(BATCH), "{waited}: {least} {profile:?}");
        }
        profile.must_by = None;
        let duration = self.between(50, 300);
        self.pass(duration);
        let trouble = if self.truth < self.outage_end {
            Some(Trouble::Failing([Disposition::Retry, Disposition::Local][pick(&self.random, 2)]))
        } else {
            let skew = self.wall_error + self.offset;
            if self.learning == Learning::FromImds || skew.abs() > REFUSED_SKEW {
                self.learn();
            }
            self.profiles[index].trouble
        };
        if self.one_in(3000) {
            self.step();
        }
        match trouble {
            Some(trouble) => self.fail(index, trouble),
            None => self.publish(index),
        }
        self.profiles[index].tried = self.boot;
    }

    /// An offset that changes moves the due times of everybody.
    fn learn(&mut self) {
        if (self.wall_error + self.offset).abs() > SECOND {
            self.profiles.iter_mut().filter(|profile| profile.is_fresh()).for_each(Profile::excuse);
        }
        self.offset = -self.wall_error;
    }

    fn publish(&mut self, index: usize) {
        let (now, believed) = (self.now(), self.believed());
        let profile = &mut self.profiles[index];
        profile.generation += 1;
        let end = self.truth + profile.lifetime;
        let at = |milliseconds| START.saturating_add(time::Duration::milliseconds(milliseconds));
        let jitter = Fraction::keyed(b"host", &profile.name, profile.generation);
        let lifetime = Lifetime { issued: at(believed), expiration: at(end) };
        let due = lifetime.due(&profile.settings, jitter);
        self.plan.record(ProfileIndex(index), Outcome::Published { due: Some(due) }, &now);
        let wait = i64::try_from((due - at(believed)).whole_milliseconds()).unwrap();
        if wait < SECOND {
            profile.fail(Trouble::Failing(Disposition::Retry), 0);
            profile.grace = i64::MAX;
        } else {
            profile.succeed(end, wait);
            profile.grace = 0;
        }
        profile.due = Some(believed + wait);
        if self.boot - self.last_step < 10 * MINUTE {
            profile.excuse();
            profile.grace = profile.grace.max(self.truth + 12 * MINUTE);
        }
    }

    fn fail(&mut self, index: usize, trouble: Trouble) {
        let (now, believed) = (self.now(), self.believed());
        let profile = &mut self.profiles[index];
        let at = |milliseconds| START.saturating_add(time::Duration::milliseconds(milliseconds));
        let expiration = profile.published.map(at);
        let outcome = match trouble {
            Trouble::Failing(pace) => Outcome::Failed { pace, expiration, wish: Duration::ZERO },
            Trouble::Stale => Outcome::Extended,
        };
        self.plan.record(ProfileIndex(index), outcome, &now);
        profile.fail(trouble, profile.published.map_or(0, |end| end - believed));
        profile.must_by = None;
        // Until it succeeds again; the longest wait after the trouble has gone is held by `allowed`.
        profile.grace = i64::MAX;
    }

    /// Something happens between two looks at the clocks, seldom.
    fn befall(&mut self) {
        if self.one_in(3000) {
            self.step();
        }
        if self.one_in(2000) {
            self.suspend();
        }
        if self.one_in(2000) {
            self.events.outages += 1;
            self.outage_end = self.truth + self.between(MINUTE, 2 * HOUR);
        }
        if self.one_in(400) {
            self.events.troubles += 1;
            let index = pick(&self.random, PROFILES);
            self.profiles[index].trouble = match pick(&self.random, 12) {
                0 => Some(Trouble::Failing(Disposition::Misconfigured)),
                1..=3 => Some(Trouble::Failing(Disposition::Refused)),
                4 => Some(Trouble::Failing(Disposition::Broken)),
                5 => Some(Trouble::Stale),
                _ => None,
            };
        }
        if self.one_in(1500) {
            self.reload();
        }
    }

    fn step(&mut self) {
        self.events.steps += 1;
        let size = if self.one_in(3) { self.between(1, 10 * MINUTE) } else { self.between(HOUR, 30 * HOUR) };
        // The clock goes wrong, or right again.
        let target = if self.one_in(2) { 0 } else { size };
        let before = self.wall_error;
        self.wall_error = if self.one_in(2) { target } else { -target };
        let size = (self.wall_error - before).abs();
        let alone = self.boot - self.last_step > 20 * MINUTE;
        if size > SECOND {
            self.profiles.iter_mut().filter(|profile| profile.is_fresh()).for_each(Profile::excuse);
        }
        if size > SMALL_STEP {
            self.last_step = self.boot;
            let by = self.boot + MINUTE;
            for profile in self.profiles.iter_mut().filter(|profile| alone && profile.is_fresh()) {
                profile.must_by = Some(profile.must_by.map_or(by, |earlier| earlier.min(by)));
            }
        }
    }

    /// The host sleeps; BOOTTIME counts it, but on a machine that was restored from a snapshot.
    fn suspend(&mut self) {
        self.events.suspends += 1;
        let asleep = self.between(MINUTE, 10 * HOUR);
        self.truth += asleep;
        let restored = self.one_in(6);
        if restored {
            if asleep > SMALL_STEP {
                self.last_step = self.boot;
            }
        } else {
            self.boot += asleep;
        }
        // A timer that stops meanwhile goes on for the rest of its time.
        let rest = self.between(0, 40 * SECOND);
        self.pass(rest);
        for profile in &mut self.profiles {
            profile.grace = profile.grace.max(self.truth + MINUTE);
            profile.must_by = None;
            profile.excuse_lateness();
            if restored && profile.is_fresh() {
                profile.excuse();
            }
        }
    }

    fn reload(&mut self) {
        self.events.reloads += 1;
        let now = self.now();
        let carried: Vec<_> = (0..PROFILES)
            .map(|index| {
                let changed = self.one_in(5);
                let profile = &mut self.profiles[index];
                let matching = profile.published.is_some() && !changed;
                let at = |milliseconds| START.saturating_add(time::Duration::milliseconds(milliseconds));
                let known = if matching {
                    Known::Published { issued: START, due: profile.due.map(at) }
                } else {
                    Known::Nothing
                };
                if !matching || profile.waits_for_others() {
                    profile.start_anew();
                    profile.must_by = Some(self.boot + MINUTE);
                }
                Carried { before: Some(ProfileIndex(index)), known }
            })
            .collect();
        self.plan.reload(carried, &now);
    }
}
