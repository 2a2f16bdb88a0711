//! How the endpoint lives in the daemon: a port that is taken, reloads, restarts, the end, and what it costs.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::super::{RELOADED, let_pass, report, switching};
use super::{
    Daemon, INSTANCE_CROSS_ACCOUNT, NAME, SOON, World, ask, endpoint, free_address, get, has_other_token,
    has_published, has_token, is_open, request, serving, token, wait_until,
};
use crate::host::has_root;

fn status(world: &World) -> Value {
    let run = world.run(&["status", "--json"]);
    serde_json::from_str::<Value>(&run.stdout).unwrap()["serve"].clone()
}

#[test]
fn a_port_that_is_taken_is_loud_and_stops_nothing_else() {
    let address = free_address();
    let other = TcpListener::bind(address).unwrap();
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(address)));
    let mut daemon = Daemon::publishing(&world);
    daemon.wait_for_log(&format!("error: credentials cannot be served at {address}: "));
    assert!(!has_token(&world, NAME), "nobody shall send one to whoever listens there");
    let said = status(&world);
    assert_eq!(said["address"], address.to_string());
    assert!(said["error"].as_str().unwrap().contains("cannot be served"), "{said}");
    let run = world.run(&["status"]);
    assert!(run.code == 0 && run.stdout.contains(&format!("cannot be served at {address}")), "{run:?}");
    drop(other);
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "a token", || has_token(&world, NAME));
    wait_until(SOON, "the endpoint", || is_open(address));
    assert_eq!(ask(&world, address, NAME).status, 200);
    wait_until(SOON, "the status", || status(&world)["error"].is_null());
    assert!(!world.run(&["status"]).stdout.contains("served"));
    assert_eq!(daemon.log().matches("cannot be served").count(), 1, "{}", daemon.log());
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_reload_gives_tokens_to_who_comes_and_takes_them_from_who_leaves() {
    let address = free_address();
    let (stays, leaves) =
        (switching("stays", fake_aws::scenario::EFGH), switching("leaves", fake_aws::scenario::LONG));
    let world = World::new(&format!("{}{stays}{leaves}", serving(address)));
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "credentials", || has_published(&world, "stays") && has_published(&world, "leaves"));
    let (kept, gone) = (token(&world, "stays"), token(&world, "leaves"));
    let comes = switching("comes", fake_aws::scenario::PRODUCTION);
    world.write("config", format!("{}{stays}{comes}", serving(address)));
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "a token", || has_token(&world, "comes"));
    wait_until(SOON, "the removal", || !has_token(&world, "leaves"));
    wait_until(SOON, "its end", || get(address, "leaves", &gone).status == 404);
    assert_eq!(token(&world, "stays"), kept, "consumers go on");
    assert_eq!(get(address, "stays", &kept).status, 200);
    wait_until(RELOADED, "the new profile", || ask(&world, address, "comes").status == 200);
    // Other readers, another token.
    world.write("config", format!("{}{stays}rolekeeper_mode = 0640\n{comes}", serving(address)));
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "another token", || has_other_token(&world, "stays", &kept));
    wait_until(SOON, "its end", || get(address, "stays", &kept).status == 403);
    // A profile that can no longer be used keeps its files, and so its token.
    let other = token(&world, "comes");
    let broken = comes.replace("Ec2InstanceMetadata", "Nonsense");
    world.write("config", format!("{}{stays}rolekeeper_mode = 0640\n{broken}", serving(address)));
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "the third reload", || daemon.log().matches("was read again").count() == 3);
    assert_eq!((token(&world, "comes"), get(address, "comes", &other).status), (other, 200));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_reload_moves_the_endpoint_closes_it_and_opens_it() {
    let (world, mut daemon, first) = endpoint();
    let old = token(&world, NAME);
    let second = free_address();
    world.write("config", format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(second)));
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "the move", || is_open(second) && !is_open(first));
    wait_until(SOON, "a new token", || has_other_token(&world, NAME, &old));
    wait_until(SOON, "an answer", || ask(&world, second, NAME).status == 200);
    assert_eq!(get(second, NAME, &old).status, 403);

    world.write("config", INSTANCE_CROSS_ACCOUNT);
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "the end", || !is_open(second) && !has_token(&world, NAME));
    wait_until(SOON, "the status", || status(&world).is_null());
    assert!(!world.out().join("state/serving").exists());

    // What cannot be used changes nothing.
    world.write("config", format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(first)));
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "the endpoint", || has_token(&world, NAME) && is_open(first));
    let kept = token(&world, NAME);
    world.write("config", format!("[rolekeeper]\nserve = 0.0.0.0:80\n{INSTANCE_CROSS_ACCOUNT}"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("is not the loopback address");
    assert_eq!(get(first, NAME, &kept).status, 200);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn each_start_makes_new_tokens_and_the_end_takes_them_back() {
    let (world, mut daemon, address) = endpoint();
    let first = token(&world, NAME);
    // Connections in every state do not delay the end.
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(b"GET /profiles/").unwrap();
    let silent = TcpStream::connect(address).unwrap();
    let mut unread = TcpStream::connect(address).unwrap();
    unread.write_all(request(address, NAME, &first).as_bytes()).unwrap();
    let time = daemon.stop(Signal::SIGTERM);
    report(&format!("figure: with open connections it ends within {} ms", time.as_millis()));
    drop((half, silent, unread));
    assert!(!has_token(&world, NAME) && !world.is_unpublished(NAME), "only the token goes");

    let daemon = Daemon::start(&world);
    wait_until(SOON, "the endpoint", || has_token(&world, NAME) && is_open(address));
    let second = token(&world, NAME);
    assert_ne!(second, first);
    assert_eq!((get(address, NAME, &first).status, get(address, NAME, &second).status), (403, 200));

    // After a crash the old one lies there until the next start, and is worthless then.
    daemon.signal(Signal::SIGKILL);
    drop(daemon);
    assert!(has_token(&world, NAME));
    let other = TcpListener::bind(address).unwrap();
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "the sweep", || !has_token(&world, NAME));
    daemon.wait_for_log("cannot be served");
    daemon.stop(Signal::SIGTERM);
    drop(other);

    let daemon = Daemon::start(&world);
    wait_until(SOON, "the endpoint", || has_token(&world, NAME) && is_open(address));
    daemon.signal(Signal::SIGKILL);
    drop(daemon);
    world.write("config", INSTANCE_CROSS_ACCOUNT);
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "the sweep", || !has_token(&world, NAME));
    assert!(!is_open(address));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn it_listens_on_ipv6_where_that_is_asked_for() {
    let port = free_address().port();
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(address)));
    let mut daemon = Daemon::publishing(&world);
    assert_eq!(ask(&world, address, NAME).status, 200);
    assert!(!is_open(SocketAddr::from(([127, 0, 0, 1], port))), "and nowhere else");
    daemon.stop(Signal::SIGTERM);
}

/// The sockets that the process listens on, as the kernel lists them.
fn listeners(daemon: &Daemon) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{}/net/{table}", daemon.pid)).unwrap();
        let inodes: Vec<String> = fs::read_dir(format!("/proc/{}/fd", daemon.pid))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .filter_map(|path| Some(path.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // State 0A is LISTEN.
            if fields[3] == "0A" && inodes.iter().any(|inode| inode == fields[9]) {
                found.push(fields[1].to_owned());
            }
        }
    }
    found
}

#[test]
fn it_listens_on_one_loopback_address_only() {
    if !has_root() {
        return;
    }
    let (_world, mut daemon, address) = endpoint();
    assert_eq!(listeners(&daemon), [format!("0100007F:{:04X}", address.port())]);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn another_daemon_beside_it_takes_neither_its_port_nor_its_tokens() {
    let (world, mut daemon, address) = endpoint();
    let before = token(&world, NAME);
    world.run(&["run"]).assert_failure(73, &["another rolekeeper"]);
    assert_eq!((token(&world, NAME), ask(&world, address, NAME).status), (before, 200));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_port_that_was_taken_is_tried_again_within_a_minute() {
    let address = free_address();
    let other = TcpListener::bind(address).unwrap();
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(address)));
    let mut daemon = Daemon::publishing(&world);
    daemon.wait_for_log("cannot be served");
    drop(other);
    wait_until(Duration::from_secs(65), "the endpoint", || has_token(&world, NAME) && is_open(address));
    wait_until(SOON, "an answer", || ask(&world, address, NAME).status == 200);
    daemon.stop(Signal::SIGTERM);
}

/// How often each thread of the daemon has gone to sleep, by its name.
fn sleeps(daemon: &Daemon) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid)).unwrap();
    // A thread may end between the listing and the look at it.
    let look = |entry: std::io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(entry.unwrap().path().join("status")).ok()?;
        let line = |name| status.lines().find_map(|line: &str| line.strip_prefix(name)).map(str::to_owned);
        Some((line("Name:\t")?, line("voluntary_ctxt_switches:\t")?))
    };
    tasks.filter_map(look).collect()
}

#[test]
fn an_idle_endpoint_is_one_thread_that_sleeps() {
    let (world, mut daemon, address) = endpoint();
    assert_eq!(ask(&world, address, NAME).status, 200);
    wait_until(SOON, "an idle daemon", || sleeps(&daemon).len() == 2);
    let_pass(Duration::from_millis(500));
    let before = sleeps(&daemon);
    assert!(before.iter().any(|(name, _)| name == "serve"), "{before:?}");
    let_pass(Duration::from_secs(5));
    assert_eq!(sleeps(&daemon), before);
    daemon.stop(Signal::SIGTERM);
}

/// Whether `text` is anywhere in the memory that the daemon can write to.
fn remembers(daemon: &Daemon, text: &str) -> bool {
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid)).unwrap();
    let memory = fs::File::open(format!("/proc/{}/mem", daemon.pid)).unwrap();
    maps.lines().filter(|line| line.contains(" rw")).any(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (number(start), number(end));
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(start)).unwrap()];
        let read = memory.read_at(&mut bytes, start).unwrap_or_default();
        bytes[..read].windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn it_keeps_neither_what_it_hands_out_nor_the_token() {
    if !has_root() {
        return;
    }
    let (world, mut daemon, address) = endpoint();
    // Obtained by another process: the daemon knows it from handing it out alone.
    world.run(&["refresh", "--force"]).assert_silent_success();
    let (given, token) = (ask(&world, address, NAME), token(&world, NAME));
    assert_eq!(get(address, NAME, &"0".repeat(64)).status, 403);
    wait_until(SOON, "an idle daemon", || sleeps(&daemon).len() == 2);
    let_pass(Duration::from_millis(200));
    assert!(remembers(&daemon, "instancecrossaccount"), "the search finds what is there");
    assert!(!remembers(&daemon, &token), "the token");
    for name in ["SecretAccessKey", "Token"] {
        let secret = given.json()[name].as_str().unwrap().to_owned();
        assert!(!remembers(&daemon, &secret), "{name}");
    }
    daemon.stop(Signal::SIGTERM);
}
