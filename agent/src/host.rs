//! What every module that talks to the outside is handed: the two seams, a source of jitter, and what has been
//! learnt about the true time. Holds no configuration and no credentials.

use std::sync::{Mutex, PoisonError};

use log::warn;
use time::{Duration, OffsetDateTime};

use crate::anchor::{Anchor, NEGLIGIBLE};
use crate::clock::Clock;
use crate::retry::Jitter;
use crate::timestamp::between;
use crate::transport::{Response, Transport};

/// STS accepts signatures that are off by five minutes; the SDKs' common rule corrects from four on.
const SIGNATURES_ACCEPT: Duration = Duration::minutes(4);

/// Who told the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// A metadata service on this host's own link; the caller has seen to that.
    Imds,
    /// STS, over verified TLS.
    Sts {
        /// The offset that the request was signed with, which another thread may have corrected since.
        believed: Duration,
    },
}

/// The bundle of seams, made once in main and passed down by reference.
#[derive(Debug)]
pub struct Host<'a> {
    /// Time.
    pub clock: &'a dyn Clock,
    /// HTTP.
    pub transport: &'a dyn Transport,
    /// Random spreading of retries.
    pub jitter: Jitter,
    corrects_clock: bool,
    anchor: Mutex<Option<Anchor>>,
}

impl<'a> Host<'a> {
    /// A host whose clock is believed until a service contradicts it.
    #[must_use]
    pub fn new(clock: &'a dyn Clock, transport: &'a dyn Transport, seed: u64) -> Self {
        let jitter = Jitter::new(seed);
        Self { clock, transport, jitter, corrects_clock: true, anchor: Mutex::new(None) }
    }

    /// The same host; without correction its clock is believed whatever anybody says, as
    /// `AWS_DISABLE_CLOCK_SKEW_CORRECTION` asks for.
    #[must_use]
    pub fn correcting(mut self, corrects_clock: bool) -> Self {
        self.corrects_clock = corrects_clock;
        self
    }

    /// The same host for those who believe its clock whatever anybody says.
    #[must_use]
    pub fn uncorrected(&self) -> Self {
        Self::new(self.clock, self.transport, self.jitter.up_to(u64::MAX)).correcting(false)
    }

    /// Whether services are believed more than the clock.
    #[must_use]
    pub fn corrects_clock(&self) -> bool {
        self.corrects_clock
    }

    /// The time as AWS sees it, for signing and for expiry: what a service told during this boot and the time since
    /// then, else the wall clock.
    #[must_use]
    pub fn true_time(&self) -> OffsetDateTime {
        self.truth_at(self.clock.now())
    }

    /// How far AWS's time is ahead of this host's clock; zero unless a service said otherwise.
    #[must_use]
    pub fn clock_offset(&self) -> Duration {
        let wall = self.clock.now();
        between(wall, self.truth_at(wall))
    }

    /// The true time, where a service has told it during this boot.
    #[must_use]
    pub fn told_time(&self) -> Option<OffsetDateTime> {
        let anchor = self.anchor();
        anchor?.project(self.clock)?;
        Some(self.true_time())
    }

    /// Where the true time was known last, for those who come after.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what an earlier process learnt, where this one has learnt nothing yet.
    pub fn adopt(&self, anchor: Option<Anchor>) {
        if self.corrects_clock {
            let mut known = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
            if known.is_none() {
                *known = anchor;
            }
        }
    }

    /// Learns from the `Date` of `response`, and says whether the request was made in the belief of another time.
    /// The system clock is never touched.
    pub fn hear(&self, response: &Response, teller: Teller) -> bool {
        let Some(offset) = response.clock_offset().filter(|_| self.corrects_clock) else { return false };
        let wall = self.clock.now();
        let known = self.truth_at(wall);
        let told = wall.saturating_add(offset);
        let tolerance = match teller {
            Teller::Imds => NEGLIGIBLE,
            Teller::Sts { .. } => SIGNATURES_ACCEPT,
        };
        let agrees = between(known, told).abs() <= tolerance;
        let true_time = match offset.abs() <= NEGLIGIBLE {
            // What is known is finer than a `Date`.
            _ if agrees => known,
            true => wall,
            false => {
                warn!("this host's clock is off by {} seconds, which is allowed for", offset.whole_seconds());
                told
            }
        };
        let anchor = Anchor::here(self.clock, true_time);
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = Some(anchor);
        match teller {
            Teller::Imds => !agrees,
            Teller::Sts { believed } => offset.saturating_sub(believed).abs() > tolerance,
        }
    }

    fn truth_at(&self, wall: OffsetDateTime) -> OffsetDateTime {
        self.anchor().map_or(wall, |anchor| anchor.correct(wall, self.clock))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use time::format_description::well_known::Rfc2822;
    use time::macros::datetime;

    use super::*;
    use crate::transport::{Request, TransportError};

    const NOON: OffsetDateTime = datetime!(2026-11-23 12:00:00 UTC);

    /// A wall clock that is wrong by `offset`, and a time since boot that never is.
    #[derive(Debug)]
    struct Hands {
        passed: Mutex<Duration>,
        offset: Mutex<Duration>,
    }

    impl Hands {
        fn wrong_by(offset: Duration) -> Self {
            Self { passed: Mutex::new(Duration::ZERO), offset: Mutex::new(offset) }
        }

        fn pass(&self, time: Duration) {
            let mut passed = self.passed.lock().unwrap();
            *passed = passed.saturating_add(time);
        }

        fn set_wrong_by(&self, offset: Duration) {
            *self.offset.lock().unwrap() = offset;
        }

        fn truth(&self) -> OffsetDateTime {
            NOON.saturating_add(*self.passed.lock().unwrap())
        }
    }

    impl Clock for Hands {
        fn now(&self) -> OffsetDateTime {
            self.truth().saturating_add(*self.offset.lock().unwrap())
        }

        fn uptime(&self) -> std::time::Duration {
            self.since_boot()
        }

        fn since_boot(&self) -> std::time::Duration {
            Duration::hours(9).saturating_add(*self.passed.lock().unwrap()).try_into().unwrap()
        }

        fn boot_id(&self) -> Option<&str> {
            Some("this boot")
        }

        fn pause(&self, pause: std::time::Duration) {
            self.pass(pause.try_into().unwrap());
        }
    }

    #[derive(Debug)]
    struct Silence;

    impl Transport for Silence {
        fn send(&self, _: &Request<'_>) -> Result<Response, TransportError> {
            Err(TransportError::Refused)
        }
    }

    fn dated(clock: &Hands, at: OffsetDateTime) -> Response {
        let headers = vec![("date".to_owned(), at.format(&Rfc2822).unwrap())];
        let body = Vec::new().into();
        Response { status: 200, headers, body, midpoint: clock.now(), round_trip: std::time::Duration::ZERO }
    }

    #[test]
    fn a_wrong_clock_is_corrected_and_a_later_step_of_it_changes_nothing() {
        for offset in [Duration::days(-10_950), Duration::hours(-2), Duration::hours(2), Duration::days(3652)]
        {
            let clock = Hands::wrong_by(offset);
            let host = Host::new(&clock, &Silence, 1);
            assert_eq!((host.clock_offset(), host.told_time()), (Duration::ZERO, None));
            assert!(host.hear(&dated(&clock, clock.truth()), Teller::Imds));
            assert_eq!(
                (host.true_time(), host.clock_offset()),
                (NOON, Duration::ZERO.saturating_sub(offset))
            );
            clock.pass(Duration::hours(5));
            assert_eq!(host.true_time(), clock.truth());
            clock.set_wrong_by(Duration::days(77));
            assert_eq!((host.true_time(), host.told_time()), (clock.truth(), Some(clock.truth())));
            assert!(!host.hear(&dated(&clock, clock.truth()), Teller::Imds), "nothing new");
        }
    }

    #[test]
    fn seconds_are_no_offset_and_minutes_are_none_to_sts() {
        let clock = Hands::wrong_by(Duration::seconds(-4));
        let host = Host::new(&clock, &Silence, 1);
        assert!(!host.hear(&dated(&clock, clock.truth()), Teller::Imds));
        assert_eq!(host.clock_offset(), Duration::ZERO);
        assert!(host.told_time().is_some(), "the clock was found right");
        for (minutes, is_news) in [(-4_i64, false), (4, false), (-5, true), (5, true)] {
            let clock = Hands::wrong_by(Duration::minutes(minutes));
            let host = Host::new(&clock, &Silence, 1);
            assert_eq!(
                host.hear(&dated(&clock, clock.truth()), Teller::Sts { believed: Duration::ZERO }),
                is_news,
                "{minutes}"
            );
            assert_eq!(host.clock_offset().is_zero(), !is_news);
        }
    }

    #[test]
    fn a_request_signed_in_an_old_belief_is_signed_anew_though_another_thread_has_learnt_the_time() {
        let clock = Hands::wrong_by(Duration::hours(2));
        let host = Host::new(&clock, &Silence, 1);
        let believed = host.clock_offset();
        assert!(host.hear(&dated(&clock, clock.truth()), Teller::Sts { believed }));
        assert!(host.hear(&dated(&clock, clock.truth()), Teller::Sts { believed }));
        let believed = host.clock_offset();
        assert!(!host.hear(&dated(&clock, clock.truth()), Teller::Sts { believed }));
    }

    #[test]
    fn caches_long_exchanges_and_silence_about_the_time_teach_nothing() {
        let clock = Hands::wrong_by(Duration::hours(2));
        let host = Host::new(&clock, &Silence, 1);
        let mut cached = dated(&clock, clock.truth());
        cached.headers.push(("age".to_owned(), "0".to_owned()));
        let mut long = dated(&clock, clock.truth());
        long.round_trip = std::time::Duration::from_secs(901);
        let mut undated = dated(&clock, clock.truth());
        undated.headers.clear();
        for response in [cached, long, undated] {
            assert!(!host.hear(&response, Teller::Imds) && host.told_time().is_none());
        }
        let believer = Host::new(&clock, &Silence, 1).correcting(false);
        assert!(!believer.hear(&dated(&clock, clock.truth()), Teller::Sts { believed: Duration::ZERO }));
        assert_eq!(believer.true_time(), clock.now());
    }

    #[test]
    fn an_anchor_of_an_earlier_process_counts_and_one_of_an_earlier_boot_is_a_lower_bound() {
        let clock = Hands::wrong_by(Duration::hours(-2));
        let first = Host::new(&clock, &Silence, 1);
        first.hear(&dated(&clock, clock.truth()), Teller::Sts { believed: Duration::ZERO });
        clock.pass(Duration::minutes(30));
        let second = Host::new(&clock, &Silence, 1);
        second.adopt(first.anchor());
        assert_eq!(second.true_time(), clock.truth());

        let other_boot = Anchor { boot_id: "another".to_owned(), ..first.anchor().unwrap() };
        let third = Host::new(&clock, &Silence, 1);
        third.adopt(Some(other_boot));
        assert_eq!((third.true_time(), third.told_time()), (NOON, None), "not earlier than what was known");
        clock.set_wrong_by(Duration::hours(3));
        assert_eq!(third.true_time(), clock.now(), "and the wall clock above that");
    }
}
