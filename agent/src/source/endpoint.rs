//! One document from an HTTP endpoint that hands out credentials: asked for again where the failure may pass, read by
//! whoever knows its form. Knows no particular endpoint.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use log::debug;

use crate::credentials::IssuedCredentials;
use crate::disposition::{Disposition, quote_foreign};
use crate::host::Host;
use crate::json::WipedJson;
use crate::retry::Backoff;
use crate::transport::{Channel, Method, Request, Response, TransportError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// All attempts and waits together.
const TOTAL: Duration = Duration::from_secs(20);
const BACKOFF: Backoff = Backoff { attempts: 3, first: Duration::from_secs(1), cap: Duration::from_secs(1) };

/// The longest pieces of an error document that are repeated.
const MAX_CODE: usize = 80;
const MAX_MESSAGE: usize = 200;

/// A `GET` for a document with credentials.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    /// What it is, in words that follow "the".
    pub(super) name: &'static str,
    pub(super) channel: Channel<'a>,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// Why an endpoint gave no credentials.
#[derive(Debug)]
pub struct EndpointError {
    name: &'static str,
    /// Without its query.
    url: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Unreachable(TransportError),
    Status { status: u16, code: String, message: String },
    BadReply(&'static str),
}

impl Endpoint<'_> {
    /// Asks, up to three times, and reads a reply of status 200 with `parse`, whose error follows "answered with".
    pub(super) fn fetch(
        &self,
        host: &Host<'_>,
        parse: fn(&WipedJson) -> Result<IssuedCredentials, &'static str>,
    ) -> Result<IssuedCredentials, EndpointError> {
        let deadline = host.clock.uptime().saturating_add(TOTAL);
        let mut number = 1;
        loop {
            let problem = match self.send(host, deadline) {
                Ok(response) => match self.read(&response, parse) {
                    Ok(issued) => return Ok(issued),
                    Err(problem) => problem,
                },
                Err(cause) => Problem::Unreachable(cause),
            };
            let pause = BACKOFF.after(number, &host.jitter).filter(|_| problem.may_pass());
            let error = self.failed(problem);
            match pause {
                Some(pause) if host.clock.uptime().saturating_add(pause) < deadline => {
                    debug!("attempt {number} failed: {error}");
                    host.clock.pause(pause);
                    number = number.saturating_add(1);
                }
                _ => return Err(error),
            }
        }
    }

    fn failed(&self, problem: Problem) -> EndpointError {
        let url = self.url.split('?').next().unwrap_or_default().to_owned();
        EndpointError { name: self.name, url, problem }
    }

    fn send(&self, host: &Host<'_>, deadline: Duration) -> Result<Response, TransportError> {
        host.transport.send(&Request {
            channel: self.channel,
            method: Method::Get,
            url: self.url,
            headers: self.headers,
            body: &[],
            connect_timeout: CONNECT_TIMEOUT,
            timeout: REQUEST_TIMEOUT.min(deadline.saturating_sub(host.clock.uptime())),
            told_time: host.told_time(),
        })
    }

    fn read(
        &self,
        response: &Response,
        parse: fn(&WipedJson) -> Result<IssuedCredentials, &'static str>,
    ) -> Result<IssuedCredentials, Problem> {
        let json = WipedJson::parse(&response.body);
        if response.status == 200 {
            let json = json.ok_or(Problem::BadReply("something that is no JSON object"))?;
            return parse(&json).map_err(Problem::BadReply);
        }
        let text = |name, limit| {
            let text = json.as_ref().and_then(|json| json.text(name));
            text.map(|text| quote_foreign(text, limit)).unwrap_or_default()
        };
        Err(Problem::Status {
            status: response.status,
            code: text("code", MAX_CODE),
            message: text("message", MAX_MESSAGE),
        })
    }
}

impl Problem {
    /// Whether it may pass by itself.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(cause) => cause.is_transient(),
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            // A service that starts up answers with empty bodies.
            Self::BadReply(_) => true,
        }
    }
}

impl EndpointError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match &self.problem {
            Problem::Unreachable(
                TransportError::BadUrl(_) | TransportError::CaBundle { .. } | TransportError::Forbidden,
            ) => Disposition::Misconfigured,
            // What the endpoint has decided somebody may mend there.
            Problem::Status { .. } if !self.problem.may_pass() => Disposition::Refused,
            Problem::Unreachable(_) | Problem::Status { .. } | Problem::BadReply(_) => Disposition::Retry,
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, url, problem } = self;
        match problem {
            Problem::Unreachable(_) => write!(f, "no answer from the {name} at `{url}`"),
            Problem::Status { status, code, message } => {
                write!(f, "the {name} at `{url}` answered with status {status}")?;
                // A page of a proxy has neither.
                [code, message].into_iter().filter(|text| !text.is_empty()).try_for_each(|text| {
                    f.write_str(": ")?;
                    f.write_str(text)
                })
            }
            Problem::BadReply(problem) => write!(f, "the {name} at `{url}` answered with {problem}"),
        }
    }
}

impl Error for EndpointError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Unreachable(cause) => Some(cause),
            Problem::Status { .. } | Problem::BadReply(_) => None,
        }
    }
}
