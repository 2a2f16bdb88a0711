//! The transport seam: a request goes out, a response or a transport error comes back. A status of 4xx or 5xx
//! is a response. Knows nothing of AWS; the one implementation is in `http`.

mod error;
mod http;
mod provider;
mod resolver;
mod tcp;
mod tls;
mod verify;

pub use error::{CaBundleProblem, Phase, TransportError};
pub use http::HttpTransport;

use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::timestamp::{between, parse_http_date};

/// The longest reply that is read, in bytes. The largest answer that the agent asks for, an STS reply with a
/// session token of the permitted size, stays well below.
pub const MAX_REPLY: u64 = 64 * 1024;

/// After a longer round trip the `Date` of a reply says nothing about now.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(15 * 60);

/// Which client carries a request; the clients share nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Plain HTTP to the instance metadata service, never through a proxy.
    Imds,
    /// The endpoint of a container's credentials, never through a proxy: in plain HTTP only at addresses that
    /// [`is_container_address`] permits, whatever name leads there, else as for STS.
    Container {
        /// The PEM file of `ca_bundle`.
        ca_bundle: Option<&'a Path>,
    },
    /// STS: TLS, verified against the embedded roots or, where given, only those of this PEM file.
    Sts {
        /// The PEM file of `ca_bundle`.
        ca_bundle: Option<&'a Path>,
    },
}

/// The methods that the agent uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

/// One HTTP request, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The client to use.
    pub channel: Channel<'a>,
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: &'a str,
    /// Headers beside `host`, `content-length` and `user-agent`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body of a `POST` or `PUT`.
    pub body: &'a [u8],
    /// The longest time to connect, TLS included.
    pub connect_timeout: Duration,
    /// The longest time for the whole exchange, name lookup and body included.
    pub timeout: Duration,
    /// The true time, where a service has told it. TLS looks at it only after a certificate was found expired or not
    /// yet valid by this host's clock.
    pub told_time: Option<OffsetDateTime>,
}

/// A whole reply.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// The body, at most [`MAX_REPLY`] bytes; wiped when dropped, because it may hold keys.
    pub body: Zeroizing<Vec<u8>>,
    /// This host's wall clock half-way between sending and the last byte.
    pub midpoint: OffsetDateTime,
    /// How long the exchange took.
    pub round_trip: Duration,
}

impl Response {
    /// The first value of the header `name`, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How far the sender's time is ahead of this host's clock, by the SDKs' common rule: its `Date` less the middle
    /// of the exchange. `None` where it does not say, where the reply comes from a cache, and after an exchange of
    /// more than 15 minutes.
    #[must_use]
    pub fn clock_offset(&self) -> Option<time::Duration> {
        let date = self.header("date").and_then(parse_http_date)?;
        let is_current = self.header("age").is_none() && self.round_trip <= LONGEST_ROUND_TRIP;
        is_current.then(|| between(self.midpoint, date))
    }

    /// The body as text, or `None` where it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }
}

/// Carries requests.
pub trait Transport: Debug + Sync {
    /// Sends `request` and reads the whole reply.
    ///
    /// # Errors
    ///
    /// When no complete HTTP reply arrived in time or in bounds.
    fn send(&self, request: &Request<'_>) -> Result<Response, TransportError>;
}

/// Whether container credentials may be fetched from `address` in plain HTTP: loopback, and the link-local addresses of
/// the ECS agent and of the EKS pod identity agent.
#[must_use]
pub fn is_container_address(address: IpAddr) -> bool {
    const EKS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || matches!(address.octets(), [169, 254, 170, 2 | 23]),
        IpAddr::V6(address) => address.is_loopback() || address == EKS,
    }
}

/// Random bytes from the source that TLS uses, which needs no `/dev`.
///
/// Zeros where the system has no randomness, which no TLS handshake would survive either.
#[must_use]
pub fn random_bytes() -> [u8; 40] {
    random().unwrap_or([0; 40])
}

/// Random bytes that have to be secret, from the same source; `None` where the system has no randomness.
#[must_use]
pub fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    provider::random()
}
