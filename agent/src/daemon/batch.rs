//! The work of the daemon that takes time, and so is done on another thread: batches, and looks at what is published.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use log::warn;

use super::serving::Tokens;
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::host::Host;
use crate::output::OutputError;
use crate::refresh::{Facts, Keeper, Report, Reuse, Selected, Served};
use crate::schedule::{Known, Now};
use crate::timestamp::between;
use crate::transport::{HttpTransport, ProxyRules};

/// What all work needs, owned.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) config: Arc<Config>,
    pub(super) facts: Facts,
    pub(super) clock: &'static dyn Clock,
    pub(super) seed: u64,
    /// What is known of the true time.
    pub(super) anchor: Option<Anchor>,
    pub(super) corrects_clock: bool,
    pub(super) proxies: ProxyRules,
}

/// What came of a batch, and what is known of the true time after it.
pub(super) type Result = (std::result::Result<Report, OutputError>, Option<Anchor>);

/// What is published for each profile, and of which generation.
pub(super) type Standings = Vec<(Known, u64)>;

/// What a daemon begins with.
#[derive(Debug)]
pub(super) struct Start {
    /// The lock of the one daemon.
    pub(super) lock: File,
    pub(super) standings: Standings,
    /// What an earlier run has left to know of the true time.
    pub(super) anchor: Option<Anchor>,
}

impl Scene {
    /// The transport lives as long as the work: afterwards no connection is open.
    pub(super) fn with_host<T>(&self, work: impl FnOnce(&Host<'_>) -> T) -> T {
        let transport = HttpTransport::new(self.clock, self.proxies.clone());
        let host = Host::new(self.clock, &transport, self.seed).correcting(self.corrects_clock);
        host.adopt(self.anchor.clone());
        work(&host)
    }

    /// Refreshes these profiles.
    pub(super) fn refresh(&self, profiles: &[(String, Reuse)]) -> Result {
        let selected: Vec<Selected<'_>> =
            profiles.iter().map(|(name, reuse)| Selected { name, reuse: *reuse }).collect();
        let read_again = self.config.read_again();
        let config = read_again.as_ref().unwrap_or(&self.config);
        self.with_host(|host| {
            let report = Keeper::open(host, config, &self.facts).and_then(|keeper| keeper.refresh(&selected));
            (report, host.anchor())
        })
    }

    /// Takes the lock of the one daemon, and then looks around.
    pub(super) fn take_over(&self, patience: Duration) -> std::result::Result<Start, Error> {
        self.with_host(|host| {
            let lock = Keeper::life_lock(host, &self.config, &self.facts, patience)?;
            let standings = self.standings(host)?;
            Ok(Start { lock, standings, anchor: host.anchor() })
        })
    }

    /// Brings the directory in line with the configuration, and sees what is published for each profile.
    pub(super) fn look_around(&self) -> std::result::Result<Standings, Error> {
        self.with_host(|host| self.standings(host))
    }

    fn standings(&self, host: &Host<'_>) -> std::result::Result<Standings, Error> {
        let keeper = Keeper::open(host, &self.config, &self.facts)?;
        // The batches try again, and report it where it lasts.
        if let Err(cause) = keeper.tidy() {
            warn!("{}", Error::Output(cause).with_causes());
        }
        let standing = |profile| keeper.known(profile);
        let standings = self.config.profiles().iter().map(|managed| {
            match managed.outcome.as_ref().ok().and_then(standing) {
                None => (Known::Nothing, 0),
                Some((issued, standing)) => {
                    (Known::Published { issued, due: standing.due }, standing.generation)
                }
            }
        });
        Ok(standings.collect())
    }

    /// Hands out tokens or takes them back, and notes what is served; who has one now.
    pub(super) fn tend_tokens(&self, tokens: &Tokens) -> std::result::Result<Vec<Served>, Error> {
        self.with_host(|host| {
            let keeper = Keeper::open(host, &self.config, &self.facts)?;
            let served = keeper.tend_tokens(tokens.known.as_deref())?;
            keeper.note_serving(tokens.note.as_ref())?;
            Ok(served)
        })
    }

    /// The clocks, and what is known of the true time.
    pub(super) fn now(&self) -> Now {
        let (boot, wall) = (self.clock.since_boot(), self.clock.now());
        let truth = self.anchor.as_ref().map_or(wall, |anchor| anchor.correct(wall, self.clock));
        Now { boot, wall, offset: between(wall, truth) }
    }
}
