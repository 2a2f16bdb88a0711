//! The clock seam: the only file that reads time or sleeps. Everything else is told the time, so that a test
//! can be in any year and waits for nothing.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// What the agent may know of time.
pub trait Clock: Debug + Sync {
    /// The wall clock of this host, right or wrong, in UTC.
    fn now(&self) -> OffsetDateTime;

    /// Time since an arbitrary start, which no clock step changes; for deadlines.
    fn uptime(&self) -> Duration;

    /// Lets `pause` pass.
    fn pause(&self, pause: Duration);
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock.
    #[expect(clippy::disallowed_methods, reason = "this file is the seam that the ban points to")]
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this file is the seam that the ban points to")]
impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    fn pause(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}
