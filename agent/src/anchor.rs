//! A point at which the true time was known: an instant of AWS's time beside the same instant on the one clock of a
//! host that nobody sets, the time since its boot. From it the true time follows without a network, whatever the
//! wall clock says. Who may be believed about the time is decided in `host`.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::timestamp::{Rfc3339Seconds, between, parse_rfc3339};

/// A clock that is off by less is right: `Date` counts whole seconds, and answers take their time.
pub const NEGLIGIBLE: time::Duration = time::Duration::seconds(5);

/// The true time at one instant of one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Which boot of which kernel; a time since boot means nothing in another one.
    pub boot_id: String,
    /// `CLOCK_BOOTTIME`, which goes on while the host sleeps.
    pub since_boot: Duration,
    /// The true time at that instant.
    pub true_time: OffsetDateTime,
}

impl Anchor {
    /// The anchor of an instant at which the true time is known.
    #[must_use]
    pub fn here(clock: &dyn Clock, true_time: OffsetDateTime) -> Self {
        // Without a name of the boot, the anchor holds within this process.
        let boot_id = clock.boot_id().unwrap_or_default().to_owned();
        Self { boot_id, since_boot: clock.since_boot(), true_time }
    }

    /// The true time by `clock`; `None` in another boot.
    #[must_use]
    pub fn project(&self, clock: &dyn Clock) -> Option<OffsetDateTime> {
        self.after(clock.boot_id().unwrap_or_default(), clock.since_boot())
    }

    /// The true time where the wall clock says `wall`: the wall clock's where that is right, and in another boot, where
    /// nobody knows how long ago this anchor was set, never one before it.
    #[must_use]
    pub fn correct(&self, wall: OffsetDateTime, clock: &dyn Clock) -> OffsetDateTime {
        match self.project(clock) {
            Some(told) if between(wall, told).abs() <= NEGLIGIBLE => wall,
            Some(told) => told,
            None => wall.max(self.true_time),
        }
    }

    fn after(&self, boot_id: &str, since_boot: Duration) -> Option<OffsetDateTime> {
        let passed = since_boot.checked_sub(self.since_boot).filter(|_| boot_id == self.boot_id)?;
        self.true_time.checked_add(time::Duration::try_from(passed).ok()?)
    }

    /// As it stands in `status.json`: no secret, and no finer than the seconds of a `Date` header.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "boot_id": self.boot_id,
            "boottime_seconds": self.since_boot.as_secs(),
            "true_time": Rfc3339Seconds(self.true_time).to_string(),
        })
    }

    /// Reads what [`Self::to_json`] wrote; everything else counts as absent.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            boot_id: value.get("boot_id")?.as_str().filter(|id| !id.is_empty())?.to_owned(),
            since_boot: Duration::from_secs(value.get("boottime_seconds")?.as_u64()?),
            true_time: parse_rfc3339(value.get("true_time")?.as_str()?)?,
        })
    }

    /// The anchor in the bytes of a `status.json`.
    #[must_use]
    pub fn in_status(bytes: &[u8]) -> Option<Self> {
        let status: Value = serde_json::from_slice(bytes).ok()?;
        Self::from_json(status.get("anchor")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn anchor() -> Anchor {
        Anchor {
            boot_id: "a".to_owned(),
            since_boot: Duration::from_secs(1000),
            true_time: datetime!(2026-11-23 12:00 UTC),
        }
    }

    #[test]
    fn the_true_time_goes_on_with_the_time_since_boot() {
        let later = anchor().after("a", Duration::from_secs(4600));
        assert_eq!(later, Some(datetime!(2026-11-23 13:00 UTC)));
    }

    #[test]
    fn an_anchor_of_another_boot_or_of_the_future_says_nothing() {
        assert_eq!(anchor().after("b", Duration::from_secs(4600)), None);
        assert_eq!(anchor().after("a", Duration::from_secs(999)), None);
    }

    #[test]
    fn an_anchor_survives_status_and_damage_is_absence() {
        let status = json!({ "version": 1, "anchor": anchor().to_json() }).to_string();
        assert_eq!(Anchor::in_status(status.as_bytes()), Some(anchor()));
        for damaged in [
            "",
            "{}",
            "{\"anchor\":null}",
            "{\"anchor\":{\"boot_id\":\"a\",\"boottime_seconds\":-1,\"true_time\":\"2026-11-23T12:00:00Z\"}}",
            "{\"anchor\":{\"boot_id\":\"a\",\"boottime_seconds\":1,\"true_time\":\"noon\"}}",
        ] {
            assert_eq!(Anchor::in_status(damaged.as_bytes()), None, "{damaged}");
        }
    }
}
