//! Work on a thread of its own, so that the main thread can attend to signals meanwhile. Nothing waits for the thread
//! when the agent ends: every instant of the work is one at which the process may die.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread::{self, JoinHandle};

use super::work::Reply;
use crate::anchor::Anchor;
use crate::error::Error;

/// What came of work, and what is known of the true time after it.
pub(super) type Done = Result<(Reply, Option<Anchor>), Error>;

/// Work under way.
#[derive(Debug)]
pub(super) struct Task {
    thread: JoinHandle<Done>,
    ended: io::PipeReader,
}

impl Task {
    /// Starts `work`.
    pub(super) fn start(name: &str, work: Box<dyn FnOnce() -> Done + Send>) -> Result<Self, Error> {
        let start = || {
            let (ended, ends) = io::pipe()?;
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                let done = work();
                drop(ends);
                done
            })?;
            Ok(Self { thread, ended })
        };
        start().map_err(Error::Thread)
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
        let lost = || Error::Thread(io::Error::other("it ended without a result"));
        self.thread.join().map_err(|_| lost()).flatten()
    }
}
