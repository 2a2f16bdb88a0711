//! Instant and scope: the two things that stand in the string to sign, in the credential and in the key's
//! derivation.
//!
//! The scope's date is cut from the very text that becomes `x-amz-date`, so the two cannot disagree at
//! midnight.

use time::{OffsetDateTime, UtcOffset};

use crate::Error;
use crate::text::{Ascii, Sink};

/// Where a signature is valid: one region and one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    region: &'a str,
    service: &'a str,
}

impl<'a> Scope<'a> {
    /// Takes a region such as `eu-central-1` and a service's signing name such as `sts`.
    #[must_use]
    pub const fn new(region: &'a str, service: &'a str) -> Self {
        Self { region, service }
    }

    pub(crate) fn region(&self) -> &'a str {
        self.region
    }

    pub(crate) fn service(&self) -> &'a str {
        self.service
    }

    pub(crate) fn dated<'d>(self, timestamp: &'d Timestamp) -> Result<DatedScope<'d>, Error>
    where
        'a: 'd,
    {
        if !is_scope_part(self.region) {
            return Err(Error::Region { region: self.region.to_owned() });
        }
        if !is_scope_part(self.service) {
            return Err(Error::Service { service: self.service.to_owned() });
        }
        Ok(DatedScope { date: timestamp.date(), scope: self })
    }
}

fn is_scope_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b','))
}

/// A scope with its day: `20260304/eu-central-1/sts/aws4_request`. The parts are known to be plain.
#[derive(Clone, Copy)]
pub(crate) struct DatedScope<'a> {
    pub(crate) date: &'a str,
    pub(crate) scope: Scope<'a>,
}

impl DatedScope<'_> {
    pub(crate) const TERMINATOR: &'static str = "aws4_request";

    pub(crate) fn put(&self, sink: &mut impl Sink) {
        for part in [self.date, "/", self.scope.region, "/", self.scope.service, "/", Self::TERMINATOR] {
            sink.put(part);
        }
    }
}

/// An instant as SigV4 writes it: `yyyymmddThhmmssZ`, in UTC, fractions of a second cut off.
#[derive(Clone, Copy)]
pub(crate) struct Timestamp {
    text: Ascii<16>,
}

impl Timestamp {
    pub(crate) fn new(at: OffsetDateTime) -> Result<Self, Error> {
        let at = at.checked_to_offset(UtcOffset::UTC).ok_or(Error::Instant)?;
        let year = u16::try_from(at.year()).ok().filter(|year| *year <= 9999).ok_or(Error::Instant)?;
        let mut text = Ascii::new();
        put_number(&mut text, year, 1000);
        put_number(&mut text, u16::from(u8::from(at.month())), 10);
        put_number(&mut text, u16::from(at.day()), 10);
        text.push(b'T');
        put_number(&mut text, u16::from(at.hour()), 10);
        put_number(&mut text, u16::from(at.minute()), 10);
        put_number(&mut text, u16::from(at.second()), 10);
        text.push(b'Z');
        Ok(Self { text })
    }

    pub(crate) fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The day, `yyyymmdd`.
    pub(crate) fn date(&self) -> &str {
        self.as_str().get(..8).unwrap_or_default()
    }
}

/// Writes `number` in decimal; `place` is the value of its first digit's place.
fn put_number(text: &mut Ascii<16>, number: u16, place: u16) {
    let mut place = place;
    while let Some(digit) = number.checked_div(place) {
        text.push(u8::try_from(digit % 10).unwrap_or_default().saturating_add(b'0'));
        place /= 10;
    }
}

#[cfg(test)]
mod tests {
    use time::{Date, Duration, Month, OffsetDateTime, Time, UtcOffset};

    use super::{Scope, Timestamp};
    use crate::Error;

    fn instant(year: i32, month: Month, day: u8, hms: (u8, u8, u8), offset_hours: i8) -> OffsetDateTime {
        let date = Date::from_calendar_date(year, month, day).unwrap();
        let time = Time::from_hms(hms.0, hms.1, hms.2).unwrap();
        OffsetDateTime::new_in_offset(date, time, UtcOffset::from_hms(offset_hours, 0, 0).unwrap())
    }

    #[test]
    fn writes_utc_whatever_the_offset() {
        let at = instant(2026, Month::March, 1, (1, 2, 3), 2);
        let timestamp = Timestamp::new(at).unwrap();
        assert_eq!(timestamp.as_str(), "20260228T230203Z");
        assert_eq!(timestamp.date(), "20260228");
    }

    #[test]
    fn cuts_fractions_and_keeps_the_day_of_the_last_moment() {
        let at = instant(2026, Month::December, 31, (23, 59, 59), 0) + Duration::milliseconds(999);
        assert_eq!(Timestamp::new(at).unwrap().as_str(), "20261231T235959Z");
        assert_eq!(Timestamp::new(at + Duration::milliseconds(1)).unwrap().as_str(), "20270101T000000Z");
    }

    #[test]
    fn knows_the_years_that_four_digits_can_say() {
        assert_eq!(Timestamp::new(instant(0, Month::January, 1, (0, 0, 0), 0)).unwrap().date(), "00000101");
        let last = instant(9999, Month::December, 31, (23, 59, 59), 0);
        assert_eq!(Timestamp::new(last).unwrap().date(), "99991231");
        let beyond = instant(9999, Month::December, 31, (23, 59, 59), -1);
        assert_eq!(Timestamp::new(beyond).map(|_| ()), Err(Error::Instant));
        let before = instant(0, Month::January, 1, (0, 0, 0), 1);
        assert_eq!(Timestamp::new(before).map(|_| ()), Err(Error::Instant));
    }

    #[test]
    fn refuses_parts_that_break_the_syntax() {
        let timestamp = Timestamp::new(OffsetDateTime::UNIX_EPOCH).unwrap();
        for region in ["", "a/b", "a b", "a,b", "é", "a\n"] {
            let result = Scope::new(region, "sts").dated(&timestamp).map(|_| ());
            assert_eq!(result, Err(Error::Region { region: region.to_owned() }));
        }
        let result = Scope::new("eu-west-1", "s/s").dated(&timestamp).map(|_| ());
        assert_eq!(result, Err(Error::Service { service: "s/s".to_owned() }));
    }
}
