//! TCP for ureq, with few system calls: ureq's own transport sets both socket timeouts anew for every read and
//! write, and looks twice with three calls each whether a connection is still open.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

/// Socket timeouts are rounded up to this, so that they need not be set for each read and write. So much later than
/// asked for may a timeout come.
const GRAIN: Duration = Duration::from_millis(100);
/// Where no timeout is set; the callers always set one.
const LONGEST: Duration = Duration::from_secs(60);

/// Opens TCP connections.
#[derive(Debug)]
pub(super) struct TcpConnector;

impl Connector<()> for TcpConnector {
    type Out = TcpTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<TcpTransport>, ureq::Error> {
        let stream = Arc::new(connect(&details.addrs, details.timeout)?);
        if details.needs_tls() {
            // A handshake is many small messages; an exchange in plain HTTP is one each way.
            stream.set_nodelay(true)?;
        }
        let handle: Weak<dyn ShutdownHandle> =
            Arc::downgrade(&(Arc::clone(&stream) as Arc<dyn ShutdownHandle>));
        (details.register_shutdown)(handle)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(TcpTransport {
            stream,
            buffers,
            read_timeout: None,
            write_timeout: None,
            hung_up: None,
            has_just_answered: false,
        }))
    }
}

/// Tries one address after the other; each may take half of the time that is left, the last one all of it.
fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, ureq::Error> {
    let mut left = (*timeout.after).min(LONGEST);
    let mut failure = ureq::Error::HostNotFound;
    for (index, address) in addresses.iter().enumerate() {
        let last = index.saturating_add(1) == addresses.len();
        let share = if last { left } else { left.checked_div(2).unwrap_or_default() };
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(cause) if cause.kind() == io::ErrorKind::TimedOut => {
                left = left.saturating_sub(share);
                failure = ureq::Error::Timeout(timeout.reason);
            }
            Err(cause) => failure = ureq::Error::Io(cause),
        }
    }
    Err(failure)
}

/// A TCP connection.
pub(super) struct TcpTransport {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Why nothing can be sent any more. What the peer said before it hung up, an early answer, can still be read.
    hung_up: Option<io::Error>,
    /// Whether an answer was read since somebody asked whether the connection is open.
    has_just_answered: bool,
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TcpTransport")
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.hung_up.is_some() {
            return Ok(());
        }
        let wanted = rounded(timeout)?;
        if self.write_timeout != Some(wanted) {
            self.stream.set_write_timeout(Some(wanted))?;
            self.write_timeout = Some(wanted);
        }
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        match (&*self.stream).write_all(output) {
            Err(cause) if is_hang_up(&cause) => self.hung_up = Some(cause),
            other => other.map_err(|cause| failure(cause, timeout))?,
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let wanted = rounded(timeout)?;
        if self.read_timeout != Some(wanted) {
            self.stream.set_read_timeout(Some(wanted))?;
            self.read_timeout = Some(wanted);
        }
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match (&*self.stream).read(input) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|cause| failure(cause, timeout))?,
            }
        };
        if let (0, Some(cause)) = (amount, self.hung_up.take()) {
            return Err(failure(cause, timeout));
        }
        self.buffers.input_appended(amount);
        self.has_just_answered = amount > 0;
        Ok(amount > 0)
    }

    /// Open, and with nothing to read: bytes that nobody asked for belong to no answer.
    ///
    /// ureq asks twice: when it keeps a connection that has just answered, and before the next use. Only the second
    /// answer matters.
    fn is_open(&mut self) -> bool {
        if std::mem::take(&mut self.has_just_answered) {
            return true;
        }
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.stream.as_raw_fd(), &mut [0], flags) == Err(Errno::EAGAIN)
    }
}

fn is_hang_up(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn rounded(timeout: NextTimeout) -> Result<Duration, ureq::Error> {
    let left = (*timeout.after).min(LONGEST);
    if left.is_zero() {
        return Err(ureq::Error::Timeout(timeout.reason));
    }
    // Not in milliseconds: less than one would round to none, which sockets refuse.
    let grains = left.as_nanos().div_ceil(GRAIN.as_nanos());
    Ok(GRAIN.saturating_mul(u32::try_from(grains).unwrap_or(u32::MAX)))
}

fn failure(cause: io::Error, timeout: NextTimeout) -> ureq::Error {
    if matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        ureq::Error::Timeout(timeout.reason)
    } else {
        ureq::Error::Io(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_rounded_up_and_never_to_nothing() {
        let left = |after: Duration| NextTimeout {
            after: after.into(),
            reason: ureq::Timeout::Global,
            per_read: None,
            per_write: None,
        };
        assert_eq!(rounded(left(Duration::from_nanos(1))).unwrap(), GRAIN);
        assert_eq!(rounded(left(GRAIN)).unwrap(), GRAIN);
        assert_eq!(rounded(left(GRAIN + Duration::from_nanos(1))).unwrap(), GRAIN * 2);
        assert!(matches!(rounded(left(Duration::ZERO)), Err(ureq::Error::Timeout(_))));
    }
}
