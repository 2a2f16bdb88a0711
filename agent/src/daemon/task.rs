//! Work on a thread of its own, so that the main thread can attend to signals meanwhile. Nothing waits for the thread
//! when the agent ends: every instant of the work is one at which the process may die.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::work::Reply;
use crate::anchor::Anchor;
use crate::error::Error;
use crate::thread;

/// What came of work, and what is known of the true time after it.
pub(super) type Done = Result<(Reply, Option<Anchor>), Error>;

/// Work under way.
#[derive(Debug)]
pub(super) struct Task {
    thread: JoinHandle<()>,
    done: Arc<Mutex<Option<Done>>>,
    ended: io::PipeReader,
}

impl Task {
    /// Starts `work`.
    pub(super) fn start(name: &str, work: Box<dyn FnOnce() -> Done + Send>) -> Result<Self, Error> {
        let (ended, ends) = io::pipe().map_err(Error::Thread)?;
        let done = Arc::new(Mutex::new(None));
        let place = Arc::clone(&done);
        let whole = move || {
            let came = work();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
            drop(ends);
        };
        let thread = thread::start(name, Box::new(whole)).map_err(Error::Thread)?;
        Ok(Self { thread, done, ended })
    }

    /// Can be read, or rather is closed, when the work has ended.
    pub(super) fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// The result of work that has ended.
    pub(super) fn finish(self) -> Done {
        let ended = self.thread.join().ok();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lost = || Err(Error::Thread(io::Error::other("it ended without a result")));
        ended.and(done).unwrap_or_else(lost)
    }
}
