//! The container credentials endpoint: HTTP on a loopback address, for SDKs that cannot run a process. It hands out what
//! is published, to whoever knows the token that lies beside it, and a request makes the agent ask nobody.
//!
//! One thread attends to all connections, none of which can hold it up: it never waits for a single one, each has a
//! deadline, and where there are too many the oldest goes. In between it sleeps without a deadline. It keeps neither
//! credentials nor tokens, and reads both where they are published.

mod connection;
mod reply;
mod request;

use std::io::{self, ErrorKind, PipeReader, PipeWriter};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use time::OffsetDateTime;

use self::connection::{Connection, Progress};
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::refresh::Served;
use crate::thread;

/// As many connections are attended to at once.
const MOST_CONNECTIONS: usize = 128;
/// For so long nothing is done where the process lacks descriptors or memory for it.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The endpoint at work. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    known: Arc<Mutex<Known>>,
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// What the daemon tells the thread.
#[derive(Debug)]
struct Known {
    served: Vec<Served>,
    /// What is known of the true time.
    anchor: Option<Anchor>,
}

/// What a request is answered from.
#[derive(Debug)]
struct Desk {
    clock: &'static dyn Clock,
    output_dir: PathBuf,
    known: Arc<Mutex<Known>>,
}

impl Server {
    /// Listens on `address`. Whoever connects is not answered before [`Self::start`].
    ///
    /// # Errors
    ///
    /// When the port is taken or cannot be used.
    pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Answers for `served`, from what is published in `output_dir`.
    ///
    /// # Errors
    ///
    /// When the process lacks a thread or descriptors.
    pub fn start(
        listener: TcpListener,
        clock: &'static dyn Clock,
        output_dir: PathBuf,
        served: Vec<Served>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stopped, stop) = io::pipe()?;
        let known = Arc::new(Mutex::new(Known { served, anchor: None }));
        let desk = Desk { clock, output_dir, known: Arc::clone(&known) };
        let thread = thread::start("serve", Box::new(move || attend(&listener, &stopped, &desk)))?;
        Ok(Self { address, known, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom it answers for.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        lock(&self.known).served.clone()
    }

    /// Answers for `served` from now on, and for nobody else.
    pub fn answer_for(&self, served: Vec<Served>) {
        lock(&self.known).served = served;
    }

    /// Judges expiry by `anchor` from now on.
    pub fn learn_time(&self, anchor: Option<Anchor>) {
        lock(&self.known).anchor = anchor;
    }
}

impl Drop for Server {
    /// Waits until the port is free, which takes no time: the thread never waits for anything else.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Desk {
    /// The true time, as far as it is known.
    fn now(&self) -> OffsetDateTime {
        let wall = self.clock.now();
        lock(&self.known).anchor.as_ref().map_or(wall, |anchor| anchor.correct(wall, self.clock))
    }

    fn served(&self, profile: &str) -> Option<Served> {
        lock(&self.known).served.iter().find(|served| served.profile == profile).cloned()
    }
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Attends to the connections until the other side of `stopped` is closed.
fn attend(listener: &TcpListener, stopped: &PipeReader, desk: &Desk) {
    let mut connections: Vec<Connection> = Vec::new();
    let mut deaf_until = Duration::ZERO;
    loop {
        let now = desk.clock.uptime();
        connections.retain(|connection| connection.deadline > now);
        let deaf = deaf_until.saturating_sub(now);
        let mut rest = connections.iter().map(|connection| connection.deadline.saturating_sub(now)).min();
        if !deaf.is_zero() {
            rest = Some(rest.map_or(deaf, |rest| rest.min(deaf)));
        }
        let mut waiting = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        let open = if deaf.is_zero() { PollFlags::POLLIN } else { PollFlags::empty() };
        waiting.push(PollFd::new(listener.as_fd(), open));
        waiting.extend(connections.iter().map(Connection::poll));
        // Rounded up, or a wait that ends a little early would be followed by many short ones.
        let timeout = rest.map_or(PollTimeout::NONE, |rest| {
            PollTimeout::try_from(rest.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
        });
        // It fails for want of memory, which passes, or is interrupted.
        if poll(&mut waiting, timeout).is_err() {
            desk.clock.pause(EXHAUSTED);
            continue;
        }
        let mut events = waiting.iter().map(|polled| polled.any().unwrap_or(true));
        if events.next() == Some(true) {
            return;
        }
        let has_callers = events.next() == Some(true);
        let events: Vec<bool> = events.collect();
        let mut event = events.into_iter();
        connections.retain_mut(|connection| {
            event.next() != Some(true) || connection.proceed(desk) == Progress::Open
        });
        if has_callers && accept(listener, &mut connections, desk).is_err() {
            deaf_until = desk.clock.uptime().saturating_add(EXHAUSTED);
        }
    }
}

/// Takes up whoever has called. A client sends its request at once, so most are answered at once too.
fn accept(listener: &TcpListener, connections: &mut Vec<Connection>, desk: &Desk) -> io::Result<()> {
    // No more in one go, so that a flood does not keep the others waiting.
    for _ in 0..MOST_CONNECTIONS {
        match listener.accept() {
            Ok((stream, _)) => {
                let Ok(mut connection) = Connection::new(stream, desk.clock.uptime()) else { continue };
                if connection.proceed(desk) == Progress::Open {
                    if connections.len() >= MOST_CONNECTIONS {
                        connections.remove(0);
                    }
                    connections.push(connection);
                }
            }
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(cause) if matches!(cause.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(cause) => {
                // The oldest makes room, and the caller is taken up in a moment.
                connections.drain(..connections.len().min(1));
                return Err(cause);
            }
        }
    }
    Ok(())
}
