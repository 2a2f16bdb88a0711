//! The hooks of the daemon, on a thread of their own: a hook that takes its time keeps no profile from being
//! refreshed. Nothing waits for the thread when the agent ends; what has not succeeded then runs at the next start.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::warn;

use super::scene::Scene;
use super::work::{FIRST_WAIT, LONGEST_WAIT, Roster};

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
    pub(super) fn look(&mut self, roster: &Roster, now: Duration) {
        if roster.members.iter().any(|member| member.has_hook) {
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
        if self.thread.is_some() || self.due.is_none_or(|due| due > now) {
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

fn carry_out(scene: &Scene) -> Option<Duration> {
    scene.run_hooks().unwrap_or_else(|error| {
        warn!("hooks wait: {}", error.with_causes());
        Some(FIRST_WAIT)
    })
}
