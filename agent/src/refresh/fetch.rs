//! Several chains at once: a bounded number of threads that take the next job when they have finished one, over the
//! connections that the transport keeps. When the last job is done, the threads are gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use crate::chain::{ChainError, Chains, Obtained};
use crate::config::model::Profile;
use crate::output::state::ReducedDuration;

/// As many chains are carried out at once. STS throttles an account, not a connection, so more would gain little.
const MOST: usize = 8;
/// A thread has a connection of its own, whose handshake is worth it from so many chains on.
const WORTH_A_THREAD: usize = 4;
/// A TLS handshake with all its buffers takes a fifth of it.
const STACK: usize = 512 * 1024;

/// One chain to carry out.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// What the result is handed back with.
    pub(super) index: usize,
    pub(super) profile: &'a Profile,
    pub(super) reduced: Vec<ReducedDuration>,
}

/// Carries out `jobs` and hands each result to `done`, on this thread, as it comes.
pub(super) fn fetch_all(
    chains: &Chains<'_>,
    jobs: &[Job<'_>],
    mut done: impl FnMut(usize, Result<Obtained, ChainError>),
) {
    let next = AtomicUsize::new(0);
    let take = || jobs.get(next.fetch_add(1, Ordering::Relaxed));
    let threads = jobs.len().div_ceil(WORTH_A_THREAD).min(MOST);
    if threads > 1 {
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, take) = (sender.clone(), &take);
                let work = move || {
                    while let Some(job) = take() {
                        if sender.send((job.index, chains.obtain(job.profile, &job.reduced))).is_err() {
                            return;
                        }
                    }
                };
                // Where the system has no thread to spare, the others, or this one below, do its share.
                let builder = thread::Builder::new().name("refresh".to_owned()).stack_size(STACK);
                if builder.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            drop(sender);
            for (index, result) in receiver {
                done(index, result);
            }
        });
    }
    while let Some(job) = take() {
        done(job.index, chains.obtain(job.profile, &job.reduced));
    }
}
