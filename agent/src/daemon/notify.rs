//! The service manager's notification protocol, `sd_notify(3)`: one datagram for each message to the socket that
//! `NOTIFY_SOCKET` names. Without a service manager every message goes nowhere, and one that does not read what it is
//! sent keeps nobody from working.

use std::cell::Cell;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::debug;

use crate::environment::Environment;

/// How long a message waits for a service manager that is behind with its reading.
const PATIENCE: Duration = Duration::from_millis(100);

/// The way to the service manager.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    /// It had no room for READY, without which it would wait for ever, at the start or for the end of a reload.
    owes_ready: Cell<bool>,
}

impl Notifier {
    pub(super) fn new(environment: &Environment) -> Self {
        let address = environment.os("NOTIFY_SOCKET").and_then(|path| match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            _ => SocketAddr::from_pathname(path).ok(),
        });
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_write_timeout(Some(PATIENCE)).ok()?;
            Some((socket, address))
        });
        let own = environment.text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let period = environment.text("WATCHDOG_USEC").filter(|_| own).and_then(|text| text.parse().ok());
        let watchdog = period.map(Duration::from_micros).filter(|period| !period.is_zero());
        Self { socket, watchdog, owes_ready: Cell::new(false) }
    }

    /// How often the watchdog wants to hear from us; twice as often as it would act.
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.and_then(|period| period.checked_div(2))
    }

    /// The daemon works, and this is how: READY counts once, the line is for `systemctl status`.
    pub(super) fn ready(&self, status: &str) {
        let is_heard = self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
        self.owes_ready.set(!is_heard);
    }

    pub(super) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// Not ready yet, and at work: the start may take `more` from now.
    pub(super) fn extend_start(&self, more: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", more.as_micros()));
    }

    /// Reading the configuration again, since the monotonic time `now`: a manager that sent the signal, as for
    /// `Type=notify-reload`, waits for an answer that is younger than it.
    pub(super) fn reloading(&self, now: Duration) {
        let microseconds = now.as_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reading the configuration"));
    }

    pub(super) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    pub(super) fn alive(&self) {
        if self.owes_ready.get() {
            self.owes_ready.set(!self.send("READY=1"));
        }
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    /// Whether it is of no use to send it again.
    fn send(&self, message: &str) -> bool {
        let Some((socket, address)) = &self.socket else { return true };
        let sent = socket.send_to_addr(message.as_bytes(), address);
        sent.inspect_err(|cause| debug!("the service manager does not listen: {cause}"))
            .map_or_else(|cause| cause.kind() != ErrorKind::WouldBlock, |_| true)
    }
}

/// A line break would begin another variable of the protocol.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
