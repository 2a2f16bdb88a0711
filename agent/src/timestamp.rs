//! Points in time as text: RFC 3339 as AWS writes it and as we write it, and the HTTP `Date` header.

use std::fmt;

use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Duration, OffsetDateTime, UtcOffset};

/// Reads an RFC 3339 timestamp: fractional seconds and offsets other than `Z` are accepted, because moto and
/// some services send them.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)
}

/// Reads the value of a `Date` header in the form that RFC 9110, section 5.6.7, asks of senders.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Rfc2822).ok()?.checked_to_offset(UtcOffset::UTC)
}

/// The time from `earlier` to `later`, negative where they are the other way round.
#[expect(clippy::arithmetic_side_effects, reason = "the whole range of years fits into a Duration")]
#[must_use]
pub fn between(earlier: OffsetDateTime, later: OffsetDateTime) -> Duration {
    later - earlier
}

/// Writes `YYYY-MM-DDTHH:MM:SSZ`, the one form that every reader of `credential_process` output accepts:
/// botocore's parser gives up on fractional seconds.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339Seconds(pub OffsetDateTime);

impl fmt::Display for Rfc3339Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_offset(UtcOffset::UTC);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            utc.year(),
            u8::from(utc.month()),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn fractions_and_numeric_offsets_are_read() {
        for (text, expected) in [
            ("2026-11-23T19:23:13Z", datetime!(2026-11-23 19:23:13 UTC)),
            ("2026-11-23T19:23:13.904538Z", datetime!(2026-11-23 19:23:13.904538 UTC)),
            ("2026-11-23T19:23:13+00:00", datetime!(2026-11-23 19:23:13 UTC)),
            ("2026-11-23T20:23:13+01:00", datetime!(2026-11-23 19:23:13 UTC)),
            (" 2026-11-23T19:23:13Z\n", datetime!(2026-11-23 19:23:13 UTC)),
        ] {
            assert_eq!(parse_rfc3339(text), Some(expected), "{text}");
        }
        for text in ["", "soon", "2026-11-23", "2026-13-23T19:23:13Z", "1795000000"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(
            parse_http_date("Mon, 23 Nov 2026 19:23:13 GMT"),
            Some(datetime!(2026-11-23 19:23:13 UTC))
        );
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn timestamps_are_written_in_whole_seconds_of_utc() {
        let at = datetime!(2026-01-02 03:04:05.678 +02:00);
        assert_eq!(Rfc3339Seconds(at).to_string(), "2026-01-02T01:04:05Z");
    }
}
