//! Listens, accepts, and gives each connection a thread; ends all of them when told. Knows HTTP framing and TLS,
//! and nothing of what is asked: that is `state`, and of how an answer is sent: that is `perform`.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::error::StartError;
use crate::http::{ReadError, Reply, read_request};
use crate::perform::{Next, perform};
use crate::record::Service;
use crate::state::{Origin, Shared};

/// Enough for a handshake and an answer; the default would reserve two megabytes per connection.
const STACK: usize = 512 * 1024;

/// A listening service.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    open: Arc<Open>,
}

/// The connections that are open, so that a stop can end them.
type Open = Mutex<HashMap<u64, TcpStream>>;

impl Server {
    /// Binds `address` and starts to accept.
    pub(crate) fn start(
        service: Service,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        shared: Arc<Shared>,
    ) -> Result<Self, StartError> {
        let name = service.name();
        let bind = |cause| StartError::Bind { service: name, cause };
        let listener = TcpListener::bind(address).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let open = Arc::new(Open::default());
        let acceptor =
            Acceptor { service, listener, tls, shared: Arc::clone(&shared), open: Arc::clone(&open) };
        let acceptor = spawn(name, move || acceptor.run()).map_err(StartError::Thread)?;
        Ok(Self { address, acceptor: Some(acceptor), shared, open })
    }

    /// Stops: when this returns, no thread of the server lives and its port is free.
    pub(crate) fn stop(&mut self) {
        self.shared.stop.raise();
        let Some(acceptor) = self.acceptor.take() else { return };
        // Accepting blocks; a connection of our own ends it. Should that fail, one came from elsewhere.
        drop(TcpStream::connect(self.address));
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        drop(acceptor.join());
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work)
}

struct Acceptor {
    service: Service,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    open: Arc<Open>,
}

impl Acceptor {
    fn run(self) {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for stream in self.listener.incoming() {
            if self.shared.stop.is_raised() {
                break;
            }
            threads.retain(|thread| !thread.is_finished());
            let Ok(stream) = stream else { continue };
            if let Ok(thread) = self.serve(stream) {
                threads.push(thread);
            }
        }
        drop(self.listener);
        // A connection accepted just before the stop was not yet open when the stop closed the open ones.
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        for thread in threads {
            drop(thread.join());
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<JoinHandle<()>> {
        stream.set_nodelay(true)?;
        let origin = Origin {
            service: self.service,
            connection: self.shared.count_connection(self.service),
            peer: stream.peer_addr()?,
            server_name: None,
        };
        let raw = stream.try_clone()?;
        let connection = origin.connection;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, stream.try_clone()?);
        let (tls, shared, open) = (self.tls.clone(), Arc::clone(&self.shared), Arc::clone(&self.open));
        spawn(self.service.name(), move || {
            converse(stream, &raw, tls, &shared, origin);
            open.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
            drop(raw.shutdown(Shutdown::Both));
        })
    }
}

/// The handshake, where there is one, and then request after request.
fn converse(
    stream: TcpStream,
    raw: &TcpStream,
    tls: Option<Arc<ServerConfig>>,
    shared: &Shared,
    mut origin: Origin,
) {
    let Some(tls) = tls else {
        return requests(&mut { stream }, raw, shared, &origin);
    };
    let Some(stream) = handshake(stream, tls) else {
        return shared.count_handshake(origin.service, false);
    };
    shared.count_handshake(origin.service, true);
    origin.server_name = stream.conn.server_name().map(str::to_owned);
    let mut stream = stream;
    requests(&mut stream, raw, shared, &origin);
    stream.conn.send_close_notify();
    drop(stream.flush());
}

fn handshake(
    mut stream: TcpStream,
    tls: Arc<ServerConfig>,
) -> Option<StreamOwned<ServerConnection, TcpStream>> {
    let mut connection = ServerConnection::new(tls).ok()?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).ok()?;
    }
    Some(StreamOwned::new(connection, stream))
}

fn requests(stream: &mut (impl Read + Write), raw: &TcpStream, shared: &Shared, origin: &Origin) {
    let mut rest = Vec::new();
    loop {
        let request = match read_request(stream, &mut rest) {
            Ok(request) => request,
            Err(ReadError::Gone) => return,
            Err(ReadError::Refused(status)) => {
                drop(stream.write_all(&Reply::new(status).render(false)));
                return;
            }
        };
        match perform(stream, raw, shared, origin, &request) {
            Ok(Next::KeepAlive) => {}
            Ok(Next::Close) | Err(_) => return,
        }
    }
}
