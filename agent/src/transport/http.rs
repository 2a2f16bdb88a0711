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
use super::proxy::{Proxy, ProxyFailed, ProxyRules, Route};
use super::resolver::{CachingResolver, Forbidden, LookupFailed};
use super::tcp::TcpConnector;
use super::tls::{TlsConnector, client_config};
use super::verify::{Times, is_over_dates};
use super::{Channel, MAX_REPLY, Method, Request, Response, Transport, is_container_address};
use crate::clock::Clock;
use crate::x509::X509Identity;

/// Requests and replies are a few kilobytes; longer bodies take several rounds through the buffer.
const BUFFER: usize = 8 * 1024;
/// All headers of a reply together. Below [`BUFFER`], because ureq takes a head that fills its buffer for a connection
/// that has ended.
const MAX_HEADERS: usize = 7 * 1024;
pub(super) const USER_AGENT: &str = concat!("rolekeeper/", env!("CARGO_PKG_VERSION"));

/// HTTP/1.1 over kept-alive connections. Dropping it closes them.
#[derive(Debug)]
pub struct HttpTransport<'a> {
    clock: &'a dyn Clock,
    imds: OnceLock<Agent>,
    container: OnceLock<Agent>,
    sts: Mutex<HashMap<StsKey, Agent>>,
    times: Arc<Times>,
    proxies: ProxyRules,
}

/// The CA bundle, and whether a proxy is on the way.
type StsKey = (Option<PathBuf>, bool);

impl<'a> HttpTransport<'a> {
    /// A transport without connections; each client is made when it is first used. `proxies` are those towards AWS.
    #[must_use]
    pub fn new(clock: &'a dyn Clock, proxies: ProxyRules) -> Self {
        Self {
            clock,
            imds: OnceLock::new(),
            container: OnceLock::new(),
            sts: Mutex::new(HashMap::new()),
            times: Arc::default(),
            proxies,
        }
    }

    fn agent(&self, channel: Channel<'_>, uri: &Uri) -> Result<Agent, TransportError> {
        let plain = |agent: &OnceLock<Agent>, resolver| {
            Ok(agent.get_or_init(|| Agent::with_parts(settings(), TcpConnector, resolver)).clone())
        };
        match channel {
            Channel::Imds => plain(&self.imds, CachingResolver::default()),
            Channel::Container { .. } if uri.scheme_str() != Some("https") => {
                plain(&self.container, CachingResolver::permitting(is_container_address))
            }
            Channel::Container { ca_bundle } => self.sts_agent(ca_bundle, None),
            Channel::Sts { ca_bundle } => self.sts_agent(ca_bundle, self.proxies.towards(uri)?),
            Channel::Mutual { ca_bundle, identity } => {
                tls_agent(ca_bundle, Some(identity), self.proxies.towards(uri)?, &self.times)
            }
        }
    }

    fn sts_agent(
        &self,
        ca_bundle: Option<&Path>,
        proxy: Option<Arc<Proxy>>,
    ) -> Result<Agent, TransportError> {
        let mut agents = self.sts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (ca_bundle.map(Path::to_owned), proxy.is_some());
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = tls_agent(ca_bundle, None, proxy, &self.times)?;
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

fn tls_agent(
    ca_bundle: Option<&Path>,
    identity: Option<&X509Identity>,
    proxy: Option<Arc<Proxy>>,
    times: &Arc<Times>,
) -> Result<Agent, TransportError> {
    let connector = Route(proxy.clone()).chain(TlsConnector(client_config(ca_bundle, identity, times)?));
    Ok(Agent::with_parts(settings(), connector, CachingResolver::towards(proxy)))
}

impl Transport for HttpTransport<'_> {
    fn send(&self, request: &Request<'_>) -> Result<Response, TransportError> {
        let uri: Uri = request.url.parse().map_err(|_| TransportError::BadUrl(request.url.to_owned()))?;
        let agent = self.agent(request.channel, &uri)?;
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
    // A header has to fit into the buffer whole, and a chain of certificates may be longer than the usual one.
    let mut buffer = BUFFER;
    for (name, value) in request.headers {
        builder = builder.header(*name, *value);
        buffer = buffer.max(value.len().saturating_add(1024));
    }
    let connect_timeout = request.connect_timeout.min(request.timeout);
    let configured = builder
        .config()
        .timeout_global(Some(request.timeout))
        .timeout_resolve(Some(request.timeout))
        .timeout_connect(Some(connect_timeout))
        .output_buffer_size(buffer)
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
pub(super) fn transport_error(error: ureq::Error) -> TransportError {
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
            Err(cause) => match cause.downcast::<ProxyFailed>() {
                Ok(failed) => failed.0,
                Err(cause) => TransportError::Protocol(cause.to_string()),
            },
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;

    /// Sends more than fits into the sockets to a peer that reads one byte, says `answer` and hangs up.
    fn interrupted(answer: &'static [u8]) -> Result<Response, TransportError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(answer).unwrap();
        });
        let request = Request {
            channel: Channel::Imds,
            method: Method::Post,
            url: &url,
            headers: &[],
            body: &vec![b'a'; 16 * 1024 * 1024],
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            told_time: None,
        };
        let answer = HttpTransport::new(&SystemClock::start(), ProxyRules::default()).send(&request);
        peer.join().unwrap();
        answer
    }

    #[test]
    fn an_answer_is_heard_although_its_sender_did_not_listen_to_the_end() {
        for answer in [
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied".as_slice(),
            b"HTTP/1.0 403 Forbidden\r\n\r\ndenied",
        ] {
            let response = interrupted(answer).unwrap();
            assert_eq!((response.status, response.text()), (403, Some("denied")));
        }
    }

    #[test]
    fn a_peer_that_hangs_up_without_an_answer_is_a_connection_that_failed() {
        let failure = interrupted(b"").unwrap_err();
        assert!(matches!(failure, TransportError::Io(_)), "{failure:?}");
    }
}
