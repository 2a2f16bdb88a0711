//! Signals as something to wait for: blocked in every thread, read from a descriptor. So they interrupt no system
//! call, need no handler, and reach the agent also where it is process 1, which ignores what it does not handle.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The time is over.
    Timeout,
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// What else was waited for.
    Ready,
}

/// The signals that concern the agent.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

/// Blocks them in this thread and those that it starts.
pub(super) fn block() -> io::Result<SigSet> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(set)
}

impl Signals {
    /// Takes the signals over. Call it before any thread is started; threads inherit it.
    pub(super) fn take_over() -> io::Result<Self> {
        Ok(Self(SignalFd::with_flags(&block()?, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Waits for a signal, for `timeout`, or until `other` can be read or is closed by the other side.
    pub(super) fn wait(&self, timeout: Duration, other: Option<BorrowedFd<'_>>) -> io::Result<Wake> {
        if let Some(wake) = self.pending()? {
            return Ok(wake);
        }
        let mut waiting = vec![PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        waiting.extend(other.map(|other| PollFd::new(other, PollFlags::POLLIN)));
        // Rounded up: a wait that ends a little early would be followed by a very short one.
        let milliseconds = timeout.as_millis().saturating_add(1);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        match poll(&mut waiting, timeout) {
            Ok(0) | Err(Errno::EINTR) => Ok(Wake::Timeout),
            Ok(_) => Ok(self.pending()?.unwrap_or(Wake::Ready)),
            Err(cause) => Err(cause.into()),
        }
    }

    fn pending(&self) -> io::Result<Option<Wake>> {
        let mut wake = None;
        while let Some(received) = self.0.read_signal()? {
            let reload =
                i32::try_from(received.ssi_signo).is_ok_and(|number| number == Signal::SIGHUP as i32);
            if !reload {
                // Of several that came together, the end goes before the reload.
                return Ok(Some(Wake::Stop));
            }
            wake = Some(Wake::Reload);
        }
        Ok(wake)
    }
}
