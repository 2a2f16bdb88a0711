//! Why no reply arrived.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use time::OffsetDateTime;

use super::verify::is_over_dates;
use crate::config::problem::Problem;
use crate::timestamp::Rfc3339Seconds;

/// How far an exchange had come when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the host name.
    Resolve,
    /// Connecting, TLS included.
    Connect,
    /// Connected; the reply did not come, or not all of it.
    Reply,
}

/// Why no reply arrived.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The time ran out.
    Timeout(Phase),
    /// The name has no address.
    UnknownHost(Option<io::Error>),
    /// The host has an address that this channel does not send to. Nothing was sent.
    Forbidden,
    /// The peer answered the connection attempt with a refusal.
    Refused,
    /// The TLS handshake failed.
    Tls(rustls::Error),
    /// By this host's clock the peer's certificate has expired or is not yet valid, and no service has told a better
    /// time: the clock is wrong, unless the certificate is.
    WrongClock {
        /// The time by this host's clock.
        local: OffsetDateTime,
        /// What TLS said.
        cause: Box<rustls::Error>,
    },
    /// The connection failed, or was cut.
    Io(io::Error),
    /// The reply is longer than the bound, in bytes, that stands beside it.
    TooLarge(u64),
    /// The reply is not HTTP.
    Protocol(String),
    /// The URL cannot be used.
    BadUrl(String),
    /// The proxy does not lead on.
    Proxy {
        /// Its host and port.
        proxy: String,
        /// Why.
        problem: ProxyProblem,
    },
    /// The environment names no usable proxy. The value is left out, because passwords stand there.
    BadProxy {
        /// The variable.
        variable: &'static str,
        /// The end of the sentence "`variable` ...".
        complaint: &'static str,
    },
    /// The file of CA certificates cannot be used.
    CaBundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: CaBundleProblem,
    },
}

/// Why a proxy does not lead on.
#[derive(Debug)]
pub enum ProxyProblem {
    /// It cannot be reached, or hung up.
    Unreachable(Box<TransportError>),
    /// It did not answer in time.
    Silent,
    /// It answered with this status.
    Refused(u16),
    /// What it answered is not HTTP.
    NotHttp,
}

/// What is wrong with a file of CA certificates.
#[derive(Debug)]
pub enum CaBundleProblem {
    /// It cannot be read.
    Unreadable(Box<Problem>),
    /// It holds no certificate in PEM form.
    Empty,
}

impl TransportError {
    /// Whether the server's certificate was refused for its dates, although the time is known.
    #[must_use]
    pub fn is_over_dates(&self) -> bool {
        matches!(self, Self::Tls(cause) if is_over_dates(cause))
    }

    /// What to do about it, where it is the proxy on the way to `endpoint`.
    #[must_use]
    pub fn proxy_advice(&self, endpoint: &str) -> Option<String> {
        let problem = match self {
            Self::BadProxy { .. } => {
                return Some(
                    "write `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`, in user and password `%XX` for every sign"
                        .to_owned(),
                );
            }
            Self::Proxy { problem, .. } => problem,
            Self::Timeout(_)
            | Self::UnknownHost(_)
            | Self::Forbidden
            | Self::Refused
            | Self::Tls(_)
            | Self::WrongClock { .. }
            | Self::Io(_)
            | Self::TooLarge(_)
            | Self::Protocol(_)
            | Self::BadUrl(_)
            | Self::CaBundle { .. } => return None,
        };
        Some(match problem {
            ProxyProblem::Refused(407) => {
                "write `http://USER:PASSWORD@HOST:PORT` into HTTPS_PROXY, in user and password `%XX` for every sign"
                    .to_owned()
            }
            ProxyProblem::Refused(_) => format!("the proxy has to allow CONNECT to `{endpoint}`"),
            ProxyProblem::Unreachable(_) | ProxyProblem::Silent | ProxyProblem::NotHttp => {
                "check HTTPS_PROXY, and write hosts that need no proxy into NO_PROXY".to_owned()
            }
        })
    }

    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::UnknownHost(_) | Self::Refused | Self::Io(_) | Self::Protocol(_) => true,
            Self::Proxy { problem, .. } => match problem {
                ProxyProblem::Unreachable(cause) => cause.is_transient(),
                ProxyProblem::Refused(status) => *status >= 500 || *status == 429,
                ProxyProblem::Silent | ProxyProblem::NotHttp => true,
            },
            Self::BadProxy { .. }
            | Self::Tls(_)
            | Self::WrongClock { .. }
            | Self::TooLarge(_)
            | Self::BadUrl(_)
            | Self::Forbidden
            | Self::CaBundle { .. } => false,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(Phase::Resolve) => f.write_str("the name lookup took too long"),
            Self::Timeout(Phase::Connect) => f.write_str("no connection within the time allowed"),
            Self::Timeout(Phase::Reply) => {
                f.write_str("connected, but no complete reply within the time allowed")
            }
            Self::UnknownHost(_) => f.write_str("the host name has no address"),
            Self::Refused => f.write_str("the connection was refused"),
            Self::Forbidden => f.write_str(
                "the name leads to an address that credentials are not fetched from in plain HTTP",
            ),
            Self::Tls(_) if self.is_over_dates() => {
                f.write_str("the server's certificate is not valid at this host's time, nor at AWS's")
            }
            Self::Tls(_) => f.write_str("the TLS handshake failed"),
            Self::WrongClock { local, .. } => write!(
                f,
                "the server's certificate is not valid at this host's time, `{}`: the clock of this host is wrong, \
                 unless the certificate is",
                Rfc3339Seconds(*local)
            ),
            Self::Io(_) => f.write_str("the connection failed"),
            Self::TooLarge(bound) => write!(f, "the reply is longer than {bound} bytes"),
            Self::Protocol(reason) => write!(f, "the reply is not valid HTTP: {reason}"),
            Self::BadUrl(url) => write!(f, "`{url}` is not a usable URL"),
            Self::Proxy { proxy, problem } => {
                write!(f, "the proxy `{proxy}` ")?;
                match problem {
                    ProxyProblem::Unreachable(_) => f.write_str("cannot be reached"),
                    ProxyProblem::Silent => f.write_str("does not answer"),
                    ProxyProblem::Refused(407) => f.write_str("wants another user or password (status 407)"),
                    ProxyProblem::Refused(status) => write!(f, "refuses to lead there (status {status})"),
                    ProxyProblem::NotHttp => f.write_str("answers with what is not HTTP"),
                }
            }
            Self::BadProxy { variable, complaint } => write!(f, "`{variable}` {complaint}"),
            Self::CaBundle { path, problem: CaBundleProblem::Unreadable(problem) } => {
                write!(f, "the CA bundle `{}`: {problem}", path.display())
            }
            Self::CaBundle { path, problem: CaBundleProblem::Empty } => {
                write!(f, "the CA bundle `{}` holds no PEM certificate", path.display())
            }
        }
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::UnknownHost(Some(cause)) | Self::Io(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
            Self::WrongClock { cause, .. } => Some(cause),
            Self::Proxy { problem: ProxyProblem::Unreachable(cause), .. } => Some(cause),
            Self::CaBundle { problem: CaBundleProblem::Unreadable(problem), .. } => problem.cause(),
            Self::Proxy { .. }
            | Self::BadProxy { .. }
            | Self::Timeout(_)
            | Self::UnknownHost(None)
            | Self::Refused
            | Self::Forbidden
            | Self::TooLarge(_)
            | Self::Protocol(_)
            | Self::BadUrl(_)
            | Self::CaBundle { problem: CaBundleProblem::Empty, .. } => None,
        }
    }
}
