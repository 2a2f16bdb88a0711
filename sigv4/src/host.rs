//! From an authority to the `host` that is signed. Knows the two default ports and the brackets of IPv6.

use crate::Error;
use crate::text::{Ascii, Sink, put_lower_case};

/// The transport's scheme, which decides the port that is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Port 80.
    Http,
    /// Port 443.
    Https,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }
}

/// A host, in brackets if it is an IPv6 address, and its port unless that is the scheme's own.
#[derive(Clone, Copy)]
pub(crate) struct Host<'a> {
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    pub(crate) fn parse(scheme: Scheme, authority: &'a str) -> Result<Self, Error> {
        let authority = without_user_information(authority);
        if authority.is_empty() {
            return Err(Error::HostMissing);
        }
        let invalid = || Error::Authority { authority: authority.to_owned() };
        let (name, port) = split_port(authority).ok_or_else(invalid)?;
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<u16>().map_err(|_| invalid())?)
            }
            _ => return Err(invalid()),
        };
        Ok(Self { name, port: port.filter(|port| *port != scheme.default_port()) })
    }

    pub(crate) fn put(&self, sink: &mut impl Sink) {
        put_lower_case(sink, self.name);
        if let Some(port) = self.port {
            sink.put(":");
            sink.put(decimal(port).as_str());
        }
    }
}

/// The host and port of `authority`. User information belongs in no `Host` header, and may be a password.
pub(crate) fn without_user_information(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// `host` and the digits of its port, which are empty when there is none.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    if authority.starts_with('[') {
        let end = authority.find(']')?.checked_add(1)?;
        let (name, rest) = authority.split_at_checked(end)?;
        let address =
            name.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'[' | b']' | b':' | b'.'));
        let port = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
        return (address && name.len() > 2).then_some((name, port));
    }
    let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    (!name.is_empty() && name.bytes().all(valid)).then_some((name, port))
}

fn decimal(number: u16) -> Ascii<5> {
    let mut text = Ascii::new();
    let mut place = 10_000_u16;
    while let Some(digit) = number.checked_div(place) {
        if digit > 0 || place == 1 {
            text.push(u8::try_from(digit % 10).unwrap_or_default().saturating_add(b'0'));
        }
        place /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Host, Scheme};
    use crate::Error;

    fn host(scheme: Scheme, authority: &str) -> Result<String, Error> {
        let mut text = String::new();
        Host::parse(scheme, authority)?.put(&mut text);
        Ok(text)
    }

    #[test]
    fn leaves_out_the_default_port_only() {
        for (scheme, authority, expected) in [
            (Scheme::Https, "STS.Example.com", "sts.example.com"),
            (Scheme::Https, "h:443", "h"),
            (Scheme::Https, "h:0443", "h"),
            (Scheme::Http, "h:443", "h:443"),
            (Scheme::Http, "h:80", "h"),
            (Scheme::Https, "h:80", "h:80"),
            (Scheme::Https, "h:", "h"),
            (Scheme::Http, "127.0.0.1:5000", "127.0.0.1:5000"),
            (Scheme::Https, "h:65535", "h:65535"),
            (Scheme::Https, "h:10203", "h:10203"),
            (Scheme::Https, "h:0", "h:0"),
            (Scheme::Https, "[FD00:EC2::254]", "[fd00:ec2::254]"),
            (Scheme::Https, "[::1]:443", "[::1]"),
            (Scheme::Http, "[::1]:8080", "[::1]:8080"),
            (Scheme::Https, "user:pass@h:8443", "h:8443"),
        ] {
            assert_eq!(host(scheme, authority).as_deref(), Ok(expected), "{authority}");
        }
    }

    #[test]
    fn refuses_what_is_no_authority() {
        for authority in [
            "h:x", "h:65536", "::1", "h:1:2", "[::1", "[]", "[::1]x", "[g]", "h h", "h\n", "ü", "a/b", ":80",
            "h:+1",
        ] {
            let expected = Error::Authority { authority: authority.to_owned() };
            assert_eq!(host(Scheme::Https, authority), Err(expected), "{authority:?}");
        }
        assert_eq!(host(Scheme::Https, ""), Err(Error::HostMissing));
        assert_eq!(host(Scheme::Https, "user@"), Err(Error::HostMissing));
    }
}
