//! What all work needs, and where it is done: in processes of its own, or within the daemon where none can be started,
//! as in a container without /proc.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::task::{Done, Task};
use super::work::{Load, Loaded, Origin, Roster, Work, perform};
use super::worker;
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::config::Texts;
use crate::error::Error;
use crate::host::Host;
use crate::schedule::Now;
use crate::timestamp::between;
use crate::transport::{HttpTransport, ProxyRules};

/// What does not change while the daemon lives.
#[derive(Clone)]
pub(super) struct Ground {
    /// The daemon's own path.
    pub(super) program: Arc<Path>,
    pub(super) clock: &'static dyn Clock,
    pub(super) seed: u64,
    pub(super) corrects_clock: bool,
    pub(super) proxies: ProxyRules,
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

impl Scene {
    /// A scene whose configuration is yet to be read, by [`Work::Load`].
    pub(super) fn unread(ground: Ground, anchor: Option<Anchor>) -> Result<Self, Error> {
        let texts = worker::texts_file().map_err(Error::Worker)?;
        Ok(Self { ground, roster: Arc::default(), place: Place::Apart(Arc::new(texts)), anchor })
    }

    /// A scene with the configuration as it is now, which stays in memory.
    pub(super) fn within(ground: Ground, anchor: Option<Anchor>, load: &Load<'_>) -> Result<Self, Error> {
        let mut loaded = load(Origin::Files)?;
        loaded.texts = Texts::default();
        let roster = Arc::new(Roster::of(&loaded));
        Ok(Self { ground, roster, place: Place::Within(Arc::new(loaded)), anchor })
    }

    /// Has `work` done.
    pub(super) fn carry_out(&self, work: &Work) -> Done {
        let Ground { program, clock, seed, corrects_clock, proxies } = &self.ground;
        match &self.place {
            Place::Apart(texts) => {
                let limit = work.limit(self.roster.members.len());
                worker::ask(program, texts, work, limit, self.anchor.as_ref())
            }
            Place::Within(loaded) => {
                // Another seed for each, or retries would be spread the same way in all of them. The transport lives
                // as long as the work: afterwards no connection is open.
                let salt = u64::try_from(clock.uptime().as_nanos()).unwrap_or_default();
                let transport = HttpTransport::new(*clock, proxies.clone());
                let host = Host::new(*clock, &transport, seed ^ salt).correcting(*corrects_clock);
                host.adopt(self.anchor.clone());
                let reply = perform(&host, loaded, work);
                Ok((reply, host.anchor()))
            }
        }
    }

    /// Has `work` done, on a thread of its own.
    pub(super) fn start(&self, work: Work) -> Result<Task, Error> {
        let scene = self.clone();
        Task::start(work.name(), Box::new(move || scene.carry_out(&work)))
    }

    /// The clocks, and what is known of the true time.
    pub(super) fn now(&self) -> Now {
        let clock = self.ground.clock;
        let (boot, wall) = (clock.since_boot(), clock.now());
        let truth = self.anchor.as_ref().map_or(wall, |anchor| anchor.correct(wall, clock));
        Now { boot, wall, offset: between(wall, truth) }
    }
}
