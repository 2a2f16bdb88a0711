//! One connection: one request, one answer, and then the end.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use log::debug;
use nix::poll::{PollFd, PollFlags};
use zeroize::Zeroizing;

use super::reply::{self, Refusal};
use super::{Desk, request};
use crate::output::render::container_json;
use crate::refresh::look_up;

/// The head of a request is no longer. SDKs send less than a kilobyte.
const LONGEST_HEAD: usize = 8 * 1024;
/// From the connection to the end of the answer, however slowly a client sends or reads.
const WHOLE: Duration = Duration::from_secs(3);
/// After the answer, as much of what was not asked for is read: a connection that is closed with unread bytes takes the
/// answer away from the client.
const LONGEST_REST: usize = 64 * 1024;
const CHUNK: usize = 4 * 1024;

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    Open,
    /// It is over.
    Over,
}

#[derive(Debug)]
enum Phase {
    /// The request, and so many bytes of it.
    Reading(usize),
    /// The answer, and so many bytes of it are gone.
    Writing(Zeroizing<Vec<u8>>, usize),
    /// All is said, and so many bytes were read that nobody wanted.
    Draining(usize),
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The uptime at which it is closed, however it stands.
    pub(super) deadline: Duration,
    /// Of its final size, so that no unwiped copy of a token stays behind.
    request: Zeroizing<Vec<u8>>,
    phase: Phase,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Duration) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let request = Zeroizing::new(vec![0; LONGEST_HEAD]);
        Ok(Self { stream, deadline: now.saturating_add(WHOLE), request, phase: Phase::Reading(0) })
    }

    /// What it waits for.
    pub(super) fn poll(&self) -> PollFd<'_> {
        let flags = match self.phase {
            Phase::Reading(_) | Phase::Draining(_) => PollFlags::POLLIN,
            Phase::Writing(..) => PollFlags::POLLOUT,
        };
        PollFd::new(self.stream.as_fd(), flags)
    }

    /// Does what can be done without waiting.
    pub(super) fn proceed(&mut self, desk: &Desk) -> Progress {
        match self.try_to_proceed(desk) {
            Ok(progress) => progress,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => Progress::Open,
            Err(_) => Progress::Over,
        }
    }

    fn try_to_proceed(&mut self, desk: &Desk) -> io::Result<Progress> {
        loop {
            match &mut self.phase {
                Phase::Reading(length) => {
                    let room = self.request.get_mut(*length..).unwrap_or_default();
                    let more = self.stream.read(room)?;
                    if more == 0 {
                        return Ok(Progress::Over);
                    }
                    *length = length.saturating_add(more);
                    let length = *length;
                    self.answer(desk, length);
                }
                Phase::Writing(answer, written) => {
                    let rest = answer.get(*written..).unwrap_or_default();
                    if rest.is_empty() {
                        self.stream.shutdown(Shutdown::Write)?;
                        self.phase = Phase::Draining(0);
                    } else {
                        *written = written.saturating_add(self.stream.write(rest)?);
                    }
                }
                Phase::Draining(drained) => {
                    let more = self.stream.read(&mut [0; CHUNK])?;
                    *drained = drained.saturating_add(more);
                    if more == 0 || *drained > LONGEST_REST {
                        return Ok(Progress::Over);
                    }
                }
            }
        }
    }

    /// Answers the `length` bytes of the request that are there, where they are all of it.
    fn answer(&mut self, desk: &Desk, length: usize) {
        let bytes = self.request.get(..length).unwrap_or_default();
        let answer = match request::read(bytes) {
            None if length < LONGEST_HEAD => return,
            None => Err(Refusal::TooLong),
            Some(Err(refusal)) => Err(refusal),
            Some(Ok(asked)) => answer(desk, &asked),
        };
        let answer = match answer {
            Ok(document) => reply::credentials(&document),
            Err(refusal) => reply::refusal(refusal),
        };
        self.phase = Phase::Writing(answer, 0);
    }
}

fn answer(desk: &Desk, asked: &request::Asked<'_>) -> Result<Zeroizing<String>, Refusal> {
    let served = desk.served(&asked.profile).ok_or(Refusal::Path)?;
    let given = asked.authorization.ok_or(Refusal::NoToken)?;
    if !served.token.accepts(given) {
        debug!("profile `{}`: asked for with a wrong token", served.profile);
        return Err(Refusal::WrongToken);
    }
    let issued = look_up(&desk.output_dir, &served, desk.now()).map_err(Refusal::NotServed)?;
    Ok(container_json(&issued))
}
