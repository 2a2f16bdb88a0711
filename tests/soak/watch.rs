//! The time of a run, and how badly the machine keeps it: on a machine that others use too, everybody is late now and
//! then, and lateness that even an idle thread suffers is not the daemon's.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// How often the machine is asked whether it is in time.
const BEAT: Duration = Duration::from_millis(50);
/// Less is ordinary.
const ORDINARY: Duration = Duration::from_millis(150);

/// A stop watch that also notes the stalls of the machine.
#[derive(Debug)]
pub(crate) struct Watch {
    start: Instant,
    over: AtomicBool,
    /// When a stall was noticed, and how long it was.
    stalls: Mutex<Vec<(Duration, Duration)>>,
}

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "a test that watches another process has its own clock")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), over: AtomicBool::new(false), stalls: Mutex::default() }
    }

    /// How long the run has lasted.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time of the run at an instant that the services named.
    pub(crate) fn at(&self, instant: OffsetDateTime) -> time::Duration {
        time::Duration::try_from(self.now()).unwrap() + (instant - true_time())
    }

    #[expect(clippy::disallowed_methods, reason = "a test that watches another process has its own clock")]
    pub(crate) fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Waits until the run has lasted `until`, or is over.
    pub(crate) fn wait_until(&self, until: Duration) {
        while !self.is_over() && self.now() < until {
            self.sleep((until - self.now().min(until)).min(BEAT));
        }
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Notes stalls until the run is over.
    pub(crate) fn note_stalls(&self) {
        while !self.is_over() {
            let before = self.now();
            self.sleep(BEAT);
            let late = (self.now() - before).saturating_sub(BEAT);
            if late > ORDINARY {
                self.stalls.lock().unwrap().push((self.now(), late));
            }
        }
    }

    /// For how long the machine stood still since `from`.
    pub(crate) fn stalled_since(&self, from: Duration) -> Duration {
        self.stalls.lock().unwrap().iter().filter(|(at, _)| *at >= from).map(|(_, late)| *late).sum()
    }
}

/// The time, by the clock that the services have too.
#[expect(clippy::disallowed_methods, reason = "whoever judges expirations from outside has no other clock")]
pub(crate) fn true_time() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
