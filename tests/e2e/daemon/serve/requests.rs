//! Who is answered, and who is refused: requests that two parsers could read differently, other hosts' names, tokens
//! that are not the profile's, clients that are slow, many or both.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::{let_pass, report, switching};
use super::{
    Daemon, INSTANCE_CROSS_ACCOUNT, NAME, SOON, World, ask, endpoint, free_address, get, has_published,
    parse, read_to_end, request, send, serving, token, wait_until,
};
use crate::observe::timed;

/// A request with these lines after the first, each of which gets its end.
fn lines(first: &str, fields: &[&str]) -> String {
    let mut text = format!("{first}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text + "\r\n"
}

#[test]
fn what_no_sdk_sends_is_refused() {
    let (world, mut daemon, address) = endpoint();
    let token = token(&world, NAME);
    let authorization = format!("Authorization: {token}");
    let get = format!("GET /profiles/{NAME} HTTP/1.1");
    let host = format!("Host: {address}");
    let usual = [host.as_str(), authorization.as_str()];
    let with = |field: &str| lines(&get, &[&host, &authorization, field]);
    assert_eq!(send(address, lines(&get, &usual)).status, 200);
    assert_eq!(send(address, lines(&get.replace("1.1", "1.0"), &usual)).status, 200);
    let cases: &[(u16, String)] = &[
        (400, with("Content-Length: 0")),
        (400, with("Content-Length: 5") + "hello"),
        (400, with("Transfer-Encoding: chunked") + "0\r\n\r\n"),
        (400, with("Content-Length: 0\r\nContent-Length: 5")),
        (400, with("transfer-encoding: identity")),
        (400, with(&authorization)),
        (400, with(&host)),
        (400, with("Authorization: x")),
        (400, with("X-Folded: a\r\n b")),
        (400, with(" X-Indented: a")),
        (400, with("X-Space : a")),
        (400, with("X-Nul: a\0b")),
        (400, with("X-Return: a\rb")),
        (400, with("X-Bare: a\nX-More: b")),
        (400, lines(&get, &usual).replace("\r\n", "\n")),
        (400, format!("\r\n{}", lines(&get, &usual))),
        (400, format!("\n{}", lines(&get, &usual))),
        (400, lines(&get.replace("GET ", "GET  "), &usual)),
        (400, lines(&get.replace(" HTTP", "\tHTTP"), &usual)),
        (400, lines(&get.replace("HTTP/1.1", "HTTP/2.0"), &usual)),
        (400, lines(&get.replace("HTTP/1.1", "HTTP/1.1 "), &usual)),
        (400, lines(&get.replace(" HTTP/1.1", ""), &usual)),
        (400, lines(&get.replace("/profiles", &format!("http://{address}/profiles")), &usual)),
        (400, lines(&format!("GET {address} HTTP/1.1"), &usual)),
        (405, lines(&get.replace("GET", "POST"), &usual)),
        (405, lines(&get.replace("GET", "POST"), &[&host, &authorization, "Content-Length: 5"]) + "hello"),
        (405, lines(&get.replace("GET", "PUT"), &usual)),
        (405, lines(&get.replace("GET", "OPTIONS"), &usual)),
        (405, lines(&get.replace("GET", "get"), &usual)),
        (405, lines(&format!("CONNECT {address} HTTP/1.1"), &usual)),
        (405, lines("OPTIONS * HTTP/1.1", &usual)),
        (431, with(&format!("X-Long: {}", "a".repeat(9000)))),
        (431, with(&"X-Many: a\r\n".repeat(40))),
        (431, lines(&format!("GET /{} HTTP/1.1", "a".repeat(9000)), &usual)),
        (400, "\u{16}\u{3}\u{1} not even HTTP".to_owned()),
    ];
    for (status, request) in cases {
        let reply = send(address, request);
        assert_eq!(reply.status, *status, "{request:?}: {reply:?}");
        assert!(!reply.body.contains("AccessKey") && !reply.body.contains(&token), "{reply:?}");
        assert!(!reply.code().is_empty() && reply.json()["message"].is_string(), "{reply:?}");
    }
    let head = send(address, lines(&get.replace("GET", "HEAD"), &usual));
    assert_eq!((head.status, head.body.as_str()), (405, ""));
    assert!(head.head.contains("\r\nAllow: GET"), "{head:?}");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn only_the_names_of_this_host_are_answered() {
    let (world, mut daemon, address) = endpoint();
    let token = token(&world, NAME);
    let hosts = [
        (200, "127.0.0.1".to_owned()),
        (200, address.to_string()),
        (200, "localhost".to_owned()),
        (200, format!("LOCALHOST:{}", address.port())),
        (200, "[::1]".to_owned()),
        (200, "[::1]:80".to_owned()),
        (200, "127.0.0.2:1".to_owned()),
        (403, "attacker.example".to_owned()),
        (403, format!("attacker.example:{}", address.port())),
        (403, "localhost.attacker.example".to_owned()),
        (403, "127.0.0.1.attacker.example".to_owned()),
        (403, "localhost:80@attacker.example".to_owned()),
        (403, "localhost:".to_owned()),
        (403, "10.0.0.1".to_owned()),
        (403, "169.254.170.2".to_owned()),
        (403, "[::2]".to_owned()),
        (403, "0.0.0.0".to_owned()),
        (403, "2130706433".to_owned()),
        (403, String::new()),
    ];
    for (status, host) in hosts {
        let request = lines(
            &format!("GET /profiles/{NAME} HTTP/1.1"),
            &[&format!("Host: {host}"), &format!("Authorization: {token}")],
        );
        assert_eq!(send(address, request).status, status, "{host}");
    }
    let without = lines(&format!("GET /profiles/{NAME} HTTP/1.1"), &[&format!("Authorization: {token}")]);
    assert_eq!(send(address, without).status, 403);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn nobody_is_answered_without_the_token_of_that_very_profile() {
    let address = free_address();
    let other = switching("other", fake_aws::scenario::PRODUCTION);
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}{other}", serving(address)));
    let mut daemon = Daemon::publishing(&world);
    wait_until(SOON, "the other profile", || has_published(&world, "other"));
    let token = token(&world, NAME);
    let last = token.chars().last().unwrap();
    let most = token.strip_suffix(last).unwrap();
    let wrong = [
        String::new(),
        "x".to_owned(),
        most.to_owned(),
        format!("{token}0"),
        format!("Bearer {token}"),
        format!("{token},{token}"),
        format!("{most}{}", if last == '0' { '1' } else { '0' }),
        token.to_uppercase().replace(char::is_numeric, "A"),
        "0".repeat(64),
        super::token(&world, "other"),
    ];
    for given in wrong {
        let reply = get(address, NAME, &given);
        assert_eq!((reply.status, reply.code().as_str()), (403, "WrongToken"), "`{given}`");
    }
    let without = lines(&format!("GET /profiles/{NAME} HTTP/1.1"), &[&format!("Host: {address}")]);
    let reply = send(address, without);
    assert_eq!((reply.status, reply.code().as_str()), (401, "NoToken"));
    assert!(reply.head.contains("\r\nWWW-Authenticate: "), "{reply:?}");
    let key = |profile: &str| ask(&world, address, profile).json()["AccessKeyId"].clone();
    assert_eq!(key(NAME), world.document(NAME)["AccessKeyId"]);
    assert_eq!(key("other"), world.document("other")["AccessKeyId"]);
    for path in
        ["nobody", "", "/", &format!("{NAME}/"), &format!("{NAME}?x=1"), &format!("../{NAME}"), "%ff", "%"]
    {
        let reply = get(address, path, &token);
        assert_eq!((reply.status, reply.code().as_str()), (404, "ProfileNotFound"), "{path}");
    }
    for target in ["/", "/credentials", &format!("/{NAME}"), "//profiles/instancecrossaccount"] {
        let request = lines(&format!("GET {target} HTTP/1.1"), &[&format!("Host: {address}")]);
        assert_eq!(send(address, request).status, 404, "{target}");
    }
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn one_connection_has_one_answer() {
    let (world, mut daemon, address) = endpoint();
    let one = request(address, NAME, &token(&world, NAME));
    // `send` asserts that nothing follows the first answer.
    let reply = send(address, format!("{one}{one}{}", "x".repeat(20_000)));
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("\r\nConnection: close"), "{reply:?}");
    // In pieces, each in a packet of its own.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in one.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
        let_pass(Duration::from_millis(2));
    }
    assert_eq!(parse(&read_to_end(&stream)).status, 200);
    daemon.stop(Signal::SIGTERM);
}

/// A client that sends a request byte by byte for as long as it may; how long that was.
fn dribble(address: SocketAddr) -> Duration {
    let (_, time) = timed(|| {
        let mut stream = TcpStream::connect(address).unwrap();
        while stream.write_all(b"G").is_ok() {
            let_pass(Duration::from_millis(50));
        }
    });
    time
}

#[test]
fn slow_clients_are_sent_away_and_hold_up_nobody() {
    let (world, mut daemon, address) = endpoint();
    let one = request(address, NAME, &token(&world, NAME));
    thread::scope(|scope| {
        let slow: Vec<_> = (0..40).map(|_| scope.spawn(|| dribble(address))).collect();
        let_pass(Duration::from_millis(300));
        // Connections that say nothing, or half of a request, many more than there is room for.
        let silent: Vec<TcpStream> = (0..1000)
            .map(|number| {
                let mut stream = TcpStream::connect(address).unwrap();
                if number % 2 == 0 {
                    stream.write_all(b"GET /profiles/x HTTP/1.1\r\nHost: localhost\r\n").unwrap();
                }
                stream
            })
            .collect();
        let slowest = (0..200).map(|_| timed(|| send(address, &one))).map(|(reply, time)| {
            assert_eq!(reply.status, 200);
            time
        });
        let slowest = slowest.max().unwrap();
        report(&format!("figure: beside 1000 idle connections the slowest answer took {slowest:?}"));
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        let longest = slow.into_iter().map(|slow| slow.join().unwrap()).max().unwrap();
        assert!(longest < Duration::from_secs(6), "{longest:?}");
        drop(silent);
    });
    daemon.stop(Signal::SIGTERM);
}

/// There is room for 128; whoever came first goes first, long before the time of a silent client is over.
#[test]
fn more_clients_than_there_is_room_for_make_the_oldest_go() {
    let (world, mut daemon, address) = endpoint();
    let one = request(address, NAME, &token(&world, NAME));
    let streams: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Accepted in this order, so that it was the turn of all before.
    assert_eq!(send(address, &one).status, 200);
    let is_closed = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        (&mut &*stream).read(&mut [0]).is_ok()
    };
    let closed: Vec<bool> = streams.iter().map(is_closed).collect();
    let room = closed.iter().filter(|closed| !**closed).count();
    assert!((100..=128).contains(&room), "{room} connections are held");
    let first_open = closed.iter().position(|closed| !closed).unwrap();
    assert!(closed.iter().skip(first_open).all(|closed| !closed), "the oldest went: {closed:?}");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn silent_clients_are_sent_away_too() {
    let (_world, mut daemon, address) = endpoint();
    let stream = TcpStream::connect(address).unwrap();
    let (said, time) = timed(|| read_to_end(&stream));
    assert_eq!(said, "");
    assert!(time > Duration::from_secs(1) && time < Duration::from_secs(6), "{time:?}");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn an_answer_takes_less_than_a_millisecond() {
    let (world, mut daemon, address) = endpoint();
    let one = request(address, NAME, &token(&world, NAME));
    let mut times: Vec<Duration> = (0..500).map(|_| timed(|| send(address, &one)).1).collect();
    times.sort();
    let (best, median) = (times[0], times[times.len() / 2]);
    report(&format!(
        "figure: an answer takes {best:?} at best and {median:?} in the median, connection included"
    ));
    // Tests run beside each other; what the program needs shows in the quiet moments.
    assert!(best < Duration::from_millis(1), "{best:?}");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_thousand_connections_at_once_are_all_answered_or_turned_away_in_time() {
    let (world, mut daemon, address) = endpoint();
    let one = request(address, NAME, &token(&world, NAME));
    let connect = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(one.as_bytes()).unwrap();
        stream
    };
    let streams: Vec<TcpStream> = (0..1000).map(connect).collect();
    let answered = streams.iter().filter(|stream| parse(&read_to_end(stream)).status == 200).count();
    assert_eq!(answered, 1000, "each had sent its request already");
    daemon.stop(Signal::SIGTERM);
}
