//! The clocks at one moment, and what two moments tell about the time between them: nothing unusual, a clock that
//! was set, or a host that slept. Reads no clock itself.

use std::time::Duration;

use time::OffsetDateTime;

/// A wall clock that moves by this much more or less than BOOTTIME between two looks was set. What a time service
/// slews away stays far below; a smaller step can make a file's life shorter than planned by its own size at most.
const STEP: u64 = 60 * 1000;

/// The daemon looks at the clocks at least every minute, so that a longer silence means that the host was suspended.
const SILENCE: u64 = 5 * 60 * 1000;

/// The clocks of the host, and what is known of AWS's time, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Time since the host booted, suspends included: BOOTTIME.
    pub boot: Duration,
    /// The wall clock, right or wrong.
    pub wall: OffsetDateTime,
    /// How far AWS's time is ahead of the wall clock.
    pub offset: time::Duration,
}

/// A moment in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Since the host booted.
    pub(super) boot: u64,
    /// Since 1970, as AWS sees it.
    pub(super) true_time: i64,
    /// Since 1970, as the host's clock has it.
    wall: i64,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Time went by.
    Ordinary,
    /// The wall clock was set, or BOOTTIME missed a pause that the wall clock did not.
    Stepped,
    /// Nobody looked for long: the host was suspended.
    Suspended,
}

impl Moment {
    pub(super) fn of(now: &Now) -> Self {
        let wall = unix_milliseconds(now.wall);
        let seconds = now.offset.whole_seconds().saturating_mul(1000);
        let offset = seconds.saturating_add(now.offset.subsec_milliseconds().into());
        Self {
            boot: u64::try_from(now.boot.as_millis()).unwrap_or(u64::MAX),
            true_time: wall.saturating_add(offset),
            wall,
        }
    }

    /// Milliseconds until the true time `end`; none where it has passed.
    pub(super) fn until(&self, end: OffsetDateTime) -> u64 {
        u64::try_from(unix_milliseconds(end).saturating_sub(self.true_time)).unwrap_or(0)
    }

    /// What happened since `earlier`. Only the wall clock is judged: an offset that was learnt moves the true time
    /// too, but for the better.
    pub(super) fn since(&self, earlier: &Self) -> Passage {
        let passed = self.boot.saturating_sub(earlier.boot);
        let shown = self.wall.saturating_sub(earlier.wall);
        let difference = shown.saturating_sub_unsigned(passed).unsigned_abs();
        if difference >= STEP {
            Passage::Stepped
        } else if passed >= SILENCE {
            Passage::Suspended
        } else {
            Passage::Ordinary
        }
    }
}

pub(super) fn unix_milliseconds(instant: OffsetDateTime) -> i64 {
    instant.unix_timestamp().saturating_mul(1000).saturating_add(instant.millisecond().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn moment(boot: u64, wall_seconds: i64, offset_seconds: i64) -> Moment {
        let noon = datetime!(2026-11-23 12:00 UTC);
        Moment::of(&Now {
            boot: Duration::from_secs(boot),
            wall: noon.saturating_add(time::Duration::seconds(wall_seconds)),
            offset: time::Duration::seconds(offset_seconds),
        })
    }

    #[test]
    fn a_step_in_either_direction_is_told_from_a_suspend_and_from_a_learnt_offset() {
        let start = moment(1000, 0, 0);
        for (boot, wall, offset, expected) in [
            (1060, 60, 0, Passage::Ordinary),
            (1060, 60, 7200, Passage::Ordinary),
            (1060, 60 + 59, 0, Passage::Ordinary),
            (1060, 60 - 59, 0, Passage::Ordinary),
            (1060, 60 + 60, 0, Passage::Stepped),
            (1060, 60 - 60, 0, Passage::Stepped),
            (1060, 7200, 0, Passage::Stepped),
            (1060, -7200, -7200, Passage::Stepped),
            (1000 + 7200, 7200, 0, Passage::Suspended),
            (1000 + 7200, 60, 0, Passage::Stepped),
        ] {
            assert_eq!(moment(boot, wall, offset).since(&start), expected, "{boot} {wall} {offset}");
        }
    }

    #[test]
    fn true_time_is_the_wall_clock_and_the_offset() {
        let at = moment(0, 10, -3);
        assert_eq!(at.true_time, unix_milliseconds(datetime!(2026-11-23 12:00:07 UTC)));
    }
}
