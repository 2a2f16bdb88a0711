//! What all work needs, and where it is done: in processes of its own, or within the daemon where none can be started,
//! as in a container without /proc.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::work::{Load, Loaded, Origin, Reply, Report, Roster, Standings, Work, perform};
use super::worker;
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::config::Texts;
use crate::error::Error;
use crate::host::Host;
use crate::refresh::Keeper;
use crate::schedule::Now;
use crate::timestamp::between;
use crate::transport::HttpTransport;

/// What does not change while the daemon lives.
#[derive(Clone)]
pub(super) struct Ground {
    /// The daemon's own path.
    pub(super) program: Arc<Path>,
    pub(super) clock: &'static dyn Clock,
    pub(super) seed: u64,
    pub(super) corrects_clock: bool,
}

/// What all work needs, owned.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) ground: Ground,
    pub(super) roster: Arc<Roster>,
    pub(super) place: Place,
    /// What is known of the true time.
    pub(super) anchor: Option<Anchor>,
}

/// Where work is done.
#[derive(Clone)]
pub(super) enum Place {
    /// In processes that are given these texts of the configuration.
    Apart(Arc<File>),
    /// On threads of the daemon, which holds the configuration.
    Within(Arc<Loaded>),
}

/// What a daemon begins with.
pub(super) struct Start {
    /// The lock of the one daemon.
    pub(super) lock: File,
    pub(super) standings: Standings,
    /// What an earlier run has left to know of the true time.
    pub(super) anchor: Option<Anchor>,
}

/// Has the configuration read by a process of its own.
///
/// # Errors
///
/// The outer one where no such process can work, the inner one where the configuration is in error.
pub(super) fn read_apart(program: &Path) -> io::Result<Result<(Roster, Place), Error>> {
    let texts = worker::texts_file()?;
    let (reply, _) = worker::ask(program, &texts, &Work::Load, None)?;
    Ok(match reply {
        Reply::Loaded(roster) => Ok((roster, Place::Apart(Arc::new(texts)))),
        other => Err(other.into_error()),
    })
}

/// Reads the configuration, which then stays in memory.
pub(super) fn read_within(load: &Load<'_>) -> Result<(Roster, Place), Error> {
    let mut loaded = load(Origin::Files)?;
    loaded.texts = Texts::default();
    Ok((Roster::of(&loaded), Place::Within(Arc::new(loaded))))
}

impl Scene {
    /// Refreshes these profiles, of which these generations are known.
    pub(super) fn refresh(&self, profiles: Vec<(usize, u64)>) -> Result<(Report, Option<Anchor>), Error> {
        match self.carry_out(&Work::Refresh(profiles))? {
            (Reply::Report(report), anchor) => Ok((report, anchor)),
            (other, _) => Err(other.into_error()),
        }
    }

    /// Takes the lock of the one daemon, and then looks around.
    pub(super) fn take_over(&self, patience: Duration) -> Result<Start, Error> {
        let Roster { output_dir, mode, .. } = &*self.roster;
        let lock = Keeper::life_lock(self.ground.clock, output_dir, *mode, patience)?;
        let (standings, anchor) = self.look_around()?;
        Ok(Start { lock, standings, anchor })
    }

    /// Brings the directory in line with the configuration, and sees what is published for each profile.
    pub(super) fn look_around(&self) -> Result<(Standings, Option<Anchor>), Error> {
        match self.carry_out(&Work::Look)? {
            (Reply::Standings(standings), anchor) => Ok((standings, anchor)),
            (other, _) => Err(other.into_error()),
        }
    }

    /// Runs the hooks that are pending; how long to wait before what has failed is tried again.
    pub(super) fn run_hooks(&self) -> Result<Option<Duration>, Error> {
        match self.carry_out(&Work::Hooks)? {
            (Reply::Hooks(wait), _) => Ok(wait),
            (other, _) => Err(other.into_error()),
        }
    }

    fn carry_out(&self, work: &Work) -> Result<(Reply, Option<Anchor>), Error> {
        let Ground { program, clock, seed, corrects_clock } = &self.ground;
        match &self.place {
            Place::Apart(texts) => {
                worker::ask(program, texts, work, self.anchor.as_ref()).map_err(Error::Worker)
            }
            Place::Within(loaded) => {
                // Another seed for each, or retries would be spread the same way in all of them. The transport lives
                // as long as the work: afterwards no connection is open.
                let salt = u64::try_from(clock.uptime().as_nanos()).unwrap_or_default();
                let transport = HttpTransport::new(*clock);
                let host = Host::new(*clock, &transport, seed ^ salt).correcting(*corrects_clock);
                host.adopt(self.anchor.clone());
                let reply = perform(&host, loaded, work);
                Ok((reply, host.anchor()))
            }
        }
    }

    /// The clocks, and what is known of the true time.
    pub(super) fn now(&self) -> Now {
        let clock = self.ground.clock;
        let (boot, wall) = (clock.since_boot(), clock.now());
        let truth = self.anchor.as_ref().map_or(wall, |anchor| anchor.correct(wall, clock));
        Now { boot, wall, offset: between(wall, truth) }
    }
}

impl Reply {
    /// Why it is not the answer that was asked for.
    fn into_error(self) -> Error {
        match self {
            Self::Failed(told) => Error::Told(told),
            Self::Loaded(_) | Self::Standings(_) | Self::Report(_) | Self::Hooks(_) => {
                Error::Worker(io::ErrorKind::InvalidData.into())
            }
        }
    }
}
