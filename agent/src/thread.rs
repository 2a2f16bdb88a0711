//! Starting a thread. In each place that does it for a closure of its own, it would be some kilobytes of code; here they
//! are once.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts `work` on a thread called `name`, which may have at most 15 bytes.
///
/// # Errors
///
/// When the system has no thread to spare.
pub fn start(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work)
}
