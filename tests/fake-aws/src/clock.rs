//! The time, and waits that a stop ends. The only file here that reads a clock; knows nothing of what is waited
//! for.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// The host's wall clock, which is what real services have too.
#[expect(
    clippy::disallowed_methods,
    reason = "the fake stands outside the agent and has no Clock of its own"
)]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::from(SystemTime::now())
}

/// A flag raised once, at which every wait ends.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn raise(&self) {
        *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_raised(&self) -> bool {
        *self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `pause`, or until the flag is raised.
    pub(crate) fn wait(&self, pause: Duration) {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        // The outcome does not matter: whoever waits looks at its connection next, which a stop has closed.
        drop(self.changed.wait_timeout_while(raised, pause, |raised| !*raised));
    }
}

/// `at` as an HTTP `Date` header says it.
pub(crate) fn http_date(at: OffsetDateTime) -> String {
    let weekday = at.weekday().to_string();
    let month = at.month().to_string();
    let short = |name: &str| name.chars().take(3).collect::<String>();
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        short(&weekday),
        at.day(),
        short(&month),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// `at` in RFC 3339 with whole seconds and `Z`, as AWS writes expirations.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    format!("{}T{:02}:{:02}:{:02}Z", at.date(), at.hour(), at.minute(), at.second())
}

/// `at` in the basic form that signatures use: `20150830T123600Z`.
pub(crate) fn basic(at: OffsetDateTime) -> String {
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The instant that `text` names in the basic form; `None` when it names none.
pub(crate) fn parse_basic(text: &str) -> Option<OffsetDateTime> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || clock.len() != 6 {
        return None;
    }
    let number = |part: Option<&str>| part.and_then(|digits| digits.parse::<u8>().ok());
    let year = date.get(..4)?.parse().ok()?;
    let month = time::Month::try_from(number(date.get(4..6))?).ok()?;
    let day = number(date.get(6..8))?;
    let date = time::Date::from_calendar_date(year, month, day).ok()?;
    let clock =
        time::Time::from_hms(number(clock.get(..2))?, number(clock.get(2..4))?, number(clock.get(4..6))?)
            .ok()?;
    Some(OffsetDateTime::new_utc(date, clock))
}
