//! One batch on a thread of its own, so that the main thread can attend to signals meanwhile. Nothing waits for the
//! thread when the agent ends: every instant of a batch is one at which the process may die.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::config::Config;
use crate::host::Host;
use crate::output::OutputError;
use crate::refresh::{Facts, Keeper, Report, Reuse, Selected};
use crate::transport::HttpTransport;

/// What a batch needs, owned.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) config: Arc<Config>,
    pub(super) facts: Facts,
    pub(super) clock: &'static dyn Clock,
    pub(super) seed: u64,
    pub(super) anchor: Option<Anchor>,
    pub(super) corrects_clock: bool,
    pub(super) profiles: Vec<(String, Reuse)>,
}

/// What came of it, and what is known of the true time after it.
pub(super) type Result = (std::result::Result<Report, OutputError>, Option<Anchor>);

/// A batch under way.
#[derive(Debug)]
pub(super) struct Batch {
    thread: JoinHandle<()>,
    result: Receiver<Result>,
    ended: io::PipeReader,
}

impl Batch {
    /// Starts it.
    pub(super) fn start(order: Order) -> io::Result<Self> {
        let (ended, ends) = io::pipe()?;
        let (sender, result) = sync_channel(1);
        let thread = thread::Builder::new().name("batch".to_owned()).spawn(move || {
            let outcome = carry_out(&order);
            // Nobody waits any more where the agent is about to end.
            drop(sender.send(outcome));
            drop(ends);
        })?;
        Ok(Self { thread, result, ended })
    }

    /// Can be read, or rather is closed, when the batch has ended.
    pub(super) fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// The result of a batch that has ended; `None` where it panicked.
    pub(super) fn finish(self) -> Option<Result> {
        let result = self.result.recv().ok();
        self.thread.join().ok().and(result)
    }
}

/// The transport lives as long as the batch: afterwards no connection is open.
fn carry_out(order: &Order) -> Result {
    let transport = HttpTransport::new(order.clock);
    let host = Host::new(order.clock, &transport, order.seed).correcting(order.corrects_clock);
    host.adopt(order.anchor.clone());
    let selected: Vec<Selected<'_>> =
        order.profiles.iter().map(|(name, reuse)| Selected { name, reuse: *reuse }).collect();
    let report =
        Keeper::open(&host, &order.config, &order.facts).and_then(|keeper| keeper.refresh(&selected));
    (report, host.anchor())
}
