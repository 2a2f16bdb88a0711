//! Work on a thread of its own, so that the main thread can attend to signals meanwhile. Nothing waits for the thread
//! when the agent ends: every instant of the work is one at which the process may die.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::thread;

/// Work under way.
#[derive(Debug)]
pub(super) struct Task<T> {
    thread: JoinHandle<()>,
    result: Arc<Mutex<Option<T>>>,
    ended: io::PipeReader,
}

impl<T: Send + 'static> Task<T> {
    /// Starts `work`.
    pub(super) fn start(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let (ended, ends) = io::pipe()?;
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let whole = move || {
            let outcome = work();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            drop(ends);
        };
        let thread = thread::start(name, Box::new(whole))?;
        Ok(Self { thread, result, ended })
    }

    /// Can be read, or rather is closed, when the work has ended.
    pub(super) fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// The result of work that has ended.
    pub(super) fn finish(self) -> io::Result<T> {
        let ended = self.thread.join().ok();
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        ended.and(result).ok_or_else(|| io::Error::other("it ended without a result"))
    }
}
