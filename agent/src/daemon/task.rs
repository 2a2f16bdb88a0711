//! Work on a thread of its own, so that the main thread can attend to signals meanwhile. Nothing waits for the thread
//! when the agent ends: every instant of the work is one at which the process may die.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Work under way.
#[derive(Debug)]
pub(super) struct Task<T> {
    thread: JoinHandle<()>,
    result: Receiver<T>,
    ended: io::PipeReader,
}

impl<T: Send + 'static> Task<T> {
    /// Starts `work`.
    pub(super) fn start(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let (ended, ends) = io::pipe()?;
        let (sender, result) = sync_channel(1);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let outcome = work();
            // Nobody waits any more where the agent is about to end.
            drop(sender.send(outcome));
            drop(ends);
        })?;
        Ok(Self { thread, result, ended })
    }

    /// Can be read, or rather is closed, when the work has ended.
    pub(super) fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// The result of work that has ended.
    pub(super) fn finish(self) -> io::Result<T> {
        let result = self.result.recv().ok();
        self.thread.join().ok().and(result).ok_or_else(|| io::Error::other("it ended without a result"))
    }
}
