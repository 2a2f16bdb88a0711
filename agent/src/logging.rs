//! The log: lines on standard error, behind the `log` facade.
//!
//! Ours and not a library's, because those at hand print with `eprintln!`, which panics when the write fails: a full
//! disk under a log file, or a reader that went away, would end the agent.

use std::io::Write as _;

use log::{LevelFilter, Log, Metadata, Record};

/// Only this crate speaks: the libraries below log requests with their headers, session tokens included.
const SPEAKER: &str = "rolekeeper";

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().split("::").next() == Some(SPEAKER)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line =
                format!("rolekeeper: {}: {}\n", record.level().as_str().to_ascii_lowercase(), record.args());
            // One write for one line; whoever closed the other end does not want to hear.
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
    }

    fn flush(&self) {}
}

/// Lets messages of `level` and above through, from now on.
pub fn start(level: LevelFilter) {
    // A second start only changes the level.
    drop(log::set_logger(&StandardError));
    log::set_max_level(level);
}
