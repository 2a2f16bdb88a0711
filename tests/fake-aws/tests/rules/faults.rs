//! The fake fails as ordered, as often as ordered, and then no more; and it stops.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fake_aws::{Action, FakeAws, Fault, Issuer, Kind, Options, Reply, Service, Validity, scenario};

use crate::client::{Answer, STS, assume, form, imds_token, start, whoami};

fn identity(fake: &FakeAws) -> std::io::Result<Answer> {
    form(fake, &[("Action", "GetCallerIdentity")]).signed(&scenario::alice(), STS).try_send(fake)
}

#[test]
fn ordered_errors_come_as_often_as_ordered() {
    let fake = start();
    let action = Action::Error { status: 503, code: "SlowDown".into(), retry_after_ms: Some(1500) };
    fake.sts().fail(Fault::new(action).on(Kind::GetCallerIdentity).times(2));
    assert_eq!(imds_token(&fake, "60").status, 200, "another service");
    for _ in 0..2 {
        let answer = whoami(&fake, &scenario::alice());
        assert_eq!(answer.error(), (503, "SlowDown".into()));
        assert_eq!(answer.element("Type"), "Receiver");
        assert_eq!(answer.header("x-amz-retry-after"), Some("1500"));
    }
    assert_eq!(whoami(&fake, &scenario::alice()).status, 200);
    let statuses: Vec<_> = fake.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(200), Some(503), Some(503), Some(200)]);
}

#[test]
fn broken_answers_are_broken_on_the_wire() {
    let fake = start();
    let whole = identity(&fake).unwrap();
    let broken = |action| {
        fake.sts().heal();
        fake.sts().fail(Fault::new(action).times(1));
        identity(&fake)
    };
    assert_eq!(broken(Action::ResetBefore).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(broken(Action::ResetMidway).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(broken(Action::EmptyBody).unwrap().body, b"");
    let cut = broken(Action::Truncate).unwrap();
    let announced: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert_eq!(announced, whole.body.len());
    assert_eq!(cut.body.len(), announced - announced.div_ceil(2));
    assert!(String::from_utf8(broken(Action::NotUtf8).unwrap().body).is_err());
    assert_eq!(broken(Action::Oversized(3_000_000)).unwrap().body.len(), 3_000_000);
    let wrong = broken(Action::ContentLength(5)).unwrap();
    assert_eq!(wrong.header("content-length"), Some("5"));
    let moved = broken(Action::Redirect("http://localhost/".into())).unwrap();
    assert_eq!((moved.status, moved.header("location")), (302, Some("http://localhost/")));
    let reply = Reply::new(418).header("X-Odd", "yes").body("odd");
    let odd = broken(Action::Answer(reply)).unwrap();
    assert_eq!((odd.status, odd.header("x-odd"), odd.text().as_str()), (418, Some("yes"), "odd"));
    assert_eq!(broken(Action::Drip(Duration::from_micros(10))).unwrap().status, 200);
    assert_eq!(identity(&fake).unwrap().status, 200, "healed");
}

#[test]
fn a_delay_holds_back_the_answer_and_the_judgement() {
    let fake = start();
    fake.sts().session_lifetime(Some(Duration::from_secs(1)));
    let keys = assume(&fake, &scenario::alice(), scenario::LONG, &[]).keys();
    fake.sts().delay(Duration::from_millis(1100));
    assert_eq!(whoami(&fake, &keys).error(), (403, "ExpiredToken".into()), "judged after the delay");
    fake.sts().delay(Duration::ZERO);
    fake.sts().fail(Fault::new(Action::Delay(Duration::from_millis(1100))).on(Kind::AssumeRole).times(1));
    let first = fake.requests().len();
    assert_eq!(assume(&fake, &scenario::alice(), scenario::LONG, &[]).status, 200);
    assert_eq!(whoami(&fake, &scenario::alice()).status, 200);
    let requests = fake.requests();
    assert!(requests[first + 1].at - requests[first].at >= Duration::from_millis(1100));
}

#[test]
fn headers_without_end_are_sent_until_the_client_leaves() {
    let mut fake = start();
    fake.imds().fail(Fault::new(Action::EndlessHeaders));
    let mut stream = TcpStream::connect(fake.imds_url().replace("http://", "")).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut bytes = vec![0; 1_000_000];
    stream.read_exact(&mut bytes).unwrap();
    assert!(!bytes.windows(4).any(|window| window == b"\r\n\r\n"), "the head never ends");
    drop(stream);
    fake.stop();
}

#[test]
fn a_stop_ends_hung_requests_and_frees_the_port() {
    let mut fake = start();
    fake.imds().fail(Fault::new(Action::Hang).on(Kind::Token));
    let hung = std::thread::scope(|scope| {
        let address = fake.imds_url();
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let client = scope.spawn(move || {
            stream.write_all(b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream.read_to_end(&mut Vec::new())
        });
        while fake.counts().requests(Kind::Token) == 0 {
            std::thread::yield_now();
        }
        fake.stop();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens");
        client.join().unwrap()
    });
    assert_eq!(hung.unwrap_or(0), 0, "no answer came");
    assert_eq!(fake.requests()[0].status, None);
}

#[test]
fn connections_and_handshakes_are_counted() {
    let fake = start();
    whoami(&fake, &scenario::alice());
    whoami(&fake, &scenario::alice());
    imds_token(&fake, "60");
    let counts = fake.counts();
    assert_eq!(counts.connections(Service::Sts), 2);
    assert_eq!(counts.handshakes(Service::Sts), 2);
    assert_eq!((counts.connections(Service::Imds), counts.handshakes(Service::Imds)), (1, 0));
    assert_eq!(counts.requests(Kind::GetCallerIdentity), 2);
    assert_eq!(fake.requests()[0].server_name.as_deref(), Some("localhost"));
}

#[test]
fn certificates_can_be_wrong_in_each_way() {
    for options in [
        Options::new().validity(Validity::EXPIRED),
        Options::new().validity(Validity::NOT_YET),
        Options::new().issuer(Issuer::Unknown),
        Options::new().only_given_names().name("elsewhere.example"),
    ] {
        let fake = FakeAws::start(options).unwrap();
        let error = identity(&fake).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert_eq!(fake.counts().all_requests(), 0);
    }
}
