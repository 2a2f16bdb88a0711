//! What every module that talks to the outside is handed: the two seams, a source of jitter, and what has been
//! learnt about the true time. Holds no configuration and no credentials.

use std::sync::{Mutex, PoisonError};

use log::warn;
use time::{Duration, OffsetDateTime};

use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::retry::Jitter;
use crate::timestamp::between;
use crate::transport::{Response, Transport};

/// A clock that is off by less is right: `Date` counts whole seconds, and answers take their time.
const NEGLIGIBLE: Duration = Duration::seconds(5);
/// STS accepts signatures that are off by five minutes; the SDKs' common rule corrects from four on.
const SIGNATURES_ACCEPT: Duration = Duration::minutes(4);

/// Who told the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// A metadata service on this host's own link; the caller has seen to that.
    Imds,
    /// STS, over verified TLS.
    Sts,
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

    /// The same host, whose clock is believed whatever anybody says: `AWS_DISABLE_CLOCK_SKEW_CORRECTION`.
    #[must_use]
    pub fn without_correction(mut self) -> Self {
        self.corrects_clock = false;
        self
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
        anchor?.project(self.boot(), self.clock.since_boot())?;
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

    /// Learns from the `Date` of `response`, and tells whether that changed the true time. The system clock is never
    /// touched.
    pub fn hear(&self, response: &Response, teller: Teller) -> bool {
        let Some(offset) = response.clock_offset().filter(|_| self.corrects_clock) else { return false };
        let wall = self.clock.now();
        let known = self.truth_at(wall);
        let told = wall.saturating_add(offset);
        let tolerance = match teller {
            Teller::Imds => NEGLIGIBLE,
            Teller::Sts => SIGNATURES_ACCEPT,
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
        let boot_id = self.boot().to_owned();
        let anchor = Anchor { boot_id, since_boot: self.clock.since_boot(), true_time };
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = Some(anchor);
        !agrees
    }

    fn truth_at(&self, wall: OffsetDateTime) -> OffsetDateTime {
        let Some(anchor) = self.anchor() else { return wall };
        match anchor.project(self.boot(), self.clock.since_boot()) {
            Some(told) if between(wall, told).abs() <= NEGLIGIBLE => wall,
            Some(told) => told,
            // Told before the last boot: how long ago is unknown, but it cannot be earlier than that.
            None => wall.max(anchor.true_time),
        }
    }

    /// Without a name for it, anchors still hold within this process.
    fn boot(&self) -> &str {
        self.clock.boot_id().unwrap_or_default()
    }
}
