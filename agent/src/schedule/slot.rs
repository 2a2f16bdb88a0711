//! What the plan keeps of one profile: when it is tried next, by two clocks, and how often it failed. Thirty-two
//! bytes, because a daemon may keep a thousand of them.

use super::backoff::Pace;
use super::moment::Moment;

const SECOND: u64 = 1000;

/// An instant that never comes.
const NEVER: u64 = u64::MAX;
const NEVER_TRUE: i64 = i64::MAX;

/// A profile whose turn comes within this time is refreshed along with another that is due: one wake-up and one
/// handshake instead of two. As long as the shortest time between two wake-ups of an idle daemon.
const GATHER: u64 = 30_000;

/// Gathering takes at most this share of a wait, so that sessions of minutes are not refreshed ever earlier.
const GATHER_SHARE: u64 = 8;

/// What a profile waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its credentials are good; it waits for their due time, which may never come.
    Fresh,
    /// It failed, and waits for the next try.
    Failing,
    /// It failed for a reason that only another configuration removes.
    Parked,
    /// It is being refreshed.
    UnderWay,
}

/// One profile. Instants are milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The BOOTTIME from which it may be gathered.
    from: u64,
    /// The BOOTTIME at which it is due.
    due: u64,
    /// The true time at which it is due, by credentials; a clock correction may reach it first.
    due_true: i64,
    /// The pace of the last failure, where the last refresh failed.
    pace: Option<Pace>,
    failures: u8,
    standing: Standing,
}

impl Slot {
    /// A profile that has to be refreshed at `due`.
    pub(super) fn wanting(due: u64) -> Self {
        Self { from: due, due, due_true: NEVER_TRUE, pace: None, failures: 0, standing: Standing::Fresh }
    }

    /// A profile with credentials that are due at the true time `due`, seen from `at`.
    pub(super) fn fresh(due: Option<i64>, at: &Moment) -> Self {
        let mut slot = Self::wanting(NEVER);
        if let Some(due) = due {
            let wait = u64::try_from(due.saturating_sub(at.true_time)).unwrap_or(0);
            slot.due = at.boot.saturating_add(wait);
            slot.from = slot.due.saturating_sub(GATHER.min(wait / GATHER_SHARE));
            slot.due_true = due;
        }
        slot
    }

    /// The profile is in a batch. The failures before it still count.
    pub(super) fn start(&mut self) {
        self.standing = Standing::UnderWay;
    }

    /// Counts one more failure in a row at `pace`; another pace starts anew.
    pub(super) fn count(&mut self, pace: Pace) -> u8 {
        self.failures = if self.pace == Some(pace) { self.failures.saturating_add(1) } else { 1 };
        self.pace = Some(pace);
        self.failures
    }

    /// The next try after a failure is at `due`, and not earlier for anybody's sake.
    pub(super) fn retry_at(&mut self, due: u64) {
        self.move_to(due);
        self.standing = Standing::Failing;
    }

    /// The profile has failed so often in another process, and is tried again at `due`.
    pub(super) fn hold(&mut self, pace: Pace, failures: u8, due: u64) {
        (self.pace, self.failures) = (Some(pace), failures);
        self.retry_at(due);
    }

    pub(super) fn park(&mut self) {
        self.move_to(NEVER);
        self.standing = Standing::Parked;
    }

    /// The credentials are in doubt: they are due by `at`, and by no other clock. Long-term keys stay as they are.
    pub(super) fn hasten(&mut self, at: u64) {
        if self.standing == Standing::Fresh && self.due != NEVER {
            self.move_to(self.due.min(at));
        }
    }

    /// What is overdue by BOOTTIME waits for `at`; once, or a host that wakes for seconds only would never come to it.
    pub(super) fn postpone(&mut self, at: u64, now: &Moment) {
        let moved_before = self.due_true == NEVER_TRUE;
        if self.standing == Standing::Fresh && !moved_before && now.boot >= self.due {
            self.move_to(at);
        }
    }

    /// Whether a reload leaves it as it is: it is fresh, or will be tried as soon as that makes sense anyway.
    pub(super) fn survives_reload(&self) -> bool {
        match self.standing {
            Standing::Fresh => true,
            Standing::Failing => self.pace == Some(Pace::Fast),
            Standing::Parked | Standing::UnderWay => false,
        }
    }

    /// Whether its credentials, which are due at the true time `due`, are waited for at another time. That they are in
    /// doubt, or that an earlier time has been told to the second, makes none.
    pub(super) fn misses(&self, due: Option<i64>) -> bool {
        self.standing == Standing::Fresh
            && self.due_true != NEVER_TRUE
            && due.is_some_and(|due| due.abs_diff(self.due_true) >= SECOND)
    }

    /// Whether it has to be refreshed.
    pub(super) fn is_due(&self, now: &Moment) -> bool {
        self.is_waiting() && (now.boot >= self.due || now.true_time >= self.due_true)
    }

    /// Whether it is refreshed along with one that has to be.
    pub(super) fn may_join(&self, now: &Moment) -> bool {
        self.is_waiting() && now.boot >= self.from || self.is_due(now)
    }

    /// Milliseconds until it is due by whichever clock comes first, or `None` where nothing is awaited.
    pub(super) fn remaining(&self, now: &Moment) -> Option<u64> {
        if !self.is_waiting() || self.due == NEVER {
            return None;
        }
        let by_true_time = u64::try_from(self.due_true.saturating_sub(now.true_time)).unwrap_or(0);
        Some(self.due.saturating_sub(now.boot).min(by_true_time))
    }

    fn move_to(&mut self, due: u64) {
        (self.from, self.due, self.due_true) = (due, due, NEVER_TRUE);
    }

    fn is_waiting(&self) -> bool {
        match self.standing {
            Standing::Fresh | Standing::Failing => true,
            Standing::Parked | Standing::UnderWay => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_profiles_take_thirty_two_kilobytes() {
        assert!(size_of::<Slot>() <= 32);
    }
}
