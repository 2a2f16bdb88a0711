//! The credentials endpoint of the daemon: opened, closed and brought in line with the configuration. A port that is
//! taken concerns it alone.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use log::{error, info, warn};
use serde_json::json;

use super::scene::Scene;
use crate::anchor::Anchor;
use crate::error::Error;
use crate::refresh::{Served, is_noted, withdraw_tokens};
use crate::serve::Server;

/// After so long an endpoint that could not be opened is tried again: whoever has the port may let go of it.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// The endpoint, where it is open.
#[derive(Debug, Default)]
pub(super) struct Serving {
    server: Option<Server>,
    /// Open, and waiting for the tokens.
    listener: Option<TcpListener>,
    /// Why it is not open, though the configuration asks for it.
    trouble: Option<String>,
    /// The uptime at which it is to be looked after; `None` where nothing can have changed.
    due: Option<Duration>,
}

/// What is to be done with the tokens in the output directory.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    /// Whom the endpoint answers for already; `None` where it is closed, and no token stays.
    pub(super) known: Option<Vec<Served>>,
    /// What `status.json` says of it, as JSON; `None` where there shall be no endpoint.
    pub(super) note: Option<String>,
}

impl Serving {
    /// The configuration is new, or may have changed.
    pub(super) fn look(&mut self, wanted: Option<SocketAddr>, output_dir: &Path) {
        let concerns = wanted.is_some() || self.server.is_some() || is_noted(output_dir);
        self.due = concerns.then_some(Duration::ZERO);
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// How long the daemon may sleep as far as the endpoint is concerned.
    pub(super) fn rest(&self, now: Duration) -> Duration {
        self.due.map_or(Duration::MAX, |due| due.saturating_sub(now))
    }

    /// Opens the endpoint at `wanted`, and closes it elsewhere. Nobody is answered before the tokens lie where they
    /// belong, and none lies there while the port is somebody else's, to whom consumers would send it.
    pub(super) fn open(&mut self, wanted: Option<SocketAddr>) -> Tokens {
        self.server.take_if(|server| Some(server.address()) != wanted);
        let mut trouble = None;
        if let (Some(address), None) = (wanted, &self.server) {
            match Server::listen(address) {
                Ok(listener) => self.listener = Some(listener),
                Err(cause) => trouble = Some(Error::Serve { address, cause }),
            }
        }
        let known = match &self.server {
            Some(server) => Some(server.served()),
            None => self.listener.as_ref().map(|_| Vec::new()),
        };
        self.complain(trouble);
        let note =
            wanted.map(|address| json!({"address": address.to_string(), "error": self.trouble}).to_string());
        Tokens { known, note }
    }

    /// Answers for those who have a token now. What went wrong with the tokens is tried again, as a port that is taken.
    pub(super) fn settle(&mut self, result: Result<Vec<Served>, Error>, scene: &Scene) {
        let listener = self.listener.take();
        let result = result.and_then(|served| match (&self.server, listener) {
            (Some(server), _) => {
                server.answer_for(served);
                Ok(())
            }
            (None, None) => Ok(()),
            (None, Some(listener)) => {
                let (clock, output_dir) = (scene.ground.clock, scene.roster.output_dir.clone());
                let server = Server::start(listener, clock, output_dir, served).map_err(Error::Thread)?;
                info!("credentials are served at http://{}/profiles/NAME", server.address());
                server.learn_time(scene.anchor.clone());
                self.server = Some(server);
                Ok(())
            }
        });
        if let Err(error) = result {
            self.complain(Some(error));
        }
        self.due = self.trouble.as_ref().map(|_| scene.ground.clock.uptime().saturating_add(TRY_AGAIN));
    }

    /// Logs trouble, where it is not what was logged last.
    fn complain(&mut self, error: Option<Error>) {
        let trouble = error.as_ref().map(Error::with_causes);
        if let Some(error) = error.filter(|_| trouble != self.trouble) {
            error!("{}", error.with_causes());
            if let Some(advice) = error.advice() {
                info!("{advice}");
            }
        }
        self.trouble = trouble;
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn learn_time(&self, anchor: Option<&Anchor>) {
        if let Some(server) = &self.server {
            server.learn_time(anchor.cloned());
        }
    }

    /// The daemon ends. Its tokens are worthless then, and without them no consumer asks whoever takes the port.
    pub(super) fn close(&mut self, output_dir: &Path) {
        if self.server.take().is_some()
            && let Err(cause) = withdraw_tokens(output_dir)
        {
            warn!("{}", Error::Output(cause).with_causes());
        }
    }
}
