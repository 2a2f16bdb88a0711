//! What a failure leaves behind: a note for `status`, and, where AWS has refused again and again, the time before which
//! no process asks anew unless somebody says so. How long that is, the schedule knows.

use time::{Duration, OffsetDateTime};

use super::freshness::TOLERANCE;
use super::{Entry, Keeper, Outcome, Reuse, shared};
use crate::config::model::Profile;
use crate::disposition::Disposition;
use crate::error::{Error, Told};
use crate::fingerprint::fingerprint;
use crate::output::OutputError;
use crate::output::state::{Failure, Record};
use crate::schedule::hold;
use crate::source::imds::EXTENSION;
use crate::timestamp::{Rfc3339Seconds, between};

/// Why a profile is not asked for at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How often it was refused in a row.
    pub refusals: u64,
    /// When asking again makes sense.
    pub until: OffsetDateTime,
    /// The last refusal.
    pub told: Told,
}

impl Keeper<'_> {
    /// A failure changes no published file; it is remembered.
    pub(super) fn remember_failure(
        &self,
        entry: &mut Entry<'_>,
        error: Error,
    ) -> Result<Outcome, OutputError> {
        let at = self.host.true_time();
        let profile = entry.managed.outcome.as_ref().ok();
        let record = &mut entry.record;
        let remaining = remaining(record, &error, at);
        let disposition = error.disposition().as_str();
        let alike = record.failure.as_ref().filter(|last| last.disposition == disposition);
        let count = alike.map_or(0, |last| last.count).saturating_add(1);
        // Of somebody at a terminal who mistypes a code, or waits for the next one, nobody is tired.
        let asks_somebody =
            |profile: &Profile| profile.chain.roles.iter().any(|role| role.mfa_serial.is_some());
        let wait = profile.filter(|profile| !asks_somebody(profile)).and_then(|_| {
            let life = remaining.unwrap_or_default();
            hold(error.pace(), count, life, error.wish())
        });
        record.failure = Some(Failure {
            at,
            message: error.with_causes(),
            advice: error.advice(),
            disposition: disposition.to_owned(),
            count,
            fingerprint: profile.map(|profile| fingerprint(self.state.key(), profile)).unwrap_or_default(),
            next_attempt: wait.map(|wait| at.saturating_add(wait)),
        });
        record.config = self.config_path();
        self.state.store(record)?;
        Ok(Outcome::Failed { error, remaining, margin: margin(profile) })
    }

    /// Why `profile` is not asked for at present, where it is not.
    pub(super) fn hold(&self, profile: &Profile, record: &Record) -> Option<Held> {
        let failure = record.failure.as_ref()?;
        let until = failure.next_attempt?;
        let now = self.host.true_time();
        // A clock that stands before the refusal was wrong then or is wrong now.
        let applies = now < until && now >= failure.at.saturating_sub(TOLERANCE);
        if !applies || failure.fingerprint != fingerprint(self.state.key(), profile) {
            return None;
        }
        let disposition = Disposition::named(&failure.disposition)?;
        let is_throttled = disposition == Disposition::Retry;
        let told = Told {
            message: if is_throttled {
                format!(
                    "{} (it wants to be left alone; not asked again before {})",
                    failure.message,
                    Rfc3339Seconds(until)
                )
            } else {
                format!(
                    "{} ({} times in a row; not asked again before {})",
                    failure.message,
                    failure.count,
                    Rfc3339Seconds(until)
                )
            },
            advice: Some(match &failure.advice {
                Some(advice) => format!("{advice}; `rolekeeper refresh --force` asks at once"),
                None => "`rolekeeper refresh --force` asks at once".to_owned(),
            }),
            pace: if is_throttled { disposition } else { Disposition::Refused },
            wish: std::time::Duration::ZERO,
            exit_code: disposition.exit_code(),
        };
        Some(Held { refusals: failure.count, until, told })
    }

    /// The outcome for a profile that is not asked for at present. A daemon asks when its plan says so, and whoever
    /// forces a refresh at once.
    pub(super) fn held(&self, profile: &Profile, record: &Record, reuse: Reuse) -> Option<Outcome> {
        match reuse {
            Reuse::Fresh | Reuse::WithLife(_) => {}
            Reuse::After(_) | Reuse::Nothing => return None,
        }
        let error = Error::Told(self.hold(profile, record)?.told);
        let remaining = remaining(record, &error, self.host.true_time());
        Some(Outcome::Failed { error, remaining, margin: margin(Some(profile)) })
    }
}

/// The life left in what `record` says is published, as far as `error` lets it count.
fn remaining(record: &Record, error: &Error, now: OffsetDateTime) -> Option<Duration> {
    let last = record.published.as_ref();
    let expiration = if let Error::Merge { cause, .. } = error {
        shared::expiration(record, cause)
    } else {
        last.and_then(|last| last.expiration)
    };
    // The random part of an extension is there to spread a fleet, and is no life.
    let longest = last.and_then(|last| last.real_expiration).map_or(Duration::MAX, |_| EXTENSION);
    expiration.map(|expiration| between(now, expiration).min(longest))
}

fn margin(profile: Option<&Profile>) -> Duration {
    profile.and_then(|profile| Duration::try_from(profile.refresh.margin).ok()).unwrap_or_default()
}
