//! STS through an HTTPS proxy, and IMDS never: who goes through it, what it is told, and what is said where it does not
//! lead on. The names are AWS's own and are looked up by nobody.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use fake_aws::Service;

use crate::host::has_program;
use crate::observe::timed;
use crate::support::proxy::{Manner, Proxy};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const PROFILE: &str = "instancecrossaccount";
const EAST: &str = "sts.us-east-1.amazonaws.com:443";
const WEST: &str = "sts.us-west-2.amazonaws.com:443";

fn world() -> World {
    World::new(&format!("{INSTANCE_CROSS_ACCOUNT}region = us-east-1\n"))
}

fn sts(world: &World) -> SocketAddr {
    let url = world.fake.sts_url();
    SocketAddr::from(([127, 0, 0, 1], url.rsplit(':').next().unwrap().parse().unwrap()))
}

/// The binary with STS at its own name, and these variables.
fn command(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = world.command(arguments);
    command.env_remove("AWS_ENDPOINT_URL_STS").envs(variables.iter().copied());
    command
}

/// Refreshes, and asserts that the password of these tests is said nowhere.
fn refresh(world: &World, variables: &[(&str, &str)]) -> Run {
    let run = Run::of(&mut command(world, &["refresh", "-vv", "--force"], variables));
    let mut said = run.stderr.clone();
    for (_, content) in world.snapshot() {
        said.push_str(&String::from_utf8_lossy(&content));
    }
    for secret in ["hunter", "aHVudGVy", "amU6aHVud"] {
        assert!(!said.contains(secret), "a password: {said}");
    }
    run
}

#[test]
fn sts_is_reached_through_the_proxy_and_imds_without_it() {
    let world = world();
    let proxy = Proxy::start(Manner::Lead, &[(EAST, sts(&world))]);
    let url = proxy.url("");
    let run = refresh(&world, &[("HTTPS_PROXY", &url), ("HTTP_PROXY", "http://127.0.0.1:9")]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(proxy.asked(), [format!("CONNECT {EAST} HTTP/1.1")]);
    let head = &proxy.heads()[0];
    assert!(head.contains(&format!("\r\nHost: {EAST}\r\n")) && !head.contains("Authorization"), "{head}");
    let sent = &world.assumptions()[0];
    assert_eq!(sent.server_name.as_deref(), Some("sts.us-east-1.amazonaws.com"));
    assert_eq!(sent.host(), sent.server_name.as_deref());
    assert!(world.fake.counts().connections(Service::Imds) > 0);

    let run = refresh(&world, &[("https_proxy", &url), ("HTTPS_PROXY", "http://127.0.0.1:9")]);
    assert_eq!((run.code, proxy.asked().len()), (0, 2), "lower case is asked first: {run:?}");
}

#[test]
fn the_proxy_is_told_user_and_password_and_nobody_else_is() {
    let world = world();
    // je:hunter 2@
    let proxy = Proxy::start(Manner::LeadFor("Basic amU6aHVudGVyIDJA"), &[(EAST, sts(&world))]);
    let run = refresh(&world, &[("HTTPS_PROXY", &proxy.url("je:hunter%202%40@"))]);
    assert_eq!(run.code, 0, "{run:?}");
    for user in ["", "je@", "je:hunter%203%40@"] {
        let world = self::world();
        let run = refresh(&world, &[("HTTPS_PROXY", &proxy.url(user))]);
        let name = format!("the proxy `{}`", proxy.address);
        run.assert_failure(75, &[&name, "407", "http://USER:PASSWORD@HOST:PORT", "sts.us-east-1"]);
        assert!(world.is_unpublished(PROFILE));
    }
    assert_eq!(proxy.asked().len(), 4, "what another password alone can mend is asked once");
}

#[test]
fn hosts_that_need_no_proxy_are_reached_without_it() {
    let world = world();
    let proxy = Proxy::start(Manner::Say(b"HTTP/1.1 503 no\r\n\r\n"), &[]);
    for list in ["localhost", ".localhost,example.com", "*", "10.0.0.0/8, localhost"] {
        let mut command = world.command(&["refresh", "--force"]);
        command.env("HTTPS_PROXY", proxy.url("")).env("NO_PROXY", list);
        Run::of(&mut command).assert_silent_success();
    }
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    let mut command = world.command(&["refresh", "--force", "-v"]);
    command.env("HTTPS_PROXY", proxy.url("")).env("NO_PROXY", "localhost:1, example.com");
    let run = Run::of(&mut command);
    assert!(run.stderr.contains("refuses to lead there (status 503)"), "{run:?}");
    assert_eq!(proxy.asked().len(), 3, "and asked again");
}

#[test]
fn a_proxy_that_does_not_lead_on_is_named() {
    let world = world();
    // A port that nobody listens at: this listener is closed at once.
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let closed = format!("je:hunter@{closed}");
    for (url, parts) in [
        (closed.as_str(), ["cannot be reached", "connection was refused", "check HTTPS_PROXY"]),
        (
            "http://je:hunter@proxy.invalid:3128",
            ["`proxy.invalid:3128` cannot be reached", "name", "HTTPS_PROXY"],
        ),
    ] {
        refresh(&world, &[("HTTPS_PROXY", url)]).assert_failure(75, &parts);
    }
    for (answer, parts) in [
        (&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], ["status 403", "has to allow CONNECT", "sts.us-east-1"]),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nhey", ["status 502", "CONNECT", ""]),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>sign in</html>", ["not HTTP", "HTTPS_PROXY", "NO_PROXY"]),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", ["not HTTP", "", ""]),
        (b"", ["not HTTP", "", ""]),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", ["not HTTP", "", ""]),
    ] {
        let proxy = Proxy::start(Manner::Say(answer), &[]);
        let run = refresh(&world, &[("HTTPS_PROXY", &proxy.url("je:hunter@"))]);
        let name = format!("`{}`", proxy.address);
        run.assert_failure(75, &[&name, parts[0], parts[1], parts[2]]);
    }
    assert!(world.assumptions().is_empty() && world.is_unpublished(PROFILE));
}

#[test]
fn a_proxy_that_drips_is_given_up() {
    let world = world();
    let proxy = Proxy::start(Manner::Drip(b"HTTP/1.1 200 OK\r\nX: x\r\nY: "), &[]);
    let (run, time) = timed(|| refresh(&world, &[("HTTPS_PROXY", &proxy.url(""))]));
    run.assert_failure(75, &["does not answer", "HTTPS_PROXY"]);
    assert!(time < Duration::from_secs(35), "{time:?}");
}

#[test]
fn an_answer_without_end_is_cut_short() {
    let world = world();
    let proxy = Proxy::start(Manner::Flood, &[]);
    let (run, time) = timed(|| refresh(&world, &[("HTTPS_PROXY", &proxy.url(""))]));
    run.assert_failure(75, &["answers with what is not HTTP"]);
    assert!(time < Duration::from_secs(5), "{time:?}: given up for its length, not for the time");
}

#[test]
fn one_process_may_reach_one_host_with_and_another_without_it() {
    let world = world();
    let config = INSTANCE_CROSS_ACCOUNT.replace(PROFILE, "direct");
    let direct = format!("{config}region = us-east-1\nendpoint_url = {}\n", world.fake.sts_url());
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}region = us-east-1\n{direct}"));
    let proxy = Proxy::start(Manner::Lead, &[(EAST, sts(&world))]);
    let run = refresh(&world, &[("HTTPS_PROXY", &proxy.url("")), ("NO_PROXY", "localhost")]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!((world.assumptions().len(), proxy.asked().len()), (2, 1), "{:?}", proxy.asked());
    assert!(proxy.asked()[0].contains(EAST));
}

#[test]
fn proxies_of_other_kinds_are_refused_by_name() {
    let world = world();
    for (url, part) in [
        ("https://je:hunter@proxy:3128", "reached over TLS"),
        ("socks5h://je:hunter@proxy:1080", "not one for HTTP"),
        ("http://je:hunter@", "not the URL of a proxy"),
    ] {
        refresh(&world, &[("https_proxy", url)])
            .assert_failure(78, &["`https_proxy`", part, "http://USER:PASSWORD@HOST:PORT"]);
    }
}

#[test]
fn a_region_that_the_proxy_does_not_lead_to_is_followed_by_the_next_one() {
    let world = World::new(&format!(
        "{INSTANCE_CROSS_ACCOUNT}region = us-east-1\nrolekeeper_sts_fallback_regions = us-west-2\n"
    ));
    let proxy = Proxy::start(Manner::Lead, &[(WEST, sts(&world))]);
    let run = refresh(&world, &[("HTTPS_PROXY", &proxy.url(""))]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(proxy.asked(), [EAST, WEST].map(|host| format!("CONNECT {host} HTTP/1.1")));
    assert_eq!(world.status(PROFILE)["sts_fallback_region"], "us-west-2");
}

#[test]
fn a_tunnel_is_kept_for_the_whole_batch() {
    let world = world();
    let others: String = (1..=3)
        .map(|number| INSTANCE_CROSS_ACCOUNT.replace(PROFILE, &format!("p{number}")) + "region = us-east-1\n")
        .collect();
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}region = us-east-1\n{others}"));
    let proxy = Proxy::start(Manner::Lead, &[(EAST, sts(&world))]);
    let run = refresh(&world, &[("HTTPS_PROXY", &proxy.url(""))]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!((world.assumptions().len(), proxy.asked().len()), (4, 1));
    assert_eq!(world.fake.counts().handshakes(Service::Sts), 1);
}

#[test]
fn no_name_is_looked_up_on_this_host() {
    if !has_program("strace") {
        return;
    }
    let world = world();
    let proxy = Proxy::start(Manner::Lead, &[(EAST, sts(&world))]);
    let trace = world.directory.join("trace");
    let described = command(&world, &["refresh"], &[("HTTPS_PROXY", &proxy.url(""))]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e", "trace=open,openat,connect", "-o"]).arg(&trace).env_clear();
    traced.arg(described.get_program()).args(described.get_args());
    traced.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run = Run::of(&mut traced);
    assert_eq!(run.code, 0, "{run:?}");
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains("connect("), "{trace}");
    for sign in ["/etc/hosts", "/etc/resolv.conf", "htons(53)"] {
        assert!(!trace.contains(sign), "{sign}: {trace}");
    }
}

#[test]
fn the_daemon_goes_through_the_proxy_too() {
    let world = world();
    let proxy = Proxy::start(Manner::Lead, &[(EAST, sts(&world))]);
    let mut command = command(&world, &["run"], &[("HTTPS_PROXY", &proxy.url(""))]);
    let daemon = crate::daemon::Daemon::of(&world, &mut command);
    daemon.wait_for_log("published, generation 1");
    assert_eq!(proxy.asked().len(), 1);
}
