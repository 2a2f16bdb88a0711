//! The hooks of the daemon, on a thread of their own: a hook that takes its time keeps no profile from being
//! refreshed. Nothing waits for the thread when the agent ends: a hook under way ends with it, and what has not succeeded
//! then runs at the next start.

use std::time::Duration;

use log::warn;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::scene::Scene;
use super::task::{Done, Task};
use super::work::{FIRST_WAIT, LONGEST_WAIT, Reply, Roster, Work};

/// How often a thread under way is looked after.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// When hooks are looked for, and the thread that runs them.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// The uptime; `None` while nothing can be pending.
    due: Option<Duration>,
    task: Option<Task>,
}

impl Hooks {
    /// Something may be pending: a batch has ended, or an earlier process has left something.
    pub(super) fn look(&mut self, roster: &Roster, now: Duration) {
        if roster.members.iter().any(|member| member.has_hook) {
            self.due = Some(now);
        }
    }

    /// Takes note of a thread that has ended, and starts one where it is time to.
    pub(super) fn tend(&mut self, now: Duration, scene: &Scene) {
        if let Some(task) = self.task.take_if(|task| task.is_finished())
            && let Some(wait) = wait(task.finish())
        {
            let again = now.saturating_add(wait);
            self.due = Some(self.due.map_or(again, |due| due.min(again)));
        }
        if self.task.is_some() {
            return;
        }
        reap_orphans();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        match scene.start(Work::Hooks) {
            Ok(task) => {
                self.task = Some(task);
                self.due = None;
            }
            Err(cause) => {
                warn!("no thread for hooks: {}", cause.with_causes());
                self.due = Some(now.saturating_add(LONGEST_WAIT));
            }
        }
    }

    /// How long the daemon may sleep as far as hooks are concerned.
    pub(super) fn rest(&self, now: Duration) -> Duration {
        match (&self.task, self.due) {
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

/// How long to wait before what has failed is tried again.
fn wait(done: Done) -> Option<Duration> {
    let error = match done {
        Ok((Reply::Hooks(wait), _)) => return wait,
        Ok((other, _)) => other.into_error(),
        Err(error) => error,
    };
    warn!("hooks wait: {}", error.with_causes());
    Some(FIRST_WAIT)
}
