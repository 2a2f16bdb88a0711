//! A proxy on loopback that opens tunnels with `CONNECT`, or does not, as a test wants. It resolves no name: it knows
//! where each host is.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the proxy does once it has read the head of a request.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Opens the tunnel.
    Lead,
    /// Opens the tunnel for this value of `Proxy-Authorization`, and answers 407 for any other.
    LeadFor(&'static str),
    /// Answers with these bytes and hangs up.
    Say(&'static [u8]),
    /// Answers with these bytes, one every tenth of a second, without end.
    Drip(&'static [u8]),
    /// Answers with a head that never ends, as fast as it can.
    Flood,
}

/// A running proxy. Its threads end with the process of the test.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that knows these hosts, written as `host:port`.
    pub(crate) fn start(manner: Manner, hosts: &[(&str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let hosts: HashMap<String, SocketAddr> =
            hosts.iter().map(|(host, address)| ((*host).to_owned(), *address)).collect();
        let log = Arc::clone(&heads);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (manner, hosts, log) = (manner.clone(), hosts.clone(), Arc::clone(&log));
                thread::spawn(move || drop(serve(client.unwrap(), &manner, &hosts, &log)));
            }
        });
        Self { address, heads }
    }

    /// Its URL, with `user` (and an `@`) before the host.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("http://{user}{}", self.address)
    }

    /// The request lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.heads.lock().unwrap().iter().map(|head| head.lines().next().unwrap().to_owned()).collect()
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(
    mut client: TcpStream,
    manner: &Manner,
    hosts: &HashMap<String, SocketAddr>,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    log.lock().unwrap().push(head.clone());
    let host = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    match manner {
        Manner::Say(bytes) => client.write_all(bytes),
        Manner::Drip(bytes) => drip(&mut client, bytes),
        Manner::Flood => {
            client.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                client.write_all(b"X-Filler: x\r\n")?;
            }
        }
        Manner::LeadFor(authorization)
            if !head.contains(&format!("\r\nProxy-Authorization: {authorization}\r\n")) =>
        {
            client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        }
        Manner::Lead | Manner::LeadFor(_) => match hosts.get(host) {
            Some(address) => {
                let server = TcpStream::connect(address)?;
                client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")?;
                let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
                thread::spawn(move || pass(from_server, to_client));
                pass(client, server);
                Ok(())
            }
            None => client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnever"),
        },
    }
}

#[expect(clippy::disallowed_methods, reason = "the slowness of the peer is what is tested")]
fn drip(client: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.iter().cycle() {
        client.write_all(&[*byte])?;
        thread::sleep(std::time::Duration::from_millis(100));
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // Whichever side ends it, the other learns of it.
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Both));
}
