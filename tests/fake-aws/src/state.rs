//! Everything that the fake knows, behind one lock, and the road of a request through it: received, answered,
//! logged. Knows which service answers, not how.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, Stop};
use crate::container::ContainerState;
use crate::fault::{self, Action, Fault};
use crate::http::{Reply, Request};
use crate::iam::Directory;
use crate::imds::ImdsState;
use crate::record::{Counts, Kind, Received, Service, increment};
use crate::s3::S3State;
use crate::sts::StsState;
use crate::{container, form, imds, s3, sts, verify};

/// The log forgets what is older: a fake that serves a benchmark must not grow without end.
const LOG_LIMIT: usize = 20_000;

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stop: Stop,
    state: Mutex<State>,
}

/// What the fake knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) directory: Directory,
    pub(crate) imds: ImdsState,
    pub(crate) sts: StsState,
    pub(crate) s3: S3State,
    pub(crate) container: ContainerState,
    pub(crate) faults: BTreeMap<Service, Vec<Fault>>,
    pub(crate) delays: BTreeMap<Service, Duration>,
    pub(crate) counts: Counts,
    pub(crate) log: VecDeque<(Ticket, Received)>,
    connections: u64,
    tickets: u64,
}

/// The place of a request in the log; outlives the log's being cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Where a request came in.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) service: Service,
    pub(crate) connection: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) server_name: Option<String>,
}

/// An answer and whom it was given to.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) caller: Option<String>,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Imds => "imds",
            Self::Sts => "sts",
            Self::S3 => "s3",
            Self::Container => "container",
        }
    }
}

impl Shared {
    pub(crate) fn new(directory: Directory) -> Self {
        let state = State {
            directory,
            imds: ImdsState::new(),
            sts: StsState::default(),
            s3: S3State::new(),
            container: ContainerState::default(),
            faults: BTreeMap::new(),
            delays: BTreeMap::new(),
            counts: Counts::default(),
            log: VecDeque::new(),
            connections: 0,
            tickets: 0,
        };
        Self { stop: Stop::default(), state: Mutex::new(state) }
    }

    /// The state; a thread that died with the lock held has not spoilt it for the others.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection and gives it its number.
    pub(crate) fn count_connection(&self, service: Service) -> u64 {
        let mut state = self.lock();
        increment(&mut state.counts.connections, service);
        state.connections = state.connections.saturating_add(1);
        state.connections
    }

    pub(crate) fn count_handshake(&self, service: Service, completed: bool) {
        let counts = &mut self.lock().counts;
        increment(if completed { &mut counts.handshakes } else { &mut counts.failed_handshakes }, service);
    }

    /// Logs and counts `request`, and says what shall happen to it.
    pub(crate) fn receive(&self, origin: &Origin, request: &Request) -> (Ticket, Duration, Option<Action>) {
        let text = String::from_utf8_lossy(&request.body);
        let parameters = form::parse(if request.body.is_empty() { request.query() } else { &text });
        let kind = match origin.service {
            Service::Imds => imds::kind(request),
            Service::Sts => sts::kind(&parameters),
            Service::S3 => s3::kind(request),
            Service::Container => Kind::ContainerCredentials,
        };
        let received = Received {
            service: origin.service,
            kind,
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            parameters,
            access_key_id: verify::claimed_key(request),
            caller: None,
            server_name: origin.server_name.clone(),
            connection: origin.connection,
            peer: origin.peer,
            at: clock::now(),
            status: None,
        };
        let mut state = self.lock();
        increment(&mut state.counts.requests, kind);
        state.tickets = state.tickets.saturating_add(1);
        let ticket = Ticket(state.tickets);
        state.log.push_back((ticket, received));
        if state.log.len() > LOG_LIMIT {
            state.log.pop_front();
        }
        let delay = state.delays.get(&origin.service).copied().unwrap_or_default();
        let fault = state.faults.get_mut(&origin.service).and_then(|faults| fault::take(faults, kind));
        (ticket, delay, fault)
    }

    /// Works out the proper answer.
    pub(crate) fn answer(&self, ticket: Ticket, origin: &Origin, request: &Request) -> Reply {
        let mut state = self.lock();
        let answer = match origin.service {
            Service::Imds => Answer { reply: imds::answer(&mut state, request), caller: None },
            Service::Sts => sts::answer(&mut state, request),
            Service::S3 => s3::answer(&mut state, request),
            Service::Container => Answer { reply: container::answer(&mut state, request), caller: None },
        };
        if let Some(received) = state.received(ticket) {
            received.caller = answer.caller;
            received.status = Some(answer.reply.status);
        }
        answer.reply
    }

    /// An error that was ordered, in the shape of the service.
    pub(crate) fn refuse(
        &self,
        ticket: Ticket,
        origin: &Origin,
        status: u16,
        code: &str,
        retry_after_ms: Option<u64>,
    ) -> Reply {
        let mut reply = match origin.service {
            Service::Imds => imds::error_page(&self.lock(), status),
            Service::Sts => sts::ordered_error(&self.lock(), status, code),
            Service::S3 => s3::ordered_error(&self.lock(), status, code),
            Service::Container => container::refusal(status, code, "ordered by the test"),
        };
        if let Some(milliseconds) = retry_after_ms {
            reply = reply.header("x-amz-retry-after", &milliseconds.to_string());
        }
        self.conclude(ticket, status);
        reply
    }

    /// Notes the status of an answer that no service made.
    pub(crate) fn conclude(&self, ticket: Ticket, status: u16) {
        if let Some(received) = self.lock().received(ticket) {
            received.status = Some(status);
        }
    }
}

impl State {
    fn received(&mut self, ticket: Ticket) -> Option<&mut Received> {
        self.log.iter_mut().rev().find(|(number, _)| *number == ticket).map(|(_, received)| received)
    }
}
