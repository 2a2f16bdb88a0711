//! When to try again: attempts with full jitter, after the AWS architecture blog's "Exponential backoff and
//! jitter". Pure but for the seed that main draws.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stream of pseudo-random fractions from one seed; good enough to spread load, never for secrets.
#[derive(Debug)]
pub struct Jitter(AtomicU64);

impl Jitter {
    /// Starts the stream at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A whole number from 0 to `limit`, both included, each as likely.
    pub fn up_to(&self, limit: u64) -> u64 {
        // SplitMix64: one addition and a mix, and every seed gives a full period.
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut z = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // Scaling by a wide product instead of a remainder keeps the numbers even.
        let scaled = (u128::from(z).wrapping_mul(u128::from(limit).saturating_add(1))) >> 64;
        u64::try_from(scaled).unwrap_or(limit)
    }

    /// A duration from zero to `limit`, in whole milliseconds.
    pub fn duration_up_to(&self, limit: Duration) -> Duration {
        Duration::from_millis(self.up_to(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// How often a request is tried, and how long to wait between two attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The longest wait after the first attempt; it doubles with each further one.
    pub first: Duration,
    /// The longest wait of all.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after attempt number `attempt`, counted from 1, or `None` where no further attempt is due.
    #[must_use]
    pub fn after(&self, attempt: u32, jitter: &Jitter) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(16);
        let ceiling = self.first.saturating_mul(1_u32 << doublings).min(self.cap);
        Some(jitter.duration_up_to(ceiling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_the_whole_range_and_capped() {
        let backoff =
            Backoff { attempts: 40, first: Duration::from_millis(100), cap: Duration::from_secs(2) };
        let jitter = Jitter::new(7);
        let waits: Vec<_> = (0..400).filter_map(|_| backoff.after(30, &jitter)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(2)));
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(200)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(1800)));
        assert!((0..100).all(|_| backoff.after(1, &jitter).unwrap() <= Duration::from_millis(100)));
        assert_eq!(backoff.after(40, &jitter), None);
    }

    #[test]
    fn every_value_of_a_small_range_comes_up_and_none_beyond() {
        let jitter = Jitter::new(1);
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[usize::try_from(jitter.up_to(3)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(jitter.up_to(0), 0);
    }
}
