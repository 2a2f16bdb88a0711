//! The hosts, each with its own plan, and an STS that answers or does not. Hosts do not know of each other, so each
//! lives through the whole story before the next one does; only the requests of all are counted together.

use std::ops::Range;
use std::time::Duration;

use rolekeeper::config::model::RefreshSettings;
use rolekeeper::disposition::Disposition;
use rolekeeper::retry::{Backoff, Jitter};
use rolekeeper::schedule::{Carried, Fraction, Known, Lifetime, Now, Outcome, Plan, ProfileIndex, Step};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::rates::Rates;

pub(crate) const HOSTS: u64 = 100_000;
/// All hosts boot within so many milliseconds.
pub(crate) const BOOT: u64 = 60_000;
const SESSION: Duration = Duration::from_secs(3600);

const START: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);
const SETTINGS: RefreshSettings = RefreshSettings { after_percent: 50, margin: Duration::from_secs(1200) };

/// The attempts within one refresh, as the agent makes them when STS answers 503. It answers at once here, which is
/// the worst for the rates: a service that is slow to fail slows its callers down.
const ATTEMPTS: Backoff =
    Backoff { attempts: 3, first: Duration::from_millis(500), cap: Duration::from_secs(5) };

/// A daemon looks at its plan this often at least, in milliseconds.
const LOOKS: u64 = 40_000;

/// What happens to the fleet, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// The end.
    pub(crate) end: u64,
    /// STS answers nothing but errors.
    pub(crate) outage: Range<u64>,
    /// Every host gets another configuration, in the same millisecond.
    pub(crate) reload: Option<u64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Course {
    /// The requests to STS.
    pub(crate) rates: Rates,
    /// The least life that published credentials had left, ever.
    pub(crate) least_life: Duration,
}

struct Host<'a> {
    story: &'a Story,
    course: &'a mut Course,
    /// Spreads the attempts within a refresh.
    jitter: Jitter,
    key: [u8; 8],
    plan: Plan,
    generation: u64,
    expiration: Option<u64>,
}

/// Lets the fleet live through `story`.
pub(crate) fn simulate(story: &Story) -> Course {
    let rates = Rates::new(usize::try_from(story.end.div_ceil(1000)).unwrap());
    let mut course = Course { rates, least_life: SESSION };
    let seeds = Jitter::new(2026);
    for _ in 0..HOSTS {
        let boot = seeds.up_to(BOOT.saturating_sub(1));
        let now = clocks(boot);
        let mut plan = Plan::new(seeds.up_to(u64::MAX), &now);
        plan.add(Known::Nothing, &now);
        let key = seeds.up_to(u64::MAX).to_be_bytes();
        let jitter = Jitter::new(seeds.up_to(u64::MAX));
        let course = &mut course;
        Host { story, course, jitter, key, plan, generation: 0, expiration: None }.live(boot);
    }
    course
}

impl Host<'_> {
    /// The loop of the daemon, from the boot to the end of the story.
    fn live(&mut self, boot: u64) {
        let mut at = boot;
        let mut reload = self.story.reload;
        while at < self.story.end {
            if let Some(due) = reload.take_if(|due| *due <= at) {
                at = due;
                let changed = Carried { before: Some(ProfileIndex(0)), known: Known::Nothing };
                self.plan.reload([changed], &clocks(at));
            }
            let now = clocks(at);
            match self.plan.next(&now) {
                Step::Refresh(_) => at = self.refresh(at),
                Step::Wait(_) => {
                    // Of these looks only the last before the due time is made: the others
                    // find nothing.
                    let due = self.plan.next_due(&now).unwrap();
                    let due = u64::try_from(due.as_millis()).unwrap();
                    let last_look = due.saturating_sub(LOOKS);
                    let next = if last_look > at { last_look } else { due };
                    at = reload.map_or(next, |reload| next.min(reload));
                }
            }
        }
    }

    /// One refresh with its attempts; tells when it ended.
    fn refresh(&mut self, start: u64) -> u64 {
        let mut at = start;
        let mut attempt = 1;
        loop {
            self.course.rates.count(at);
            if !self.story.outage.contains(&at) {
                self.publish(at);
                return at;
            }
            let Some(wait) = ATTEMPTS.after(attempt, &self.jitter) else {
                self.plan.record(
                    ProfileIndex(0),
                    Outcome::Failed { pace: Disposition::Retry, expiration: None, wish: Duration::ZERO },
                    &clocks(at),
                );
                return at;
            };
            at = later(at, wait);
            attempt = attempt.saturating_add(1);
        }
    }

    fn publish(&mut self, at: u64) {
        if let Some(expiration) = self.expiration {
            let left = Duration::from_millis(expiration.saturating_sub(at));
            self.course.least_life = self.course.least_life.min(left);
        }
        self.generation = self.generation.saturating_add(1);
        self.expiration = Some(later(at, SESSION));
        let now = clocks(at);
        let jitter = Fraction::keyed(&self.key, "instancecrossaccount", self.generation);
        let expiration = now.wall.saturating_add(SESSION.try_into().unwrap());
        let due = Lifetime { issued: now.wall, expiration }.due(&SETTINGS, jitter);
        self.plan.record(ProfileIndex(0), Outcome::Published { due: Some(due) }, &now);
    }
}

fn clocks(at: u64) -> Now {
    let wall = START.saturating_add(time::Duration::milliseconds(at.try_into().unwrap()));
    Now { boot: Duration::from_millis(at), wall, offset: time::Duration::ZERO }
}

fn later(at: u64, wait: Duration) -> u64 {
    at.saturating_add(u64::try_from(wait.as_millis()).unwrap())
}
