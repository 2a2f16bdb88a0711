//! The hooks of the daemon, on a thread of their own: a hook that takes its time keeps no profile from being
//! refreshed. Nothing waits for the thread when the agent ends; what has not succeeded then runs at the next start.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::warn;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::batch::Scene;
use crate::config::Config;
use crate::error::Error;
use crate::refresh::{FailedHook, Keeper, run_hooks};

/// After the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How often a thread under way is looked after.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// When hooks are looked for, and the thread that runs them.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// The uptime; `None` while nothing can be pending.
    due: Option<Duration>,
    /// Its result is how long to wait before what has failed is tried again.
    thread: Option<JoinHandle<Option<Duration>>>,
}

impl Hooks {
    /// Something may be pending: a batch has ended, or an earlier process has left something.
    pub(super) fn look(&mut self, config: &Config, now: Duration) {
        let has_hook = |profile: &crate::config::model::Profile| profile.on_rotate.is_some();
        if config.profiles().iter().any(|managed| managed.outcome.as_ref().is_ok_and(has_hook)) {
            self.due = Some(now);
        }
    }

    /// Takes note of a thread that has ended, and starts one where it is time to.
    pub(super) fn tend(&mut self, now: Duration, scene: &Scene) {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished())
            && let Ok(Some(wait)) = thread.join()
        {
            let again = now.saturating_add(wait);
            self.due = Some(self.due.map_or(again, |due| due.min(again)));
        }
        if self.thread.is_some() {
            return;
        }
        reap_orphans();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let scene = scene.clone();
        match thread::Builder::new().name("hooks".to_owned()).spawn(move || carry_out(&scene)) {
            Ok(thread) => {
                self.thread = Some(thread);
                self.due = None;
            }
            Err(cause) => {
                warn!("no thread for hooks: {cause}");
                self.due = Some(now.saturating_add(LONGEST_WAIT));
            }
        }
    }

    /// How long the daemon may sleep as far as hooks are concerned.
    pub(super) fn rest(&self, now: Duration) -> Duration {
        match (&self.thread, self.due) {
            (Some(_), _) => LOOK_AFTER,
            (None, Some(due)) => due.saturating_sub(now),
            (None, None) => Duration::MAX,
        }
    }
}

/// As process 1 of a container the daemon inherits what hooks leave in the background, and nobody else collects it.
/// Called where no child of our own is waited for, so that none is taken away.
fn reap_orphans() {
    if std::process::id() == 1 {
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|ended| ended != WaitStatus::StillAlive) {}
    }
}

fn carry_out(scene: &Scene) -> Option<Duration> {
    scene.with_host(|host| {
        let pending = match Keeper::open(host, &scene.config, &scene.facts) {
            Ok(keeper) => keeper.pending_hooks(&[]),
            Err(error) => {
                warn!("hooks wait: {}", Error::Output(error).with_causes());
                return Some(FIRST_WAIT);
            }
        };
        let failed = run_hooks(host, &scene.config, &scene.facts, &pending);
        failed.iter().for_each(|failed| warn!("{}", failed.error.with_causes()));
        failed.iter().map(wait_after).min()
    })
}

fn wait_after(failed: &FailedHook) -> Duration {
    let doublings = u32::try_from(failed.attempts.saturating_sub(1).min(16)).unwrap_or(16);
    FIRST_WAIT.saturating_mul(1_u32 << doublings).min(LONGEST_WAIT)
}
