//! One document from an HTTP endpoint that hands out credentials: asked for again where the failure may pass, read by
//! whoever knows its form. Knows no particular endpoint.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use log::debug;

use crate::credentials::IssuedCredentials;
use crate::disposition::{Disposition, quote_foreign};
use crate::host::{Host, Teller};
use crate::json::WipedJson;
use crate::retry::Backoff;
use crate::transport::{Channel, Method, Request, Response, TransportError};

const BACKOFF: Backoff = Backoff { attempts: 3, first: Duration::from_secs(1), cap: Duration::from_secs(1) };

/// The longest pieces of an error document that are repeated.
const MAX_CODE: usize = 80;
const MAX_MESSAGE: usize = 200;

/// How long an endpoint may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To connect.
    pub(super) connect: Duration,
    /// For one exchange.
    pub(super) exchange: Duration,
    /// For all attempts and waits together.
    pub(super) total: Duration,
}

impl Patience {
    /// A service of AWS, as far away as STS.
    pub(super) const SERVICE: Self = Self {
        connect: Duration::from_secs(5),
        exchange: Duration::from_secs(10),
        total: Duration::from_secs(30),
    };
}

/// A place that hands out credentials.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint<'a> {
    /// What it is, in words that follow "the".
    pub(super) name: &'static str,
    pub(super) channel: Channel<'a>,
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) body: &'a [u8],
    pub(super) patience: Patience,
    /// Whether its `Date` is believed, as that of a service of AWS over verified TLS is.
    pub(super) tells_time: bool,
    /// What to do about a refusal with this status.
    pub(super) advice: fn(u16) -> Option<&'static str>,
}

/// Why an endpoint gave no credentials.
#[derive(Debug)]
pub struct EndpointError {
    name: &'static str,
    /// Without its query.
    url: String,
    problem: Problem,
    advice: fn(u16) -> Option<&'static str>,
}

#[derive(Debug)]
enum Problem {
    Unsigned(sigv4::Error),
    Unreachable(TransportError),
    Status { status: u16, code: String, message: String },
    BadReply(&'static str),
}

/// Sends one attempt with these headers.
pub(super) type Sender<'s> = &'s dyn Fn(&[(&str, &str)]) -> Result<Response, TransportError>;

/// Makes the headers of one attempt, which may borrow what was made for them, and hands them to the sender.
pub(super) type Headers<'h> =
    &'h dyn Fn(Sender<'_>) -> Result<Result<Response, TransportError>, sigv4::Error>;

impl Endpoint<'_> {
    /// Asks, up to three times and once more where the endpoint has told that the time was wrong, and reads a reply of
    /// status 2xx with `parse`, whose error follows "answered with".
    pub(super) fn fetch(
        &self,
        host: &Host<'_>,
        headers: Headers<'_>,
        parse: fn(&WipedJson) -> Result<IssuedCredentials, &'static str>,
    ) -> Result<IssuedCredentials, EndpointError> {
        let deadline = host.clock.uptime().saturating_add(self.patience.total);
        let mut number = 1;
        let mut has_new_time = false;
        loop {
            let teller = Teller::Sts { believed: host.clock_offset() };
            let send = |headers: &[(&str, &str)]| self.send(host, headers, deadline);
            let mut pause = BACKOFF.after(number, &host.jitter);
            let problem = match headers(&send) {
                Ok(Ok(response)) => {
                    let is_skewed = self.tells_time && host.hear(&response, teller);
                    match read(&response, parse) {
                        Ok(issued) => return Ok(issued),
                        Err(Problem::Status { status, code, message }) if is_skewed && !has_new_time => {
                            has_new_time = true;
                            pause = Some(Duration::ZERO);
                            Problem::Status { status, code, message }
                        }
                        Err(problem) => {
                            pause = pause.filter(|_| problem.may_pass());
                            problem
                        }
                    }
                }
                Ok(Err(cause)) => {
                    pause = pause.filter(|_| cause.is_transient());
                    Problem::Unreachable(cause)
                }
                Err(error) => return Err(self.failed(Problem::Unsigned(error))),
            };
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
        EndpointError { name: self.name, url, problem, advice: self.advice }
    }

    fn send(
        &self,
        host: &Host<'_>,
        headers: &[(&str, &str)],
        deadline: Duration,
    ) -> Result<Response, TransportError> {
        host.transport.send(&Request {
            channel: self.channel,
            method: self.method,
            url: self.url,
            headers,
            body: self.body,
            connect_timeout: self.patience.connect,
            timeout: self.patience.exchange.min(deadline.saturating_sub(host.clock.uptime())),
            told_time: host.told_time(),
        })
    }
}

fn read(
    response: &Response,
    parse: fn(&WipedJson) -> Result<IssuedCredentials, &'static str>,
) -> Result<IssuedCredentials, Problem> {
    let json = WipedJson::parse(&response.body);
    if matches!(response.status, 200..300) {
        let json = json.ok_or(Problem::BadReply("something that is no JSON object"))?;
        return parse(&json).map_err(Problem::BadReply);
    }
    let text = |name| json.as_ref().and_then(|json| json.text(name));
    // Behind the colon stands where the error is described.
    let header = response.header("x-amzn-errortype").and_then(|value| value.split(':').next());
    let code = header.or_else(|| text("code")).unwrap_or_default();
    Err(Problem::Status {
        status: response.status,
        code: quote_foreign(code, MAX_CODE),
        message: quote_foreign(text("message").unwrap_or_default(), MAX_MESSAGE),
    })
}

impl Problem {
    /// Whether it may pass by itself.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unsigned(_) => false,
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
            Problem::Unsigned(_) => Disposition::Broken,
            Problem::Unreachable(
                TransportError::BadUrl(_)
                | TransportError::CaBundle { .. }
                | TransportError::BadProxy { .. }
                | TransportError::Forbidden,
            ) => Disposition::Misconfigured,
            // What the endpoint has decided somebody may mend there.
            Problem::Status { .. } if !self.problem.may_pass() => Disposition::Refused,
            Problem::Unreachable(_) | Problem::Status { .. } | Problem::BadReply(_) => Disposition::Retry,
        }
    }

    /// The URL without its path, as a proxy knows it.
    fn origin(&self) -> &str {
        let host = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let path = host.split_once('/').map_or("", |(_, path)| path);
        self.url.strip_suffix(path).unwrap_or(&self.url).trim_end_matches('/')
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let fixed = match &self.problem {
            Problem::Status { status, .. } => (self.advice)(*status)?,
            Problem::Unreachable(TransportError::WrongClock { .. }) => {
                "set the clock of this host and start time synchronisation"
            }
            Problem::Unreachable(TransportError::Tls(_)) => {
                "check the file of CA certificates and the client's certificate, and whether a proxy inspects TLS"
            }
            Problem::Unreachable(TransportError::UnknownHost(_)) => {
                "check the name of the endpoint, and the name servers of this host"
            }
            Problem::Unreachable(cause) => return cause.proxy_advice(self.origin()),
            Problem::Unsigned(_) | Problem::BadReply(_) => return None,
        };
        Some(fixed.to_owned())
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, url, problem, .. } = self;
        match problem {
            Problem::Unsigned(_) => write!(f, "the request to the {name} cannot be signed"),
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
            Problem::Unsigned(cause) => Some(cause),
            Problem::Unreachable(cause) => Some(cause),
            Problem::Status { .. } | Problem::BadReply(_) => None,
        }
    }
}
