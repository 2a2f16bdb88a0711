//! The host's time, as the fake reads it. Nothing else in these tests reads a clock or sleeps.

use std::time::{Duration, SystemTime};

/// The time so many seconds from now, or before now.
#[expect(
    clippy::disallowed_methods,
    reason = "signatures are dated, and the fake reads the host's clock too"
)]
pub(crate) fn shifted(seconds: i64) -> SystemTime {
    let shift = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    if seconds < 0 { now.checked_sub(shift) } else { now.checked_add(shift) }.unwrap()
}

/// Waits until what lives for `lifetime` from now is dead.
#[expect(clippy::disallowed_methods, reason = "the fake has the host's clock, which no test can turn")]
pub(crate) fn outlive(lifetime: Duration) {
    std::thread::sleep(lifetime.saturating_add(Duration::from_millis(50)));
}
