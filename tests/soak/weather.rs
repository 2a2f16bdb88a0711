//! When the world worked, and when it did not, for whom: that decides which expired credentials are a broken promise.

use std::sync::Mutex;
use std::time::Duration;

use crate::watch::Watch;

/// What was asked of a service just before it was well again may still take its time: the longest pause between two
/// attempts, or the time after which an answer is no longer waited for; the fake asks for no longer pauses.
const LINGERS: Duration = Duration::from_secs(12);

/// The longest wait of a profile that has failed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// All attempts of one call to STS, and those to IMDS before it: so long may a batch take that began in bad weather, and
/// no other begins before it has ended.
const LONGEST_BATCH: Duration = Duration::from_secs(40);

/// What a due time by the half of the lifetime leaves is thirty seconds less fifteen; a batch takes some of them. What is
/// late beyond the end of a session is late by more than this machine can be.
const NOISE: Duration = Duration::from_secs(2);

/// Whom trouble concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everybody: a service misbehaves.
    Everybody,
    /// The profiles with this role: it is denied.
    Role(usize),
    /// The profiles of the daemon that is being killed.
    Victim,
}

#[derive(Debug)]
struct Trouble {
    scope: Scope,
    /// `None` while it lasts.
    to: Option<Duration>,
}

/// The record of all trouble.
#[derive(Debug, Default)]
pub(crate) struct Weather(Mutex<Vec<Trouble>>);

/// Whose credentials are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Concerned {
    pub(crate) role: usize,
    pub(crate) victim: bool,
}

impl Concerned {
    fn by(self, scope: Scope) -> bool {
        match scope {
            Scope::Everybody => true,
            Scope::Role(role) => role == self.role,
            Scope::Victim => self.victim,
        }
    }
}

impl Weather {
    pub(crate) fn begin(&self, scope: Scope) {
        self.0.lock().unwrap().push(Trouble { scope, to: None });
    }

    /// Ends all trouble of `scope`.
    pub(crate) fn end(&self, scope: Scope, at: Duration) {
        let mut troubles = self.0.lock().unwrap();
        let open = troubles.iter_mut().filter(|trouble| trouble.scope == scope && trouble.to.is_none());
        open.for_each(|trouble| trouble.to = Some(at));
    }

    /// Whether there was no trouble for `whom` from `from` until now.
    pub(crate) fn was_good_since(&self, from: Duration, whom: Concerned) -> bool {
        let troubles = self.0.lock().unwrap();
        let spoils =
            |trouble: &&Trouble| whom.by(trouble.scope) && trouble.to.is_none_or(|to| to + LINGERS > from);
        !troubles.iter().any(|trouble| spoils(&trouble))
    }

    /// Whether credentials that were issued at `issued` and expired at `expired`, both in the time of the run, may not
    /// be there any more: they have been expired for longer than noise explains, and either nothing has gone wrong
    /// since they were issued, so that they were due at half of their life; or nothing has gone wrong for so long that
    /// the longest batch and after it the longest wait of a failing profile have ended.
    pub(crate) fn makes_stale(
        &self,
        issued: time::Duration,
        expired: time::Duration,
        whom: Concerned,
        watch: &Watch,
    ) -> bool {
        let issued = Duration::try_from(issued).unwrap_or_default();
        let expired = Duration::try_from(expired).unwrap_or_default();
        let now = watch.now();
        let allowance = NOISE + watch.stalled_since(issued) * 2;
        if now < expired + allowance {
            return false;
        }
        let long_ago = now.checked_sub(LONGEST_BATCH + LONGEST_WAIT + allowance);
        self.was_good_since(issued, whom) || long_ago.is_some_and(|from| self.was_good_since(from, whom))
    }
}
