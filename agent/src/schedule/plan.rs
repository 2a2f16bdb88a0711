//! The plan of the daemon: which profiles are due at a moment, what their outcomes mean for the next time, and how
//! long the loop may sleep. The loop obeys; it reads the clocks, refreshes and waits.

use std::time::Duration;

use time::OffsetDateTime;

use super::backoff::{Pace, granted};
use super::moment::{Moment, Now, Passage, unix_milliseconds};
use super::slot::Slot;
use crate::disposition::Disposition;
use crate::retry::Jitter;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

/// The clocks are looked at this often at least.
const LONGEST_SLEEP: u64 = 40 * SECOND;

/// What is in doubt after a clock step, and what is overdue after a suspend, is spread over this time: a fleet may
/// see either at once. With the sleep in which it happened it makes less than the minute that is promised.
const SPREAD_AFTER_STEP: u64 = 15 * SECOND;

/// A reload is spread over this time: short enough for the person who changed a configuration and watches; long
/// enough that a fleet makes no more than twice the requests per second that it makes when it boots within a minute.
const SPREAD_AFTER_RELOAD: u64 = 30 * SECOND;

/// A clock that keeps jumping leads to one round of refreshes in this time, after a few that come at once: a resume
/// may well set the clock twice.
const BETWEEN_STEPS: u64 = 10 * MINUTE;
const STEPS_AT_ONCE: u64 = 4;

/// How far before their time of issue credentials may be met: more, and the clock was wrong then or is wrong now.
const TOLERANCE: i64 = 5 * 60 * 1000;

/// When the instance's credentials were extended because IMDS had only expired ones, IMDS is asked again after five
/// to fifteen minutes, as the AWS SDKs do.
const EXTENDED_SHORTEST: u64 = 5 * MINUTE;
const EXTENDED_LONGEST: u64 = 15 * MINUTE;

/// The place of a profile in the order in which the plan was given them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileIndex(pub usize);

/// What is published for a profile, as far as it matches the configuration.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// Nothing, or something that does not match.
    Nothing,
    /// Credentials.
    Published {
        /// When they were issued, in true time.
        issued: OffsetDateTime,
        /// When they are due, in true time, jitter included; long-term keys never are.
        due: Option<OffsetDateTime>,
    },
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// Credentials are published, new ones or those of another process.
    Published {
        /// When they are due, in true time, jitter included; long-term keys never are.
        due: Option<OffsetDateTime>,
    },
    /// IMDS had only expired credentials, which are published with an extended expiration.
    Extended,
    /// Nothing was published.
    Failed {
        /// Why.
        pace: Disposition,
        /// When what is published expires.
        expiration: Option<OffsetDateTime>,
        /// How long the service wants to be left alone.
        wish: Duration,
    },
}

/// A profile of a configuration that was loaded again.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Its place in the configuration before, where it was there.
    pub before: Option<ProfileIndex>,
    /// What is published for it.
    pub known: Known,
}

/// What the loop does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Refresh these, the most urgent first, whether or not their state files call them fresh, and record an outcome
    /// for each.
    Refresh(Vec<ProfileIndex>),
    /// Wait so long, or for a signal, and ask again.
    Wait(Duration),
}

/// When each profile is due.
#[derive(Debug)]
pub struct Plan {
    slots: Vec<Slot>,
    jitter: Jitter,
    /// Where the host's own grid of retries begins.
    phase: u64,
    seen: Moment,
    /// When the profiles are refreshed because of the last clock step.
    step_round: u64,
    /// Until when the steps so far would last, if they came at even distances.
    steps_last_until: u64,
}

impl Plan {
    /// A plan without profiles. `seed` differs from host to host and spreads their retries.
    #[must_use]
    pub fn new(seed: u64, now: &Now) -> Self {
        let jitter = Jitter::new(seed);
        // Far below the largest number, so that sums with instants stay exact.
        let phase = jitter.up_to(u64::from(u32::MAX));
        Self { slots: Vec::new(), jitter, phase, seen: Moment::of(now), step_round: 0, steps_last_until: 0 }
    }

    /// Adds a profile at start: due at once, unless what is published for it is fresh.
    pub fn add(&mut self, known: Known, now: &Now) -> ProfileIndex {
        let at = self.observe(now);
        let index = ProfileIndex(self.slots.len());
        self.slots.push(loaded(known, &at).unwrap_or(Slot::wanting(at.boot)));
        index
    }

    /// Learns at start that other processes met with `refusals` of this kind in a row, and that nobody asks again before
    /// `until`, in true time. Where what is published is fresh it changes nothing.
    pub fn hold(
        &mut self,
        profile: ProfileIndex,
        pace: Disposition,
        refusals: u64,
        until: OffsetDateTime,
        now: &Now,
    ) {
        let at = self.observe(now);
        let Some(slot) = self.slots.get_mut(profile.0).filter(|slot| slot.is_due(&at)) else { return };
        let refusals = u8::try_from(refusals).unwrap_or(u8::MAX);
        let pace = Pace::after(pace).unwrap_or(Pace::Slow);
        slot.hold(pace, refusals, at.boot.saturating_add(at.until(until)));
    }

    /// What to do at `now`.
    ///
    /// Profiles that are returned are under way until [`Plan::record`] is told their outcome.
    pub fn next(&mut self, now: &Now) -> Step {
        let at = self.observe(now);
        if !self.slots.iter().any(|slot| slot.is_due(&at)) {
            return Step::Wait(Duration::from_millis(self.sleep(&at)));
        }
        let mut batch: Vec<_> = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.may_join(&at) {
                batch.push((slot.remaining(&at), index));
                slot.start();
            }
        }
        batch.sort_unstable();
        Step::Refresh(batch.into_iter().map(|(_, index)| ProfileIndex(index)).collect())
    }

    /// Learns the outcome of a refresh that ended at `now`, whose offset is the one known after the refresh.
    pub fn record(&mut self, profile: ProfileIndex, outcome: Outcome, now: &Now) {
        let at = self.observe(now);
        let (jitter, phase) = (&self.jitter, self.phase);
        let Some(slot) = self.slots.get_mut(profile.0) else { return };
        let retry = |slot: &mut Slot, pace: Pace, life: u64, wish: Duration| {
            let failures = slot.count(pace);
            // The wait of our own begins where the service's wish ends, or all that heard the same would come at once.
            let from = at.boot.saturating_add(granted(wish, life));
            slot.retry_at(pace.next_try(failures, life, from, phase, jitter));
        };
        match outcome {
            Outcome::Published { due: Some(due) }
                if unix_milliseconds(due) < at.true_time.saturating_add_unsigned(SECOND) =>
            {
                // Credentials that are due as soon as they are there: a clock that nobody could correct, or a source
                // that has run dry. Asking again at once would never end.
                retry(slot, Pace::Fast, 0, Duration::ZERO);
            }
            Outcome::Published { due } => {
                *slot = Slot::fresh(due.map(unix_milliseconds), &at);
                // The clock was set during the refresh: the due time may come from either side of the step.
                if self.step_round > at.boot {
                    slot.hasten(self.step_round);
                }
            }
            Outcome::Extended => {
                let spread = jitter.up_to(EXTENDED_LONGEST.saturating_sub(EXTENDED_SHORTEST));
                let wait = EXTENDED_SHORTEST.saturating_add(spread);
                *slot = Slot::wanting(at.boot.saturating_add(wait));
            }
            Outcome::Failed { pace, expiration, wish } => match Pace::after(pace) {
                Some(pace) => retry(slot, pace, expiration.map_or(0, |end| at.until(end)), wish),
                None => slot.park(),
            },
        }
    }

    /// Replaces the profiles by those of a configuration that was loaded again, between two batches; their indices
    /// are their places in `profiles`.
    ///
    /// What matches keeps its due time, unless other settings have moved it. What does not match is due within half a minute, one instant for the
    /// host; so is what was refused or misconfigured, because a reload is how somebody says that it was mended.
    pub fn reload(&mut self, profiles: impl IntoIterator<Item = Carried>, now: &Now) {
        let at = self.observe(now);
        let soon = self.soon(&at, SPREAD_AFTER_RELOAD);
        let before = std::mem::take(&mut self.slots);
        let carry = |carried: Carried| {
            let standing = carried.before.and_then(|index| before.get(index.0));
            match (carried.known, standing) {
                (Known::Nothing, _) => Slot::wanting(soon),
                (known @ Known::Published { .. }, None) => loaded(known, &at).unwrap_or(Slot::wanting(soon)),
                (known @ Known::Published { due, .. }, Some(slot)) if slot.survives_reload() => {
                    if slot.misses(due.map(unix_milliseconds)) {
                        loaded(known, &at).unwrap_or(Slot::wanting(soon))
                    } else {
                        *slot
                    }
                }
                (Known::Published { .. }, Some(_)) => Slot::wanting(soon),
            }
        };
        self.slots = profiles.into_iter().map(carry).collect();
    }

    /// The BOOTTIME at which the next profile is due, as far as that is known at `now`; `None` where none will be.
    #[must_use]
    pub fn next_due(&self, now: &Now) -> Option<Duration> {
        let at = Moment::of(now);
        let remaining = self.slots.iter().filter_map(|slot| slot.remaining(&at)).min()?;
        Some(Duration::from_millis(at.boot.saturating_add(remaining)))
    }

    /// Looks at the clocks and draws the conclusions.
    fn observe(&mut self, now: &Now) -> Moment {
        let at = Moment::of(now);
        let passage = at.since(&self.seen);
        self.seen = at;
        match passage {
            Passage::Ordinary => {}
            Passage::Suspended => {
                let soon = self.soon(&at, SPREAD_AFTER_STEP);
                self.slots.iter_mut().for_each(|slot| slot.postpone(soon, &at));
            }
            // Which of the two readings was right cannot be known here, and neither can the true time until a
            // service has answered: credentials that are counted by the wrong one may end at any time.
            Passage::Stepped => {
                let soon = self.soon(&at, SPREAD_AFTER_STEP);
                if self.step_round <= at.boot {
                    let at_once = BETWEEN_STEPS.saturating_mul(STEPS_AT_ONCE.saturating_sub(1));
                    self.step_round = soon.max(self.steps_last_until.saturating_sub(at_once));
                    self.steps_last_until = self.steps_last_until.max(at.boot).saturating_add(BETWEEN_STEPS);
                }
                for slot in &mut self.slots {
                    slot.postpone(soon, &at);
                    slot.hasten(self.step_round);
                }
            }
        }
        at
    }

    /// An instant within `spread`, another one for each host and event.
    fn soon(&self, at: &Moment, spread: u64) -> u64 {
        at.boot.saturating_add(self.jitter.up_to(spread))
    }

    /// Milliseconds until the clocks are looked at again: sleeps of like length up to the next due time, not long ones and
    /// one of an instant.
    fn sleep(&self, at: &Moment) -> u64 {
        let remaining = self.slots.iter().filter_map(|slot| slot.remaining(at)).min().unwrap_or(u64::MAX);
        remaining.checked_div(remaining.div_ceil(LONGEST_SLEEP)).unwrap_or(0)
    }
}

/// The slot of a profile with published credentials that can be kept at `at`.
fn loaded(known: Known, at: &Moment) -> Option<Slot> {
    let Known::Published { issued, due } = known else { return None };
    let due = due.map(unix_milliseconds);
    let too_early = at.true_time < unix_milliseconds(issued).saturating_sub(TOLERANCE);
    let overdue = due.is_some_and(|due| due <= at.true_time);
    (!too_early && !overdue).then(|| Slot::fresh(due, at))
}

#[cfg(test)]
mod tests;
