//! Whether published credentials can be kept: they match the configuration, their files are there, and they are not
//! due.

use std::path::Path;

use time::{Duration, OffsetDateTime};

use super::{PublishedDocument, Reuse, attributes};
use crate::config::model::Profile;
use crate::fingerprint::fingerprint;
use crate::output::directory::Directory;
use crate::output::names::file_name;
use crate::output::profile_files;
use crate::output::state::{Published, Record, State};
use crate::schedule::{Fraction, Lifetime};
use crate::timestamp::between;

/// A clock that stands before the time of issue by more than this was wrong then or is wrong now.
pub(super) const TOLERANCE: Duration = Duration::minutes(5);

/// What is published for a profile, as far as it matches the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing, or something that does not match.
    None,
    /// Credentials.
    Published {
        /// When they were issued.
        issued: OffsetDateTime,
        /// When they are due; long-term keys never are.
        due: Option<OffsetDateTime>,
        /// When they expire.
        expiration: Option<OffsetDateTime>,
    },
}

impl Freshness {
    /// Whether they, the set number `generation`, are kept at `now`.
    #[must_use]
    pub fn is_kept(self, reuse: Reuse, generation: u64, now: OffsetDateTime) -> bool {
        let Self::Published { issued, due, expiration } = self else { return false };
        if now < issued.saturating_sub(TOLERANCE) {
            return false;
        }
        match reuse {
            Reuse::Nothing => false,
            Reuse::Fresh => due.is_none_or(|due| now < due),
            Reuse::After(known) => generation > known && due.is_none_or(|due| now < due),
            Reuse::WithLife(life) => {
                let life = Duration::try_from(life).unwrap_or(Duration::MAX);
                expiration.is_none_or(|expiration| between(now, expiration) >= life)
            }
        }
    }
}

/// When the set number `generation` of the credentials of `profile`, from `issued` to `expiration`, is due. Long-term keys
/// never are.
pub(super) fn due(
    profile: &Profile,
    key: &[u8],
    generation: u64,
    issued: OffsetDateTime,
    expiration: Option<OffsetDateTime>,
) -> Option<OffsetDateTime> {
    let jitter = Fraction::keyed(key, &profile.name, generation);
    expiration.map(|expiration| Lifetime { issued, expiration }.due(&profile.refresh, jitter))
}

/// Lets `record` say when what is published for `profile` is due by its settings as they are now.
pub(super) fn reschedule(record: &mut Record, profile: &Profile, key: &[u8]) {
    if let Some(published) = &mut record.published
        && published.settings != Some(profile.refresh)
    {
        let Published { generation, issued, expiration, .. } = *published;
        published.due = due(profile, key, generation, issued, expiration);
        published.settings = Some(profile.refresh);
    }
}

/// What is published for `profile` below `profiles`, as far as it matches `wanted`, its fingerprint.
pub(super) fn of(
    state: &State,
    profiles: &Path,
    profile: &Profile,
    record: &Record,
    wanted: &str,
) -> Freshness {
    let Some(published) = record.published.as_ref().filter(|last| last.fingerprint == wanted) else {
        return Freshness::None;
    };
    let Ok(directory) = Directory::open_to_read(&profiles.join(file_name(&profile.name))) else {
        return Freshness::None;
    };
    if !profile_files::are_complete(&directory, attributes(&profile.publication)) {
        return Freshness::None;
    }
    // What belongs to the agent's user must still be what was published. A file that was given away may have been
    // changed by its owner, who must not be able to cause a refresh with that.
    let own = profile.publication.owner.is_none();
    if own && profile_files::read_own(&directory, state.key(), &published.digest).is_none() {
        return Freshness::None;
    }
    Freshness::Published { issued: published.issued, due: published.due, expiration: published.expiration }
}

/// What is published for `profile` in `output_dir`, where it can be kept: the quick way of `print`, which takes no
/// lock, writes nothing and reads three files.
#[must_use]
pub fn peek(
    output_dir: &Path,
    profile: &Profile,
    reuse: Reuse,
    now: OffsetDateTime,
) -> Option<PublishedDocument> {
    let state = State::open_to_read(&output_dir.join("state"))?;
    let mut record = state.load(&profile.name);
    reschedule(&mut record, profile, state.key());
    let profiles = output_dir.join("profiles");
    let wanted = fingerprint(state.key(), profile);
    let freshness = of(&state, &profiles, profile, &record, &wanted);
    let last = record.published?;
    if !freshness.is_kept(reuse, last.generation, now) {
        return None;
    }
    let directory = Directory::open_to_read(&profiles.join(file_name(&profile.name))).ok()?;
    let json = profile_files::read_own(&directory, state.key(), &last.digest)?;
    Some(PublishedDocument { json, region: last.region })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const ISSUED: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);
    const HOUR: Freshness = Freshness::Published {
        issued: ISSUED,
        due: Some(datetime!(2026-11-23 12:30 UTC)),
        expiration: Some(datetime!(2026-11-23 13:00 UTC)),
    };

    fn kept(reuse: Reuse, minutes: i64) -> bool {
        HOUR.is_kept(reuse, 7, ISSUED.saturating_add(Duration::minutes(minutes)))
    }

    #[test]
    fn credentials_are_kept_until_they_are_due() {
        assert!(kept(Reuse::Fresh, 0) && kept(Reuse::Fresh, 29));
        assert!(!kept(Reuse::Fresh, 30) && !kept(Reuse::Fresh, 59) && !kept(Reuse::Nothing, 1));
        assert!(!Freshness::None.is_kept(Reuse::Fresh, 7, ISSUED));
    }

    #[test]
    fn what_another_process_was_quicker_with_is_kept_while_it_is_fresh() {
        assert!(kept(Reuse::After(6), 29));
        assert!(!kept(Reuse::After(7), 0) && !kept(Reuse::After(6), 30));
    }

    #[test]
    fn a_minimum_of_life_counts_instead_of_the_due_time() {
        let quarter = Reuse::WithLife(std::time::Duration::from_secs(900));
        assert!(kept(quarter, 45) && !kept(quarter, 46));
    }

    #[test]
    fn a_clock_that_went_back_does_not_keep_credentials_for_years() {
        assert!(kept(Reuse::Fresh, -4) && !kept(Reuse::Fresh, -6));
    }

    #[test]
    fn long_term_keys_stay() {
        let keys = Freshness::Published { issued: ISSUED, due: None, expiration: None };
        assert!(keys.is_kept(Reuse::Fresh, 7, ISSUED.saturating_add(Duration::days(4000))));
    }
}
