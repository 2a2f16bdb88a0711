//! The credentials endpoint, asked over bare sockets: what it answers, to whom, and how it lives in the daemon.

mod answers;
mod life;
mod requests;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{Daemon, NAME, SOON, has_published, wait_until};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// An address that nobody listens on, below the ports that connections are given by themselves.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let start = u16::try_from(std::process::id() % 19_000).unwrap();
        let port = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)).wrapping_add(12_000);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// `[rolekeeper]` with an endpoint at `address`.
fn serving(address: SocketAddr) -> String {
    format!("[rolekeeper]\nserve = {address}\n")
}

/// A daemon that serves the cross-account profile, which is published.
fn endpoint() -> (World, Daemon, SocketAddr) {
    let address = free_address();
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(address)));
    let daemon = Daemon::publishing(&world);
    (world, daemon, address)
}

/// The token of `profile`.
#[track_caller]
fn token(world: &World, profile: &str) -> String {
    fs::read_to_string(world.out().join("profiles").join(profile).join("token")).unwrap()
}

fn has_token(world: &World, profile: &str) -> bool {
    world.out().join("profiles").join(profile).join("token").exists()
}

/// Whether `profile` has another token than `old`; while an endpoint moves it has none.
fn has_other_token(world: &World, profile: &str, old: &str) -> bool {
    let token = fs::read_to_string(world.out().join("profiles").join(profile).join("token"));
    token.is_ok_and(|token| token != old)
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|cause| panic!("{cause}: {self:?}"))
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// All that `stream` has to say, up to its end.
fn read_to_end(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Sends `request` as it is.
#[track_caller]
fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_ref()).unwrap();
    parse(&read_to_end(&stream))
}

#[track_caller]
fn parse(answer: &str) -> Reply {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: `{answer}`"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    let length = format!("\r\nContent-Length: {}", body.len());
    assert!(head.contains(&length), "one answer, whole: {answer}");
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

/// The request of an SDK.
fn request(address: SocketAddr, profile: &str, token: &str) -> String {
    format!(
        "GET /profiles/{profile} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: identity\r\n\
         Accept: application/json\r\nUser-Agent: Botocore/1.43\r\nAuthorization: {token}\r\n\r\n"
    )
}

#[track_caller]
fn get(address: SocketAddr, profile: &str, token: &str) -> Reply {
    send(address, request(address, profile, token))
}

/// The reply to a request for `profile` with the token that lies there.
#[track_caller]
fn ask(world: &World, address: SocketAddr, profile: &str) -> Reply {
    get(address, profile, &token(world, profile))
}

/// Whether anybody listens at `address`.
fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}
