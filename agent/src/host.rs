//! What every module that talks to the outside is handed: the two seams, a source of jitter, and what has been
//! learnt about this host's clock. Holds no configuration and no credentials.

use std::sync::atomic::{AtomicI64, Ordering};

use log::warn;
use time::{Duration, OffsetDateTime};

use crate::clock::Clock;
use crate::retry::Jitter;
use crate::timestamp::{between, parse_http_date};
use crate::transport::{Response, Transport};

/// A smaller difference is not why a signature was refused: STS accepts five minutes.
const SMALLEST_SKEW: Duration = Duration::minutes(4);
/// After a longer round trip the `Date` of an answer says nothing about now.
const LONGEST_ROUND_TRIP: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// The bundle of seams, made once in main and passed down by reference.
#[derive(Debug)]
pub struct Host<'a> {
    /// Time.
    pub clock: &'a dyn Clock,
    /// HTTP.
    pub transport: &'a dyn Transport,
    /// Random spreading of retries.
    pub jitter: Jitter,
    offset_milliseconds: AtomicI64,
}

impl<'a> Host<'a> {
    /// A host whose clock is believed until a service contradicts it.
    #[must_use]
    pub fn new(clock: &'a dyn Clock, transport: &'a dyn Transport, seed: u64) -> Self {
        Self { clock, transport, jitter: Jitter::new(seed), offset_milliseconds: AtomicI64::new(0) }
    }

    /// The time as AWS sees it: the wall clock and the offset that was learnt. For signing and for expiry.
    #[must_use]
    pub fn true_time(&self) -> OffsetDateTime {
        self.clock.now().saturating_add(self.clock_offset())
    }

    /// How far AWS's time is ahead of this host's clock; zero unless a service said otherwise.
    #[must_use]
    pub fn clock_offset(&self) -> Duration {
        Duration::milliseconds(self.offset_milliseconds.load(Ordering::Relaxed))
    }

    /// Takes over the offset that an earlier batch has learnt.
    pub fn believe(&self, offset: Duration) {
        let milliseconds = i64::try_from(offset.whole_milliseconds()).unwrap_or(0);
        self.offset_milliseconds.store(milliseconds, Ordering::Relaxed);
    }

    /// Believes the `Date` of `response` where this host's clock is wrong, for signing and expiry from here on, and
    /// says whether the request was made in the belief of another time: `believed` is the offset that it was made
    /// with, which another thread may have corrected since. The system clock is never touched.
    ///
    /// The SDKs' common rule: the offset is the answer's `Date` less the middle of the exchange; it is not taken from
    /// a cache, nor after a very long exchange, nor where it is too small to matter.
    pub fn learn_time(&self, response: &Response, believed: Duration) -> bool {
        let Some(date) = response.header("date").and_then(parse_http_date) else { return false };
        if response.header("age").is_some() || response.round_trip > LONGEST_ROUND_TRIP {
            return false;
        }
        let offset = between(response.midpoint, date);
        if offset.saturating_sub(believed).abs() <= SMALLEST_SKEW {
            return false;
        }
        warn!("this host's clock is off by {} seconds; AWS's time is believed", offset.whole_seconds());
        self.believe(offset);
        true
    }
}
