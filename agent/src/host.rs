//! What every module that talks to the outside is handed: the two seams, a source of jitter, and what has been
//! learnt about this host's clock. Holds no configuration and no credentials.

use std::sync::atomic::{AtomicI64, Ordering};

use time::{Duration, OffsetDateTime};

use crate::clock::Clock;
use crate::retry::Jitter;
use crate::transport::Transport;

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

    /// Remembers the offset for later signing. The system clock is never touched.
    pub fn learn_clock_offset(&self, offset: Duration) {
        let milliseconds = i64::try_from(offset.whole_milliseconds()).unwrap_or(0);
        self.offset_milliseconds.store(milliseconds, Ordering::Relaxed);
    }
}
