//! The clock seam: the only file that reads time or sleeps. Everything else is told the time, so that a test
//! can be in any year and waits for nothing.

use std::fmt::Debug;
use std::fs::File;
use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

/// Where Linux names the current boot, the same in every container of the host.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the agent may know of time.
pub trait Clock: Debug + Sync {
    /// The wall clock of this host, right or wrong, in UTC.
    fn now(&self) -> OffsetDateTime;

    /// The monotonic time, which no clock step changes and which stands still while the host sleeps; for deadlines.
    fn uptime(&self) -> Duration;

    /// Time since the host's boot, time asleep included: every process of one boot reads the same clock, and nobody
    /// can set it.
    fn since_boot(&self) -> Duration;

    /// Which boot this is; `None` where the system does not tell.
    fn boot_id(&self) -> Option<&str>;

    /// Lets `pause` pass.
    fn pause(&self, pause: Duration);
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    boot_id: OnceLock<Option<String>>,
}

impl SystemClock {
    /// No clock is read before it is asked for.
    #[must_use]
    pub fn start() -> Self {
        Self { boot_id: OnceLock::new() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this file is the seam that the ban points to")]
impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        // Not by std, whose clock has 32 bits on 32-bit musl and panics from 2038 on, or where a dead battery says so.
        let since_1970 = clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from).unwrap_or_default();
        let since_1970 = time::Duration::try_from(since_1970).unwrap_or_default();
        OffsetDateTime::UNIX_EPOCH.saturating_add(since_1970)
    }

    fn uptime(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
    }

    fn since_boot(&self) -> Duration {
        // Linux has this clock since 2.6.39. Where a sandbox forbids it, a time that is too small makes every anchor
        // one of the future, which says nothing.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
    }

    fn boot_id(&self) -> Option<&str> {
        self.boot_id.get_or_init(read_boot_id).as_deref()
    }

    fn pause(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

/// A UUID as text and nothing else, so one read is enough. Opened by `openat`, which in musl takes one system call, and
/// `open` two.
fn read_boot_id() -> Option<String> {
    const UUID: usize = 36;
    let mut text = [0; UUID];
    let opened = openat(AT_FDCWD, BOOT_ID, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    File::from(opened.ok()?).read_exact(&mut text).ok()?;
    String::from_utf8(text.to_vec()).ok()
}
