//! The little of URLs that endpoints need: scheme, host, port, path, whether the host is this one, and what of it may be
//! shown. No network, no name resolution.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An `http` or `https` URL without user, query or fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) is_https: bool,
    /// Without brackets.
    pub(crate) host: &'a str,
    /// Empty, or begins with a slash.
    pub(crate) path: &'a str,
}

impl<'a> Url<'a> {
    /// Reads `text`; `None` where it is no such URL.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic())
            || rest.contains(['?', '#', '@', '\\', '"', '<', '>'])
        {
            return None;
        }
        let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
            let (host, after) = inner.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (host, port)
        } else {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            };
            if host.len() > 253 || !host.strip_suffix('.').unwrap_or(host).split('.').all(is_label) {
                return None;
            }
            (host, port)
        };
        if port.is_some_and(|port| {
            !port.bytes().all(|byte| byte.is_ascii_digit())
                || port.parse::<u16>().map_or(true, |port| port == 0)
        }) {
            return None;
        }
        Some(Self { is_https, host, path })
    }

    /// Whether the host is a loopback or link-local address, or the address of IMDS in IPv6, which is of neither kind
    /// but is answered by the hypervisor. Names say nothing, but for those that RFC 6761 gives to loopback and that
    /// are asked of nobody.
    pub(crate) fn is_on_own_link(&self) -> bool {
        const IMDS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
        match self.host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
            Ok(IpAddr::V6(address)) => {
                address.is_loopback() || address.is_unicast_link_local() || address == IMDS
            }
            Err(_) => is_localhost(self.host),
        }
    }

    /// Whether the host can only be this one: `localhost` and names below it, 127.0.0.0/8 or `::1`.
    pub(crate) fn is_loopback(&self) -> bool {
        is_localhost(self.host)
            || self.host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || self.host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Whether RFC 6761, section 6.3, gives the name `host` to loopback: those names are asked of nobody.
pub(crate) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.').next().is_some_and(|label| label.eq_ignore_ascii_case("localhost"))
}

/// `text` as it may be shown: of a URL neither user and password nor the query, in which tokens stand.
pub(crate) fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("...@", rest));
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?..."));
    [scheme, "://", user, rest, query].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_ports_and_paths() {
        for (text, host, path, loopback) in [
            ("https://sts.example.com", "sts.example.com", "", false),
            ("HTTP://127.0.0.1:5000/", "127.0.0.1", "/", true),
            ("http://[::1]:80/x", "::1", "/x", true),
            ("http://[fd00:ec2::254]", "fd00:ec2::254", "", false),
            ("http://LocalHost:1338", "LocalHost", "", true),
            ("http://sts.localhost.:1338", "sts.localhost.", "", true),
            ("http://localhost.example", "localhost.example", "", false),
            ("http://notlocalhost", "notlocalhost", "", false),
            ("http://127.1.example.com", "127.1.example.com", "", false),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.host, url.path, url.is_loopback()), (host, path, loopback), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_endpoint() {
        for text in [
            "",
            "sts.example.com",
            "ftp://h",
            "https://",
            "https://user@h",
            "https://h?x",
            "https://h#x",
            "http://h:0",
            "http://h:",
            "http://h:65536",
            "http://h:+1",
            "http://::1/",
            "http://[::1",
            "http://[::1]x",
            "http://a b",
            "http://a..b",
            "http://h/\u{e9}",
        ] {
            assert!(Url::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_may_be_shown_of_a_url() {
        for (text, shown) in [
            ("https://host:1/path", "https://host:1/path"),
            ("https://user:hidden@host/path", "https://...@host/path"),
            ("https://user:hid@den?@host", "https://...@host"),
            ("https://host/path?token=hidden", "https://host/path?..."),
            ("https://host/?hidden@host", "https://...@host"),
            ("run --at https://user:hidden@host", "run --at https://...@host"),
            ("a@b?c", "a@b?c"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn only_this_host_and_its_own_link_are_near() {
        for near in [
            "http://169.254.169.254",
            "http://169.254.0.1:8080/imds",
            "http://[fd00:ec2::254]",
            "http://[fe80::1]:80",
            "http://127.0.0.1:1338",
            "http://127.9.9.9",
            "http://[::1]:1338",
            "http://[::ffff:127.0.0.1]",
            "http://localhost:1338",
            "http://imds.localhost",
            "http://LOCALHOST.",
        ] {
            assert!(Url::parse(near).unwrap().is_on_own_link(), "{near}");
        }
        for far in [
            "http://0.0.0.0:1338",
            "http://[::]:1338",
            "http://10.0.0.1",
            "http://169.253.169.254",
            "http://[fd00:ec2::253]",
            "http://[fec0::1]",
            "http://[::ffff:10.0.0.1]",
            "http://imds.example",
            "http://169.254.169.254.example",
            "http://localhost.example",
        ] {
            assert!(!Url::parse(far).unwrap().is_on_own_link(), "{far}");
        }
    }
}
