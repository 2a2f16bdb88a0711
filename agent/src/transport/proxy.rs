//! The HTTPS proxy between this host and AWS: which one the environment names, for which hosts, and the tunnel that it
//! opens with `CONNECT`. The variables mean what they mean to botocore; the metadata service and container endpoints
//! never come here.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::Uri;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport as _, TransportAdapter};
use zeroize::Zeroizing;

use super::error::{ProxyProblem, TransportError};
use super::http::{USER_AGENT, transport_error};
use super::tcp::{TcpConnector, TcpTransport};
use crate::config::url::Url;
use crate::environment::Environment;

/// More than the head of any answer to `CONNECT`.
const LONGEST_HEAD: usize = 4 * 1024;

/// Which hosts are reached through which proxy.
#[derive(Clone, Debug, Default)]
pub struct ProxyRules {
    proxy: Option<Result<Arc<Proxy>, BadProxy>>,
    /// The elements of `NO_PROXY`.
    exempt: Vec<String>,
}

/// A variable that names no usable proxy. Its value is never shown, because passwords stand there.
#[derive(Clone, Copy, Debug)]
struct BadProxy {
    variable: &'static str,
    complaint: &'static str,
}

/// A proxy.
pub(super) struct Proxy {
    /// Without user and password.
    pub(super) uri: Uri,
    /// Host and port, for messages.
    name: String,
    /// User and password as `Basic` authentication writes them.
    authorization: Option<Zeroizing<String>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.name)
    }
}

impl ProxyRules {
    /// What `HTTPS_PROXY` and `NO_PROXY` say, or, before them, the same names in lower case. `HTTP_PROXY` is for requests
    /// without TLS, of which there are none to AWS, and `ALL_PROXY` is unknown to botocore.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let proxy = environment.either_case("https_proxy", "HTTPS_PROXY").map(|(variable, value)| {
            Proxy::parse(value).map(Arc::new).map_err(|complaint| BadProxy { variable, complaint })
        });
        let exempt = environment.either_case("no_proxy", "NO_PROXY").map_or("", |(_, value)| value);
        let elements = exempt.split([',', ' ', '\t']).filter(|element| !element.is_empty());
        Self { proxy, exempt: elements.map(str::to_owned).collect() }
    }

    /// The proxy on the way to `uri`.
    pub(super) fn towards(&self, uri: &Uri) -> Result<Option<Arc<Proxy>>, TransportError> {
        let (Some(proxy), Some("https"), Some(host)) = (&self.proxy, uri.scheme_str(), uri.host()) else {
            return Ok(None);
        };
        let port = uri.port_u16().unwrap_or(443);
        if self.exempt.iter().any(|element| exempts(element, host, port)) {
            return Ok(None);
        }
        match proxy {
            Ok(proxy) => Ok(Some(Arc::clone(proxy))),
            Err(BadProxy { variable, complaint }) => Err(TransportError::BadProxy { variable, complaint }),
        }
    }
}

impl Proxy {
    fn parse(value: &str) -> Result<Self, &'static str> {
        const MALFORMED: &str = "is not the URL of a proxy";
        let rest = match value.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err("names a proxy that is itself reached over TLS, which is not supported");
            }
            Some(_) => return Err("names a proxy that is not one for HTTP"),
            None => value.strip_prefix("//").unwrap_or(value),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, name) =
            authority.rsplit_once('@').map_or((None, authority), |(user, name)| (Some(user), name));
        let text = format!("http://{name}");
        Url::parse(&text).ok_or(MALFORMED)?;
        let authorization = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let mut plain: Zeroizing<Vec<u8>> = Zeroizing::new(percent_decode_str(user).collect());
            plain.push(b':');
            plain.extend(percent_decode_str(password));
            Zeroizing::new(STANDARD.encode(&plain))
        });
        Ok(Self { uri: text.parse().map_err(|_| MALFORMED)?, name: name.to_owned(), authorization })
    }

    fn failure(&self, problem: ProxyProblem) -> ureq::Error {
        let failure = TransportError::Proxy { proxy: self.name.clone(), problem };
        ureq::Error::Other(Box::new(ProxyFailed(failure)))
    }

    /// The proxy itself cannot be reached.
    pub(super) fn unreachable(&self, cause: ureq::Error) -> ureq::Error {
        self.failure(ProxyProblem::Unreachable(Box::new(transport_error(cause))))
    }

    /// Asks for a tunnel to the host of the request. It is named, not looked up: that is the proxy's business.
    fn open_tunnel(
        &self,
        details: &ConnectionDetails<'_>,
        tcp: TcpTransport,
    ) -> Result<TcpTransport, ureq::Error> {
        let target =
            format!("{}:{}", details.uri.host().unwrap_or_default(), details.uri.port_u16().unwrap_or(443));
        let mut request = Zeroizing::new(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n"
        ));
        if let Some(authorization) = &self.authorization {
            request.extend(["Proxy-Authorization: Basic ", authorization, "\r\n"]);
        }
        request.push_str("\r\n");
        // Counts the time of all reads together: a proxy that sends a byte now and then gains none.
        let mut socket = TransportAdapter::new(tcp, Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        let failed = |cause: io::Error| {
            let cause = transport_error(cause.into());
            let is_late = matches!(cause, TransportError::Timeout(_));
            self.failure(if is_late {
                ProxyProblem::Silent
            } else {
                ProxyProblem::Unreachable(Box::new(cause))
            })
        };
        socket.write_all(request.as_bytes()).map_err(failed)?;
        let mut head = Vec::with_capacity(256);
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > LONGEST_HEAD || socket.read(&mut byte).map_err(failed)? == 0 {
                return Err(self.failure(ProxyProblem::NotHttp));
            }
            head.extend(byte);
        }
        let mut tcp = socket.into_inner();
        match status(&head) {
            // In a tunnel the client speaks first.
            Some(200..=299) if tcp.buffers().input().is_empty() => Ok(tcp),
            None | Some(200..=299) => Err(self.failure(ProxyProblem::NotHttp)),
            Some(status) => Err(self.failure(ProxyProblem::Refused(status))),
        }
    }
}

/// The status of an answer whose head begins `head`.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.0 ").or_else(|| head.strip_prefix(b"HTTP/1.1 "))?;
    let digits = rest.get(..3).filter(|_| matches!(rest.get(3), Some(b' ' | b'\r')))?;
    str::from_utf8(digits).ok()?.parse().ok().filter(|status| (100..=599).contains(status))
}

/// Opens TCP connections to the host of a request, or to the proxy on the way there and through it.
#[derive(Debug)]
pub(super) struct Route(pub(super) Option<Arc<Proxy>>);

impl Connector<()> for Route {
    type Out = TcpTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<TcpTransport>, ureq::Error> {
        let connected = TcpConnector.connect(details, None);
        let Some(proxy) = &self.0 else { return connected };
        let tcp = connected.map_err(|cause| proxy.unreachable(cause))?;
        tcp.map(|tcp| proxy.open_tunnel(details, tcp)).transpose()
    }
}

/// A failure of the proxy, on its way through ureq.
#[derive(Debug)]
pub(super) struct ProxyFailed(pub(super) TransportError);

impl fmt::Display for ProxyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ProxyFailed {}

/// Whether `element` of `NO_PROXY` covers `host`, as a URI writes it, at `port`: `*`, a name with or without a dot in
/// front for itself and everything below it, an address, a network, each with a port where only that is meant.
fn exempts(element: &str, host: &str, port: u16) -> bool {
    if element == "*" {
        return true;
    }
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let address = host.parse::<IpAddr>().ok();
    if let Some((network, bits)) = element.split_once('/') {
        return address.is_some_and(|address| is_in_network(address, network, bits));
    }
    let (name, only) = match element.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        // An IPv6 address without brackets has no port.
        None if element.matches(':').count() > 1 => (element, None),
        None => element.split_once(':').map_or((element, None), |(name, port)| (name, Some(port))),
    };
    if only.is_some_and(|only| only.parse() != Ok(port)) {
        return false;
    }
    if let Some(address) = address {
        return name.parse() == Ok(address);
    }
    let name = name.strip_prefix('*').unwrap_or(name).trim_matches('.');
    let host = host.trim_end_matches('.');
    let before = host.len().checked_sub(name.len()).and_then(|at| host.split_at_checked(at));
    before.is_some_and(|(before, end)| {
        !name.is_empty() && end.eq_ignore_ascii_case(name) && (before.is_empty() || before.ends_with('.'))
    })
}

fn is_in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let number = |address| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32_u32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let ((own, width), (other, other_width)) = (number(address), number(network));
    let Some(rest) = width.checked_sub(bits).filter(|_| width == other_width) else { return false };
    (own ^ other).checked_shr(rest).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(variables: &[(&str, &str)]) -> ProxyRules {
        ProxyRules::of(&variables.iter().copied().collect())
    }

    fn way(variables: &[(&str, &str)], url: &str) -> String {
        match rules(variables).towards(&url.parse().unwrap()) {
            Ok(None) => "direct".to_owned(),
            Ok(Some(proxy)) => {
                let port = proxy.uri.port_u16().unwrap_or(80);
                let credentials = proxy.authorization.as_ref().map_or("", |value| value.as_str());
                format!("{}:{port} {credentials}", proxy.uri.host().unwrap()).trim_end().to_owned()
            }
            Err(error) => error.to_string(),
        }
    }

    const STS: &str = "https://sts.us-east-1.amazonaws.com/";

    #[test]
    fn the_variables_mean_what_they_mean_to_botocore() {
        for (variables, expected) in [
            (vec![], "direct"),
            (vec![("HTTPS_PROXY", "http://p:3128")], "p:3128"),
            (vec![("https_proxy", "http://p:3128")], "p:3128"),
            (vec![("HTTPS_PROXY", "http://upper"), ("https_proxy", "http://lower")], "lower:80"),
            (vec![("HTTPS_PROXY", "http://upper"), ("https_proxy", "")], "direct"),
            (vec![("HTTP_PROXY", "http://p:3128"), ("http_proxy", "http://p:3128")], "direct"),
            (vec![("ALL_PROXY", "http://p:3128"), ("all_proxy", "http://p:3128")], "direct"),
            (vec![("HTTPS_PROXY", "p:3128")], "p:3128"),
            (vec![("HTTPS_PROXY", "//p:3128")], "p:3128"),
            (vec![("HTTPS_PROXY", "HTTP://p/")], "p:80"),
            (vec![("HTTPS_PROXY", "http://[::1]:3128")], "[::1]:3128"),
            (vec![("HTTPS_PROXY", "http://user:secret@p:3128")], "p:3128 dXNlcjpzZWNyZXQ="),
            // %40, %3A, %25 and %2F are decoded once, and a plus sign is one.
            (vec![("HTTPS_PROXY", "http://us%40er:a%3Ab%25c%2Fd+@p")], "p:80 dXNAZXI6YTpiJWMvZCs="),
            (vec![("HTTPS_PROXY", "user@p:1")], "p:1 dXNlcjo="),
            (vec![("HTTPS_PROXY", "http://u:p@w@p:1")], "p:1 dTpwQHc="),
        ] {
            assert_eq!(way(&variables, STS), expected, "{variables:?}");
        }
        assert_eq!(way(&[("HTTPS_PROXY", "http://p:3128")], "http://127.0.0.1:5000/"), "direct");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_value() {
        for (value, complaint) in [
            ("https://user:hidden@p", "is itself reached over TLS"),
            ("socks5://user:hidden@p", "not one for HTTP"),
            ("http://user:hidden@", "not the URL of a proxy"),
            ("http://user:hidden@p:port", "not the URL of a proxy"),
            ("http://user:hidden@a b", "not the URL of a proxy"),
        ] {
            let variables = [("HTTPS_PROXY", value)];
            let said = way(&variables, STS);
            assert!(said.starts_with("`HTTPS_PROXY` ") && said.contains(complaint), "{said}");
            let debug = format!("{:?}", rules(&variables));
            assert!(!said.contains("hidden") && !debug.contains("hidden"), "{said} {debug}");
            assert_eq!(way(&[variables[0], ("NO_PROXY", "*")], STS), "direct");
        }
        let debug = format!("{:?}", rules(&[("HTTPS_PROXY", "http://user:hidden@p")]));
        assert!(!debug.contains("hidden") && !debug.contains("aGlkZGVu"), "{debug}");
    }

    #[test]
    fn what_needs_no_proxy_goes_its_own_way() {
        let is_direct = |list: &str, url: &str| {
            way(&[("HTTPS_PROXY", "http://p:3128"), ("NO_PROXY", list)], url) == "direct"
        };
        for list in [
            "*",
            "amazonaws.com",
            ".amazonaws.com",
            "*.amazonaws.com",
            "AmazonAWS.com.",
            "example.com, sts.us-east-1.amazonaws.com",
            "example.com amazonaws.com",
            "sts.us-east-1.amazonaws.com:443",
            "us-east-1.amazonaws.com:443",
        ] {
            assert!(is_direct(list, STS), "{list}");
        }
        for list in [
            "",
            ",",
            ".",
            "*.",
            "zonaws.com",
            "ts.us-east-1.amazonaws.com",
            "x.sts.us-east-1.amazonaws.com",
            "sts.us-east-1.amazonaws.com:8443",
            "sts.us-east-1.amazonaws.com:",
            "10.0.0.0/8",
            "0.0.0.0/0",
        ] {
            assert!(!is_direct(list, STS), "{list}");
        }
        for (list, url, direct) in [
            ("127.0.0.1", "https://127.0.0.1:8443/", true),
            ("127.0.0.1:8443", "https://127.0.0.1:8443/", true),
            ("127.0.0.1:443", "https://127.0.0.1:8443/", false),
            ("127.0.0.0/8", "https://127.0.0.1:8443/", true),
            ("127.0.0.0/31", "https://127.0.0.2/", false),
            ("0.0.0.0/0", "https://127.0.0.2/", true),
            ("127.0.0.1/33", "https://127.0.0.1/", false),
            ("0.0.1", "https://127.0.0.1/", false),
            ("::1", "https://[::1]:8443/", true),
            ("[::1]:8443", "https://[::1]:8443/", true),
            ("[::1]:443", "https://[::1]:8443/", false),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("fd00::/8", "https://[fe80::1]/", false),
            ("::/0", "https://127.0.0.1/", false),
        ] {
            assert_eq!(is_direct(list, url), direct, "{list} {url}");
        }
    }

    #[test]
    fn only_a_status_line_is_one() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407\r\n\r\n", Some(407)),
            ("HTTP/1.1 200OK\r\n\r\n", None),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/1.1 +20 OK\r\n\r\n", None),
            ("HTTP/2 200 OK\r\n\r\n", None),
            ("SSH-2.0-OpenSSH_9\r\n\r\n", None),
            ("HTTP/1.1 ", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head}");
        }
    }
}
