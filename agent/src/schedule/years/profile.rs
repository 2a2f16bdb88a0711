//! One profile of the simulated host, and what it was promised. The rules are written here once more, in other words
//! than the plan's.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::model::RefreshSettings;
use crate::disposition::Disposition;
use crate::retry::Jitter;

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;

/// What stands in the way of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Failing(Disposition),
    /// IMDS has only expired credentials.
    Stale,
}

#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) settings: RefreshSettings,
    /// Of the credentials that it gets, in milliseconds.
    pub(super) lifetime: i64,
    pub(super) generation: u64,
    /// The true time at which the published credentials end.
    pub(super) published: Option<i64>,
    pub(super) due: Option<i64>,
    pub(super) trouble: Option<Trouble>,
    /// No promise of life holds before this true time.
    pub(super) grace: i64,
    /// The BOOTTIME of the last try, and when the next may come after it; none where something happened that makes
    /// it come when it likes.
    pub(super) tried: i64,
    pub(super) allowed: Option<RangeInclusive<i64>>,
    /// The BOOTTIME by which it has to be tried.
    pub(super) must_by: Option<i64>,
    failures: Vec<Trouble>,
}

#[expect(clippy::arithmetic_side_effects, reason = "milliseconds of a few years")]
impl Profile {
    pub(super) fn new(index: usize, random: &Jitter) -> Self {
        let minutes = [15, 20, 30, 36, 60, 60, 60, 360, 720][pick(random, 9)];
        let after_percent = [10, 50, 50, 50, 75, 90][pick(random, 6)];
        let margin = Duration::from_secs([0, 600, 1200, 1200, 1200, 3600][pick(random, 6)]);
        Self {
            name: format!("profile-{index}"),
            settings: RefreshSettings { after_percent, margin },
            lifetime: minutes * MINUTE,
            generation: 0,
            published: None,
            due: None,
            trouble: None,
            grace: 0,
            tried: 0,
            allowed: None,
            must_by: None,
            failures: Vec::new(),
        }
    }

    /// The life that must be left whenever the world works and the time of issue is known to within `skew`.
    pub(super) fn promise(&self, skew: i64) -> i64 {
        let of = |lifetime: i64| {
            let percent = i64::from(self.settings.after_percent);
            let by_share = lifetime * (100 - percent) / 100;
            let margin = i64::try_from(self.settings.margin.as_millis()).unwrap();
            if 4 * (lifetime - margin) >= lifetime { by_share.max(margin) } else { by_share }
        };
        of(self.lifetime).min(of(self.lifetime - skew)) - skew
    }

    /// The refresh succeeded: credentials until `end`, refreshed again after `wait`, of which gathering may take an
    /// eighth.
    pub(super) fn succeed(&mut self, end: i64, wait: i64) {
        self.published = Some(end);
        self.failures.clear();
        self.allowed = Some(wait - wait / 8 - 1..=wait + SECOND);
    }

    /// The refresh failed, or its result was of no use, and what is published seems to live for `life` more.
    pub(super) fn fail(&mut self, trouble: Trouble, life: i64) {
        if self.failures.last().is_some_and(|last| pace(*last) != pace(trouble)) {
            self.failures.clear();
        }
        self.failures.push(trouble);
        let count = self.failures.len();
        let step = |steps: &[i64]| steps[count.min(steps.len()) - 1];
        self.allowed = Some(match pace(trouble) {
            0 => {
                let longest = step(&[2, 4, 8, 16, 32, 60]) * SECOND;
                longest / 8..=longest
            }
            1 => {
                let half = if life > 0 { (life / 2).max(5 * MINUTE) } else { i64::MAX };
                let longest = half.min(step(&[5, 10, 20, 30]) * MINUTE);
                longest / 2..=longest
            }
            2 => i64::MAX..=i64::MAX,
            _ => {
                self.failures.clear();
                5 * MINUTE..=15 * MINUTE
            }
        });
    }

    /// Something happened that lets the next try come at any time.
    pub(super) fn excuse(&mut self) {
        self.allowed = None;
    }

    /// The host slept through the time of the next try.
    pub(super) fn excuse_lateness(&mut self) {
        self.allowed = self.allowed.take().map(|allowed| *allowed.start()..=i64::MAX);
    }

    /// A reload lets it try as if it had never failed.
    pub(super) fn start_anew(&mut self) {
        self.excuse();
        self.failures.clear();
    }

    /// Whether the last failure was one that somebody has to mend.
    pub(super) fn waits_for_others(&self) -> bool {
        self.failures.last().is_some_and(|last| matches!(pace(*last), 1 | 2))
    }

    /// Whether it waits for its due time and for nothing else.
    pub(super) fn is_fresh(&self) -> bool {
        self.published.is_some() && self.failures.is_empty()
    }
}

fn pace(trouble: Trouble) -> u8 {
    match trouble {
        Trouble::Failing(Disposition::Retry | Disposition::Local) => 0,
        Trouble::Failing(Disposition::Refused | Disposition::Broken) => 1,
        Trouble::Failing(Disposition::Misconfigured) => 2,
        Trouble::Stale => 3,
    }
}

pub(super) fn pick(random: &Jitter, choices: usize) -> usize {
    usize::try_from(random.up_to(u64::try_from(choices).unwrap().saturating_sub(1))).unwrap()
}
