//! The transport over ureq. Every setting that matters is written down here instead of inherited: ureq's
//! defaults follow redirects, turn statuses into errors, take a proxy from the environment, never time out
//! and hold a quarter of a megabyte of buffers for each connection.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use time::OffsetDateTime;
use ureq::http::Uri;
use ureq::unversioned::transport::Connector;
use ureq::{Agent, Timeout};
use zeroize::Zeroizing;

use super::error::{Phase, TransportError};
use super::resolver::{CachingResolver, Forbidden, LookupFailed};
use super::tcp::TcpConnector;
use super::tls::{TlsConnector, client_config};
use super::verify::{Times, is_over_dates};
use super::{Channel, MAX_REPLY, Method, Request, Response, Transport, is_container_address};
use crate::clock::Clock;

/// Requests and replies are a few kilobytes; longer bodies take several rounds through the buffer.
const BUFFER: usize = 8 * 1024;
/// All headers of a reply together. Below [`BUFFER`], because ureq takes a head that fills its buffer for a connection
/// that has ended.
const MAX_HEADERS: usize = 7 * 1024;
const USER_AGENT: &str = concat!("rolekeeper/", env!("CARGO_PKG_VERSION"));

/// HTTP/1.1 over kept-alive connections. Dropping it closes them.
#[derive(Debug)]
pub struct HttpTransport<'a> {
    clock: &'a dyn Clock,
    imds: OnceLock<Agent>,
    container: OnceLock<Agent>,
    sts: Mutex<HashMap<Option<PathBuf>, Agent>>,
    times: Arc<Times>,
}

impl<'a> HttpTransport<'a> {
    /// A transport without connections; each client is made when it is first used.
    #[must_use]
    pub fn new(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            imds: OnceLock::new(),
            container: OnceLock::new(),
            sts: Mutex::new(HashMap::new()),
            times: Arc::default(),
        }
    }

    fn agent(&self, channel: Channel<'_>, is_https: bool) -> Result<Agent, TransportError> {
        let plain = |agent: &OnceLock<Agent>, resolver| {
            Ok(agent.get_or_init(|| Agent::with_parts(settings(), TcpConnector, resolver)).clone())
        };
        match channel {
            Channel::Imds => plain(&self.imds, CachingResolver::default()),
            Channel::Container { .. } if !is_https => {
                plain(&self.container, CachingResolver::permitting(is_container_address))
            }
            Channel::Container { ca_bundle } => self.sts_agent(ca_bundle),
            Channel::Sts { ca_bundle } => self.sts_agent(ca_bundle),
        }
    }

    fn sts_agent(&self, ca_bundle: Option<&Path>) -> Result<Agent, TransportError> {
        let mut agents = self.sts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = ca_bundle.map(Path::to_owned);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = tls_agent(ca_bundle, &self.times)?;
        agents.insert(key, agent.clone());
        Ok(agent)
    }
}

fn settings() -> ureq::config::Config {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(USER_AGENT)
        .accept("")
        .accept_encoding("")
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_response_header_size(MAX_HEADERS)
        .timeout_await_100(None)
        .max_idle_connections(16)
        .max_idle_connections_per_host(8)
        .build()
}

fn tls_agent(ca_bundle: Option<&Path>, times: &Arc<Times>) -> Result<Agent, TransportError> {
    let connector = TcpConnector.chain(TlsConnector(client_config(ca_bundle, times)?));
    Ok(Agent::with_parts(settings(), connector, CachingResolver::default()))
}

impl Transport for HttpTransport<'_> {
    fn send(&self, request: &Request<'_>) -> Result<Response, TransportError> {
        let uri: Uri = request.url.parse().map_err(|_| TransportError::BadUrl(request.url.to_owned()))?;
        let agent = self.agent(request.channel, uri.scheme_str() == Some("https"))?;
        let sent = self.clock.now();
        self.times.set(sent, request.told_time);
        let started = self.clock.uptime();
        let answer = match request.method {
            Method::Get => run(agent.get(uri), request, |built| built.call()),
            Method::Post => run(agent.post(uri), request, |built| built.send(request.body)),
            Method::Put => run(agent.put(uri), request, |built| built.send(request.body)),
        };
        let has_told_time = request.told_time.is_some();
        let answer = answer.map_err(|error| suspect_clock(transport_error(error), sent, has_told_time))?;
        let (parts, body) = answer.into_parts();
        let body = read_body(body)?;
        let round_trip = self.clock.uptime().saturating_sub(started);
        let headers = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let half = round_trip.checked_div(2).unwrap_or_default();
        let midpoint = sent.saturating_add(time::Duration::try_from(half).unwrap_or_default());
        Ok(Response { status: parts.status.as_u16(), headers, body, midpoint, round_trip })
    }
}

fn run<B>(
    mut builder: ureq::RequestBuilder<B>,
    request: &Request<'_>,
    send: impl FnOnce(ureq::RequestBuilder<B>) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    for (name, value) in request.headers {
        builder = builder.header(*name, *value);
    }
    let connect_timeout = request.connect_timeout.min(request.timeout);
    let configured = builder
        .config()
        .timeout_global(Some(request.timeout))
        .timeout_resolve(Some(request.timeout))
        .timeout_connect(Some(connect_timeout))
        .build();
    send(configured)
}

/// Reads at most [`MAX_REPLY`] bytes into a buffer that is never moved, so that no unwiped copy stays behind.
fn read_body(body: ureq::Body) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let bound = MAX_REPLY;
    if body.content_length().is_some_and(|length| length > bound) {
        return Err(TransportError::TooLarge(bound));
    }
    let capacity = usize::try_from(body.content_length().unwrap_or(bound)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity.saturating_add(1)));
    let mut reader = body.into_reader().take(bound.saturating_add(1));
    reader.read_to_end(&mut bytes).map_err(|cause| transport_error(ureq::Error::from(cause)))?;
    if bytes.len() as u64 > bound { Err(TransportError::TooLarge(bound)) } else { Ok(bytes) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else ureq may say, the exchange has failed")]
fn transport_error(error: ureq::Error) -> TransportError {
    match error {
        ureq::Error::Timeout(Timeout::Resolve) => TransportError::Timeout(Phase::Resolve),
        ureq::Error::Timeout(Timeout::Connect) => TransportError::Timeout(Phase::Connect),
        ureq::Error::Timeout(_) => TransportError::Timeout(Phase::Reply),
        ureq::Error::HostNotFound => TransportError::UnknownHost(None),
        ureq::Error::BadUri(uri) => TransportError::BadUrl(uri),
        ureq::Error::LargeResponseHeader(_, bound) => TransportError::TooLarge(bound as u64),
        ureq::Error::Io(cause) => io_error(cause),
        ureq::Error::Other(cause) => match cause.downcast::<LookupFailed>() {
            Ok(lookup) => TransportError::UnknownHost(Some(lookup.0)),
            Err(cause) if cause.is::<Forbidden>() => TransportError::Forbidden,
            Err(cause) => TransportError::Protocol(cause.to_string()),
        },
        other => TransportError::Protocol(other.to_string()),
    }
}

/// Names the clock where it is the likely culprit: a certificate out of its time, and nobody who knows the time.
fn suspect_clock(error: TransportError, local: OffsetDateTime, has_told_time: bool) -> TransportError {
    if let TransportError::Tls(cause) = error {
        if !has_told_time && is_over_dates(&cause) {
            return TransportError::WrongClock { local, cause: Box::new(cause) };
        }
        return TransportError::Tls(cause);
    }
    error
}

fn io_error(cause: std::io::Error) -> TransportError {
    if cause.kind() == std::io::ErrorKind::ConnectionRefused {
        return TransportError::Refused;
    }
    if cause.kind() == std::io::ErrorKind::TimedOut {
        return TransportError::Timeout(Phase::Reply);
    }
    match cause.downcast::<rustls::Error>() {
        Ok(tls) => TransportError::Tls(tls),
        Err(cause) => match cause.downcast::<ureq::Error>() {
            Ok(inner) => transport_error(inner),
            Err(cause) => TransportError::Io(cause),
        },
    }
}
