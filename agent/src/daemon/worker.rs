//! A process for each piece of work: this program again, which does it, answers and ends. What work leaves behind in a
//! process, the code pages of TLS, a grown heap, copies of keys, ends with it, and so does what goes wrong in it: the
//! daemon itself knows names and times. The configuration in force goes over as the texts that it was made of, in a file
//! without a name, so that the daemon does not hold the keys in there either.
//!
//! The worker's standard input is a socket for the question and the answer, its standard output is that file.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::signals;
use super::task::Done;
use super::wire;
use super::work::{Load, Origin, Reply, Work, perform};
use crate::anchor::Anchor;
use crate::config::Texts;
use crate::error::{Error, Told};
use crate::host::Host;

/// The argument that makes this program a worker; the daemon's own follow it. Not a command: nobody types it.
pub const WORKER: &str = "--work-for-the-daemon";

/// This very program, also after a package manager has replaced its file.
const OURSELVES: &str = "/proc/self/exe";

/// A file for the texts of a configuration, without a name.
pub(super) fn texts_file() -> io::Result<File> {
    Ok(memfd_create("configuration", MFdFlags::MFD_CLOEXEC)?.into())
}

/// Has `work` done within `limit`, with what is known of the true time. `program` is the daemon's own path.
///
/// # Errors
///
/// When no process can be started, or it ends without an answer or not in time.
pub(super) fn ask(
    program: &Path,
    texts: &File,
    work: &Work,
    limit: Duration,
    anchor: Option<&Anchor>,
) -> Done {
    let question = wire::question(std::process::id(), work, anchor);
    exchange(program, texts, &question, limit).map_err(Error::Worker)
}

fn exchange(
    program: &Path,
    texts: &File,
    question: &[u8],
    limit: Duration,
) -> io::Result<(Reply, Option<Anchor>)> {
    let (mut ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(limit))?;
    let child = Command::new(OURSELVES)
        .arg0(program)
        .arg(WORKER)
        .args(std::env::args_os().skip(1))
        .stdin(OwnedFd::from(theirs))
        .stdout(texts.try_clone()?)
        .spawn()?;
    let asked = ours.write_all(question).and_then(|()| ours.shutdown(Shutdown::Write));
    let (answer, status) = conclude(child, asked.and_then(|()| hear(ours)))?;
    wire::read_answer(&answer)
        .ok_or_else(|| io::Error::other(format!("the process that was to do it gave no answer: {status}")))
}

/// What is said until the other side has ended, in one piece at its end.
fn hear(mut link: UnixStream) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    match link.read_to_end(&mut heard) {
        Ok(_) => Ok(heard),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::other("the process that was to do it did not end in time"))
        }
        Err(cause) => Err(cause),
    }
}

/// Waits for the end of `child`, which is near where it has been `heard`, and otherwise brought about.
fn conclude(mut child: Child, heard: io::Result<Vec<u8>>) -> io::Result<(Vec<u8>, ExitStatus)> {
    if heard.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    Ok((heard?, status))
}

/// The worker's whole life.
pub(crate) fn work(load: &Load<'_>, host: &Host<'_>) -> Result<(), Error> {
    // Whoever signals the whole group of processes means the daemon, with which this one ends.
    drop(signals::block());
    prctl::set_pdeathsig(Signal::SIGKILL).unwrap_or_default();
    prctl::set_name(c"rolekeeper-work").unwrap_or_default();
    serve(load, host).map_err(Error::Worker)
}

fn serve(load: &Load<'_>, host: &Host<'_>) -> io::Result<()> {
    let mut link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut question = Vec::new();
    link.read_to_end(&mut question)?;
    let (daemon, work, anchor) = wire::read_question(&question).ok_or(io::ErrorKind::InvalidData)?;
    // It ended before its end could have been ours.
    if u32::try_from(getppid().as_raw()) != Ok(daemon) {
        return Err(io::ErrorKind::NotConnected.into());
    }
    host.adopt(anchor);
    let loaded = if matches!(work, Work::Load) {
        load(Origin::Files).and_then(|loaded| {
            loaded.texts.write(&file).map_err(Error::Worker)?;
            Ok(loaded)
        })
    } else {
        load(Origin::Texts(&Texts::read(&file)?))
    };
    let reply = match loaded {
        Ok(loaded) => perform(host, &loaded, &work),
        Err(error) => Reply::Failed(Told::of(&error)),
    };
    link.write_all(&wire::answer(&reply, host.anchor().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_says_nothing_is_not_waited_for_beyond_the_limit() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let child = Command::new("sleep").arg("600").stdin(OwnedFd::from(theirs)).spawn().unwrap();
        let process = format!("/proc/{}", child.id());
        let failure = conclude(child, hear(ours)).unwrap_err();
        assert!(failure.to_string().contains("did not end in time"), "{failure}");
        assert!(!Path::new(&process).exists(), "it is ended and collected");
    }
}
