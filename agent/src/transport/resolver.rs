//! Host names to addresses. Literal addresses need no lookup, and a name is looked up once for the life of a
//! client: ureq's own resolver starts a thread for every request, even for a literal address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ureq::Timeout;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::proxy::Proxy;
use crate::config::url::is_localhost;

/// ureq keeps this many addresses of a name.
const MAX_ADDRESSES: usize = 16;

/// A resolver that remembers what it has found.
#[derive(Debug, Default)]
pub(super) struct CachingResolver {
    /// Looked up in place of the host of every request.
    proxy: Option<Arc<Proxy>>,
    known: Mutex<HashMap<(String, u16), Vec<SocketAddr>>>,
    /// What every address of a host has to satisfy; nothing where all are permitted.
    permits: Option<fn(IpAddr) -> bool>,
}

impl CachingResolver {
    /// A resolver that refuses a host with any address that is not permitted: which of them would be connected to is
    /// for others to decide.
    pub(super) fn permitting(permits: fn(IpAddr) -> bool) -> Self {
        Self { permits: Some(permits), ..Self::default() }
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = self.proxy.as_ref().map_or(uri, |proxy| &proxy.uri);
        let host = uri.host().ok_or_else(|| ureq::Error::BadUri(uri.to_string()))?;
        let default_port = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = self.addresses(host, port, *timeout.after).map_err(|cause| match &self.proxy {
            Some(proxy) => proxy.unreachable(cause),
            None => cause,
        })?;
        if self.permits.is_some_and(|permits| !addresses.iter().all(|address| permits(address.ip()))) {
            return Err(ureq::Error::Other(Box::new(Forbidden)));
        }
        let mut resolved = self.empty();
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            resolved.push(address);
        }
        if resolved.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(resolved) }
    }
}

impl CachingResolver {
    /// A resolver for a client that sends everything through `proxy`, which looks up the hosts of requests itself.
    pub(super) fn towards(proxy: Option<Arc<Proxy>>) -> Self {
        Self { proxy, ..Self::default() }
    }

    fn addresses(&self, host: &str, port: u16, timeout: Duration) -> Result<Vec<SocketAddr>, ureq::Error> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(literal) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(literal, port)]);
        }
        if is_localhost(bare) {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(loopback.map(|address| SocketAddr::new(address, port)).to_vec());
        }
        let key = (bare.to_owned(), port);
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let found = look_up(&key, timeout)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        Ok(found)
    }
}

/// Asks the system on a thread of its own: the C library's lookup knows no deadline, and musl's blocks for
/// five seconds for each name server that does not answer.
fn look_up(key: &(String, u16), timeout: Duration) -> Result<Vec<SocketAddr>, ureq::Error> {
    let (sender, receiver) = sync_channel(1);
    let question = key.clone();
    thread::Builder::new().name("lookup".to_owned()).stack_size(128 * 1024).spawn(move || {
        let answer = (question.0.as_str(), question.1).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // The receiver is gone where its deadline has passed; then nobody waits for the answer.
        drop(sender.send(answer));
    })?;
    match receiver.recv_timeout(timeout) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(ureq::Error::HostNotFound),
        Ok(answer) => answer.map_err(|cause| ureq::Error::Other(Box::new(LookupFailed(cause)))),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(ureq::Error::Timeout(Timeout::Resolve))
        }
    }
}

/// The host has an address that is not permitted.
#[derive(Debug)]
pub(super) struct Forbidden;

impl std::fmt::Display for Forbidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an address that is not permitted")
    }
}

impl std::error::Error for Forbidden {}

/// The system's resolver answered with an error.
#[derive(Debug)]
pub(super) struct LookupFailed(pub(super) io::Error);

impl std::fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name lookup failed")
    }
}

impl std::error::Error for LookupFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
