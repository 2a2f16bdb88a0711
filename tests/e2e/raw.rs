//! Peers that are no TLS server, or a very slow one: what happens below HTTP is bounded and told apart too.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::observe::{at_once, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// How a peer answers the first bytes that it gets.
type Answer = fn(&mut TcpStream);

/// A listener on loopback that gives each of `count` connections this answer.
fn peer(count: usize, answer: Answer) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming().take(count) {
            let mut stream = stream.unwrap();
            let greeting = stream.read(&mut [0; 4096]).unwrap();
            assert!(greeting > 0);
            answer(&mut stream);
        }
    });
    (url, thread)
}

/// A page in plain HTTP, which is what a wrong port or an old proxy answers.
fn plain(stream: &mut TcpStream) {
    drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
}

/// A record that is announced and then comes byte by byte, so that every single read succeeds.
#[expect(clippy::disallowed_methods, reason = "the slowness of the peer is what is tested")]
fn drip(stream: &mut TcpStream) {
    drop(stream.write_all(&[0x16, 0x03, 0x03, 0x40, 0x00]));
    while stream.write_all(&[2]).is_ok() {
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Nothing, until the client goes.
fn silence(stream: &mut TcpStream) {
    while stream.read(&mut [0; 64]).is_ok_and(|amount| amount > 0) {}
}

/// The end of the connection.
fn hang_up(_: &mut TcpStream) {}

#[test]
fn a_peer_that_does_not_speak_tls_is_told_from_one_that_is_slow() {
    let cases: [(Answer, usize, &str, u64); 4] = [
        (plain, 1, "the TLS handshake failed", 2),
        (hang_up, 3, "the connection failed", 4),
        (drip, 3, "within the time allowed", 20),
        (silence, 3, "within the time allowed", 20),
    ];
    at_once(cases, |(answer, connections, phrase, seconds)| {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        let (url, peer) = peer(connections, answer);
        let variables = [("AWS_ENDPOINT_URL_STS", OsStr::new(&url))];
        let (run, time) = timed(|| world.run_with(&variables, &["refresh"]));
        run.assert_failure(75, &[&format!("no answer from STS at `{url}`"), phrase]);
        assert!(time < Duration::from_secs(seconds), "{phrase}: {time:?}");
        assert!(world.is_unpublished("instancecrossaccount"));
        // Every connection was made, and none is left behind.
        peer.join().unwrap();
    });
}
