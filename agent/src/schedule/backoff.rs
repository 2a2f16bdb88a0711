//! How long a profile waits after a failure. Draws from the jitter that it is handed; knows no clock but the instant
//! that a wait starts at.

use std::time::Duration;

use crate::disposition::Disposition;
use crate::retry::Jitter;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

/// Nobody is waited for longer than this.
const LONGEST: u64 = 30 * MINUTE;

/// Waits end on a grid that divides the longest wait of the moment into so many cells. A thousand profiles that fail
/// together then come back in a few rounds, each with one handshake, and not one by one.
const CELLS: u64 = 8;

/// So many refusals in a row are taken for a policy that has yet to reach every corner of AWS, or for somebody who is
/// mending one and tries it out.
const TRIALS: u64 = 2;

/// A service that wants to be left alone for longer than the waits of one call is left alone by every process.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a profile is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Within a minute: the network, the service, the disk.
    Fast,
    /// Within half an hour: somebody refused, and has to change their mind.
    Slow,
}

impl Pace {
    /// The pace after a failure, or `None` where only another configuration helps.
    pub(super) fn after(disposition: Disposition) -> Option<Self> {
        match disposition {
            Disposition::Retry | Disposition::Local => Some(Self::Fast),
            // A reply that nobody understands is as likely to repeat itself as a refusal.
            Disposition::Refused | Disposition::Broken => Some(Self::Slow),
            Disposition::Misconfigured => None,
        }
    }

    /// The longest wait, in milliseconds, after this many failures in a row, where what is published lives for `life`
    /// more of them.
    pub(super) fn longest(self, failures: u8, life: u64) -> u64 {
        let (first, cap) = match self {
            Self::Fast => (2 * SECOND, MINUTE),
            // A refusal that ended while there still was life should be met with before there is none.
            Self::Slow if life > 0 => (5 * MINUTE, (life / 2).clamp(5 * MINUTE, LONGEST)),
            Self::Slow => (5 * MINUTE, LONGEST),
        };
        let doublings = u32::from(failures.saturating_sub(1).min(16));
        first.saturating_mul(1_u64 << doublings).min(cap)
    }

    /// The shortest wait. One cell is as near to the zero of full jitter as the grid allows; a refusal seldom ends
    /// within minutes.
    pub(super) fn shortest(self, failures: u8, life: u64) -> u64 {
        let longest = self.longest(failures, life);
        match self {
            Self::Fast => longest / CELLS,
            Self::Slow => longest / 2,
        }
    }

    /// The instant of the next try after a failure at `from`: never before the shortest wait, never after the
    /// longest. `phase` is the host's own, so that the grids of a fleet do not coincide.
    pub(super) fn next_try(self, failures: u8, life: u64, from: u64, phase: u64, jitter: &Jitter) -> u64 {
        let (shortest, longest) = (self.shortest(failures, life), self.longest(failures, life));
        let cell = longest / CELLS;
        let drawn = jitter.up_to(longest.saturating_sub(cell).saturating_sub(shortest));
        let earliest = from.saturating_add(shortest).saturating_add(drawn);
        let past_line = earliest.wrapping_add(phase).checked_rem(cell).unwrap_or(0);
        if past_line == 0 { earliest } else { earliest.saturating_add(cell.saturating_sub(past_line)) }
    }
}

/// How much of its wish a service that wants to be left alone is granted, in milliseconds, where what is published lives
/// for `life` more of them: a wish that passes while there still is life should be met with before there is none, and
/// where there is none already, a service that names an absurd time must not keep a host without credentials.
pub(super) fn granted(wish: Duration, life: u64) -> u64 {
    let longest = if life > 0 { (life / 2).clamp(MINUTE, LONGEST) } else { 5 * MINUTE };
    u64::try_from(wish.as_millis()).unwrap_or(u64::MAX).min(longest)
}

/// How long no process asks again of its own accord, where what is published lives for `life` more: after so many refusals
/// in a row the shortest wait of a daemon that met with all of them, and as long as the service that throttles has a
/// `wish` to be left alone. `None` where asking again at once is no storm.
#[must_use]
pub fn hold(
    disposition: Disposition,
    refusals: u64,
    life: time::Duration,
    wish: Duration,
) -> Option<time::Duration> {
    let life = u64::try_from(life.whole_milliseconds()).unwrap_or(0);
    let pace = Pace::after(disposition).filter(|pace| *pace == Pace::Slow && refusals > TRIALS);
    let refused = pace.map(|pace| pace.shortest(u8::try_from(refusals).unwrap_or(u8::MAX), life));
    let wished = (wish > PATIENCE).then(|| granted(wish, life));
    let wait = refused.max(wished)?;
    Some(time::Duration::milliseconds(i64::try_from(wait).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_cap_and_stay_within_their_bounds() {
        let jitter = Jitter::new(3);
        let seconds = |pace: Pace, failures| pace.longest(failures, 0) / SECOND;
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 255].map(|n| seconds(Pace::Fast, n)), [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!([1, 2, 3, 4, 255].map(|n| seconds(Pace::Slow, n)), [300, 600, 1200, 1800, 1800]);
        for pace in [Pace::Fast, Pace::Slow] {
            for failures in 1..20 {
                for from in 0..500 {
                    let life = [0, from * MINUTE / 4][usize::from(failures % 2)];
                    let wait =
                        pace.next_try(failures, life, from * 7919, from * 104_729, &jitter) - from * 7919;
                    assert!(
                        (pace.shortest(failures, life)..=pace.longest(failures, life)).contains(&wait),
                        "{pace:?} {failures}: {wait}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_refusal_is_not_waited_out_past_the_end_of_what_is_published() {
        let minutes = |failures, life| Pace::Slow.longest(failures, life * MINUTE) / MINUTE;
        assert_eq!([90, 60, 40, 30, 11, 10, 1].map(|life| minutes(9, life)), [30, 30, 20, 15, 5, 5, 5]);
        assert_eq!([1, 2, 3, 4].map(|failures| minutes(failures, 40)), [5, 10, 20, 20]);
        assert_eq!(Pace::Fast.longest(9, 30 * SECOND), MINUTE, "an outage of AWS is everybody's");
    }

    #[test]
    fn only_refusals_that_repeat_themselves_keep_other_processes_from_asking() {
        let minutes = |refusals, life| {
            hold(Disposition::Refused, refusals, time::Duration::minutes(life), Duration::ZERO)
                .map(time::Duration::whole_minutes)
        };
        assert_eq!([0, 1, 2].map(|refusals| minutes(refusals, 0)), [None; 3]);
        assert_eq!([3, 4, 300].map(|refusals| minutes(refusals, 0)), [Some(10), Some(15), Some(15)]);
        assert_eq!([-7, 12, 24].map(|life| minutes(9, life)), [Some(15), Some(3), Some(6)]);
        for passing in [Disposition::Retry, Disposition::Local, Disposition::Misconfigured] {
            assert_eq!(hold(passing, 9, time::Duration::ZERO, PATIENCE), None, "{passing:?}");
        }
    }

    #[test]
    fn a_service_that_wants_to_be_left_alone_is_left_alone_by_every_process_within_bounds() {
        let seconds = |wish, life| {
            hold(Disposition::Retry, 1, time::Duration::seconds(life), Duration::from_secs(wish))
                .map(time::Duration::whole_seconds)
        };
        assert_eq!([0, 5, 30].map(|wish| seconds(wish, 0)), [None; 3], "that long a call waits by itself");
        assert_eq!([31, 300, 86_400].map(|wish| seconds(wish, 0)), [Some(31), Some(300), Some(300)]);
        assert_eq!(
            [1, 180, 1800, 7200].map(|life| seconds(86_400, life)),
            [Some(60), Some(90), Some(900), Some(1800)]
        );
        assert_eq!(seconds(45, 7200), Some(45), "no more than was wished for");
        let refused =
            |wish| hold(Disposition::Refused, 3, time::Duration::hours(4), wish).unwrap().whole_minutes();
        assert_eq!((refused(PATIENCE * 2), refused(PATIENCE * 24)), (10, 12), "the longer of both");
    }

    #[test]
    fn a_thousand_profiles_that_fail_together_come_back_in_few_rounds_spread_over_the_whole_wait() {
        let jitter = Jitter::new(5);
        for (pace, failures) in [(Pace::Fast, 1), (Pace::Fast, 9), (Pace::Slow, 9)] {
            let mut rounds: Vec<_> =
                (0..1000).map(|_| pace.next_try(failures, 0, 1_000_000, 17, &jitter)).collect();
            rounds.sort_unstable();
            rounds.dedup();
            let span = rounds[rounds.len() - 1] - rounds[0];
            assert!(rounds.len() <= usize::try_from(CELLS).unwrap(), "{pace:?} {failures}: {rounds:?}");
            assert!(span * 10 >= (pace.longest(failures, 0) - pace.shortest(failures, 0)) * 7, "{rounds:?}");
        }
    }

    #[test]
    fn hosts_that_fail_together_do_not_come_back_together() {
        let mut seconds = [0; 60];
        for host in 0..6000 {
            let jitter = Jitter::new(host);
            let phase = jitter.up_to(u64::MAX);
            let wait = Pace::Fast.next_try(9, 0, 0, phase, &jitter) - 1;
            seconds[usize::try_from(wait / SECOND).unwrap()] += 1;
        }
        let most = seconds.iter().max().unwrap();
        assert!(*most <= 180, "100 in the mean: {seconds:?}");
    }

    #[test]
    fn every_disposition_has_its_pace() {
        assert_eq!(Pace::after(Disposition::Retry), Some(Pace::Fast));
        assert_eq!(Pace::after(Disposition::Local), Some(Pace::Fast));
        assert_eq!(Pace::after(Disposition::Refused), Some(Pace::Slow));
        assert_eq!(Pace::after(Disposition::Broken), Some(Pace::Slow));
        assert_eq!(Pace::after(Disposition::Misconfigured), None);
    }
}
