//! When one set of credentials is due for a refresh. The caller brings the times and the key of the jitter; what
//! happens when nobody acts on it is the plan's business.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use time::{Duration, OffsetDateTime};

use crate::config::model::RefreshSettings;
use crate::timestamp::between;

/// The jitter takes at most this share of the lifetime.
///
/// Hosts that started together must not stay together. Each generation adds the variance of one jitter, and the wave
/// in the request rate shrinks with the exponential of that sum: after two hours of one-hour sessions a quarter
/// leaves a wave of 4 % of the mean, a fifth one of 26 % and an eighth of 100 %. More than a quarter would only
/// cost requests: a quarter already makes a third more of them than no jitter. The fleet simulation in `tests/fleet`
/// holds this.
const JITTER_SHARE: u8 = 4;

/// One set of credentials, as the schedule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// When they were issued.
    pub issued: OffsetDateTime,
    /// When they expire.
    pub expiration: OffsetDateTime,
}

impl Lifetime {
    /// When these credentials are due: at the configured share of the lifetime, or so early that the margin is
    /// left where the lifetime allows it, less a jitter that only makes it earlier.
    ///
    /// The margin counts where it leaves at least a quarter of the lifetime to use; 900-second sessions cannot
    /// keep 20 minutes. Not a third: that is what it leaves of 1800-second sessions, and the second that passes
    /// between the issue and the answer would decide.
    #[must_use]
    pub fn due(&self, settings: &RefreshSettings, jitter: Fraction) -> OffsetDateTime {
        let lifetime = between(self.issued, self.expiration).max(Duration::ZERO);
        let share = share_of(lifetime, settings.after_percent);
        let margin = Duration::try_from(settings.margin).unwrap_or(Duration::ZERO);
        let before_margin = lifetime.saturating_sub(margin);
        let latest = if before_margin >= lifetime.checked_div(4).unwrap_or_default() {
            share.min(before_margin)
        } else {
            share
        };
        let widest = lifetime.checked_div(JITTER_SHARE.into()).unwrap_or_default().min(latest);
        let earlier = jitter.of(widest.checked_div(if latest < share { 2 } else { 1 }).unwrap_or_default());
        self.issued.saturating_add(latest.saturating_sub(earlier))
    }
}

fn share_of(lifetime: Duration, percent: u8) -> Duration {
    lifetime.checked_mul(percent.into()).and_then(|scaled| scaled.checked_div(100)).unwrap_or(lifetime)
}

/// A number from 0 to 1, exactly comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction(u32);

impl Fraction {
    /// The fraction for one set of credentials: a keyed hash, so that it is the same for every process on the
    /// host and another one for the next generation, and nobody else can predict it.
    #[must_use]
    pub fn keyed(key: &[u8], profile: &str, generation: u64) -> Self {
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Self(0) };
        mac.update(b"jitter");
        mac.update(&generation.to_be_bytes());
        mac.update(profile.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut first = [0_u8; 4];
        first.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Self(u32::from_be_bytes(first))
    }

    fn of(self, whole: Duration) -> Duration {
        let milliseconds = whole.whole_milliseconds().max(0);
        let part = milliseconds.saturating_mul(self.0.into()) >> 32;
        Duration::milliseconds(i64::try_from(part).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const ISSUED: OffsetDateTime = datetime!(2026-11-23 12:00:00 UTC);
    const DEFAULTS: RefreshSettings =
        RefreshSettings { after_percent: 50, margin: std::time::Duration::from_secs(1200) };

    fn due_after(lifetime: i64, settings: &RefreshSettings, jitter: Fraction) -> i64 {
        let expiration = ISSUED.saturating_add(Duration::seconds(lifetime));
        let due = Lifetime { issued: ISSUED, expiration }.due(settings, jitter);
        between(ISSUED, due).whole_seconds()
    }

    #[test]
    fn without_jitter_refresh_is_at_half_or_at_the_margin() {
        for (lifetime, expected) in [
            (3600, 1800),
            (43_200, 21_600),
            (21_600, 10_800),
            (2400, 1200),
            (2100, 900),
            (1800, 600),
            (1799, 599),
            (1600, 400),
            (1596, 798),
            (900, 450),
            (30, 15),
            (0, 0),
            (-60, 0),
        ] {
            assert_eq!(due_after(lifetime, &DEFAULTS, Fraction(0)), expected, "lifetime {lifetime}");
        }
        let late = RefreshSettings { after_percent: 90, ..DEFAULTS };
        assert_eq!(due_after(3600, &late, Fraction(0)), 2400, "the margin goes before the share");
    }

    #[test]
    fn jitter_only_ever_makes_it_earlier_and_never_takes_more_than_a_quarter() {
        for lifetime in [30, 900, 1800, 2100, 2400, 3600, 43_200] {
            let latest = due_after(lifetime, &DEFAULTS, Fraction(0));
            for jitter in [1, u32::MAX / 3, u32::MAX / 2, u32::MAX] {
                let due = due_after(lifetime, &DEFAULTS, Fraction(jitter));
                assert!(
                    due <= latest && due >= latest - lifetime / 4 - 1 && due > 0,
                    "{lifetime} {jitter}: {due}"
                );
            }
        }
    }

    #[test]
    fn the_jitter_is_stable_for_a_generation_and_differs_between_hosts_profiles_and_generations() {
        let base = Fraction::keyed(b"host", "p", 1);
        assert_eq!(base, Fraction::keyed(b"host", "p", 1));
        assert_ne!(base, Fraction::keyed(b"host", "p", 2));
        assert_ne!(base, Fraction::keyed(b"host", "q", 1));
        assert_ne!(base, Fraction::keyed(b"tsoh", "p", 1));
    }
}
