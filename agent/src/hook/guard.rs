//! The second half of starting a command, in the new process: it starts the command and guards it, so that nothing of it
//! outlives whoever waits for its end.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, killpg, raise};
use nix::unistd::{alarm, getpgrp, getppid};

use super::{GRACE, OURSELVES};

/// The first argument that makes the program become a command instead of reading a command line.
const START: &str = "start-command";

/// The same for a command that is guarded and has nothing to tidy up; the number of the process that waits for its end
/// follows.
pub(super) const GUARD_ANSWER: &str = "guard-command";

/// The same for one that is asked to end before it is made to.
pub(super) const GUARD_EFFECT: &str = "guard-hook";

/// What the kernel tells the guard with when the other process has ended.
const ORPHANED: Signal = Signal::SIGUSR1;

/// Whether `word` asks for a second half instead of a command line.
#[must_use]
pub fn is_second_half(word: &OsString) -> bool {
    word == START || word == GUARD_ANSWER || word == GUARD_EFFECT
}

/// Starts the command of `words`, behind the first argument that said so; the exit code of one that is guarded.
///
/// # Errors
///
/// Where the command cannot be started; the error carries its name.
pub fn second_half(words: &[OsString]) -> Result<u8, (String, io::Error)> {
    let Some((verb, words)) = words.split_first() else {
        return Err((String::new(), io::ErrorKind::InvalidInput.into()));
    };
    let name = |word: Option<&OsString>| word.map(|word| word.to_string_lossy().into_owned());
    if verb == START {
        Err((name(words.first()).unwrap_or_default(), become_command(words)))
    } else {
        let asks_first = verb == GUARD_EFFECT;
        guard(words, asks_first).map_err(|cause| (name(words.get(1)).unwrap_or_default(), cause))
    }
}

/// Becomes the command `words`, with no signal blocked. Only returns where it cannot be started.
///
/// The daemon has its signals blocked, in every thread, and a new process inherits that; a hook that cannot be asked
/// to end is none. Unblocking them in the daemon, be it for the moment of starting, would let a signal end it.
fn become_command(words: &[OsString]) -> io::Error {
    let Some((program, arguments)) = words.split_first() else { return io::ErrorKind::InvalidInput.into() };
    let unblocked = SigSet::empty().thread_set_mask().map_err(io::Error::from);
    unblocked.err().unwrap_or_else(|| Command::new(program).args(arguments).exec())
}

/// Runs a command in this process's group, and ends the whole group as soon as nobody waits for its end any more: who did
/// may have been killed, and has had no time for it. Where it `asks_first`, the command has the grace of one that takes
/// too long.
fn guard(words: &[OsString], asks_first: bool) -> io::Result<u8> {
    // What is sent to the group is for the command.
    SigSet::all().thread_set_mask()?;
    prctl::set_pdeathsig(ORPHANED)?;
    let (asker, words) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let is_orphan = || asker.to_str() != Some(getppid().to_string().as_str());
    // It may have ended before its end could have been told.
    if is_orphan() {
        return Err(io::ErrorKind::NotConnected.into());
    }
    let mut child = Command::new(OURSELVES).arg(START).args(words).spawn()?;
    let mut awaited = SigSet::empty();
    awaited.add(Signal::SIGCHLD);
    awaited.add(ORPHANED);
    awaited.add(Signal::SIGALRM);
    loop {
        let signal = awaited.wait()?;
        if !is_orphan() {
            // What the command sends to its group is none of ours, unless it has ended.
            if let Some(code) = end_like(&mut child)? {
                return Ok(code);
            }
        } else if asks_first && signal == ORPHANED {
            alarm::set(u32::try_from(GRACE.as_secs()).unwrap_or(1));
            killpg(getpgrp(), Signal::SIGTERM)?;
        } else if signal != Signal::SIGCHLD || child.try_wait()?.is_some() {
            killpg(getpgrp(), Signal::SIGKILL)?;
        }
    }
}

/// Ends as `child` has: by its signal, or with the code that is returned. `None` where it goes on.
fn end_like(child: &mut Child) -> io::Result<Option<u8>> {
    let Some(status) = child.try_wait()? else { return Ok(None) };
    if let Some(signal) = status.signal().and_then(|number| Signal::try_from(number).ok()) {
        SigSet::empty().thread_set_mask()?;
        raise(signal)?;
    }
    Ok(Some(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)))
}
