//! HTTP as clients may speak it: connections that are kept, bodies in chunks, heads in pieces, and nonsense.

use std::io::{Read, Write};
use std::net::TcpStream;

use fake_aws::{Action, FakeAws, Fault, Service};

use crate::client::start;

const PUT: &str = "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n";

fn connect(fake: &FakeAws) -> TcpStream {
    TcpStream::connect(fake.imds_url().replace("http://", "")).unwrap()
}

/// Reads one answer, whose body has a length.
fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
        if text.ends_with("\r\n\r\n") {
            break;
        }
    }
    let (_, rest) = text.split_once("Content-Length: ").unwrap();
    let mut body = vec![0; rest.lines().next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[test]
fn a_connection_serves_request_after_request() {
    let fake = start();
    let mut stream = connect(&fake);
    for _ in 0..3 {
        stream.write_all(format!("{PUT}\r\n").as_bytes()).unwrap();
        assert_eq!(read(&mut stream), "HTTP/1.1 200 OK");
    }
    stream.write_all(format!("{PUT}\r\n{PUT}\r\n").as_bytes()).unwrap();
    assert_eq!((read(&mut stream), read(&mut stream)), ("HTTP/1.1 200 OK".into(), "HTTP/1.1 200 OK".into()));
    assert_eq!(fake.counts().connections(Service::Imds), 1);
    assert!(fake.requests().iter().all(|request| request.connection == 1));
}

#[test]
fn chunks_and_pieces_are_put_together() {
    let fake = start();
    let mut stream = connect(&fake);
    for byte in
        format!("{PUT}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n").bytes()
    {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(read(&mut stream), "HTTP/1.1 200 OK");
    assert_eq!(fake.requests()[0].body, b"abcde");
    stream.write_all(format!("{PUT}\r\n").as_bytes()).unwrap();
    assert_eq!(read(&mut stream), "HTTP/1.1 200 OK", "nothing of the chunks is left");
}

#[test]
fn nonsense_and_excess_are_refused() {
    let fake = start();
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("{PUT}Content-Length: ten\r\n\r\n"), "400"),
        (format!("{PUT}Content-Length: 99999999\r\n\r\n"), "413"),
        (format!("{PUT}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "400"),
    ] {
        let mut stream = connect(&fake);
        stream.write_all(request.as_bytes()).unwrap();
        assert!(read(&mut stream).contains(status), "{request}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed after it");
    }
    assert_eq!(fake.counts().all_requests(), 0);
}

#[test]
fn a_stale_connection_is_closed_without_warning() {
    let fake = start();
    fake.imds().fail(Fault::new(Action::CloseAfter).times(1));
    let mut stream = connect(&fake);
    stream.write_all(format!("{PUT}\r\n").as_bytes()).unwrap();
    assert_eq!(read(&mut stream), "HTTP/1.1 200 OK");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_stop_ends_many_idle_connections() {
    let mut fake = start();
    let streams: Vec<TcpStream> = (0..100).map(|_| connect(&fake)).collect();
    while fake.counts().connections(Service::Imds) < 100 {
        std::thread::yield_now();
    }
    fake.stop();
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
}
