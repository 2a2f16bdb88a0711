//! The log: lines on standard error, behind the `log` facade.
//!
//! Ours and not a library's, because those at hand print with `eprintln!`, which panics when the write fails: a full
//! disk under a log file, or a reader that went away, would end the agent.

use std::io::{Stderr, Write as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU16, Ordering};

use log::{LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Only this crate speaks: the libraries below log requests with their headers, session tokens included.
const SPEAKER: &str = "rolekeeper";

/// So many milliseconds a daemon waits for whoever reads its log, until they have read again.
const PATIENCE: u16 = 100;

/// How long the next line waits for room; nothing, where everybody waits for ever.
static WAIT: AtomicU16 = AtomicU16::new(FOR_EVER);
const FOR_EVER: u16 = u16::MAX;

struct StandardError;

/// Whether there is room for a line. A reader that stands still keeps no profile from being refreshed.
fn has_room(stderr: &Stderr) -> bool {
    let wait = WAIT.load(Ordering::Relaxed);
    if wait == FOR_EVER {
        return true;
    }
    // A pipe says yes while it takes a page; what is no pipe, or fails, shows when it is written to.
    let is_full =
        poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::from(wait)) == Ok(0);
    WAIT.store(if is_full { 0 } else { PATIENCE }, Ordering::Relaxed);
    !is_full
}

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().split("::").next() == Some(SPEAKER)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line =
                format!("rolekeeper: {}: {}\n", record.level().as_str().to_ascii_lowercase(), record.args());
            let mut stderr = std::io::stderr();
            if has_room(&stderr) {
                // One write for one line; whoever closed the other end does not want to hear.
                drop(stderr.write_all(line.as_bytes()));
            }
        }
    }

    fn flush(&self) {}
}

/// Lets messages of `level` and above through, from now on; where it `drops` them, only as fast as they are read.
pub fn start(level: LevelFilter, drops: bool) {
    WAIT.store(if drops { PATIENCE } else { FOR_EVER }, Ordering::Relaxed);
    // A second start only changes the level.
    drop(log::set_logger(&StandardError));
    log::set_max_level(level);
}
