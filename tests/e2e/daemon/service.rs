//! What the service manager hears: when the daemon is ready, that it lives, what it does, and how the profiles are.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use fake_aws::scenario::EFGH;
use fake_aws::{Action, Fault, Kind, Trust};
use nix::sys::signal::Signal;
use rolekeeper::timestamp::between;
use time::OffsetDateTime;

use super::{Daemon, NAME, SOON, has_published, let_pass, record, switching, wait_until};
use crate::observe::{INSTANCE, now};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// A service manager that remembers every message and when it came.
struct Manager {
    messages: Receiver<(OffsetDateTime, String)>,
    heard: Vec<(OffsetDateTime, String)>,
}

impl Manager {
    /// Listens on a path in `world`, and tells `command`.
    fn listen(world: &World, command: &mut Command) -> Self {
        let path = world.directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        command.env("NOTIFY_SOCKET", path);
        Self::of(socket)
    }

    /// Listens on an abstract name, and tells `command`.
    fn listen_abstractly(name: &str, command: &mut Command) -> Self {
        let name = format!("rolekeeper-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        command.env("NOTIFY_SOCKET", format!("@{name}"));
        Self::of(UnixDatagram::bind_addr(&address).unwrap())
    }

    fn of(socket: UnixDatagram) -> Self {
        let (sender, messages) = channel();
        // It ends with the first message that nobody waits for any more, or with the tests.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if sender.send((now(), text)).is_err() {
                    break;
                }
            }
        });
        Self { messages, heard: Vec::new() }
    }

    /// Waits for a message with all of `parts`, and gives it.
    #[track_caller]
    fn wait_for(&mut self, parts: &[&str]) -> String {
        loop {
            let Ok((at, text)) = self.messages.recv_timeout(SOON) else {
                panic!("no message with {parts:?} among {:#?}", self.heard);
            };
            self.heard.push((at, text.clone()));
            if parts.iter().all(|part| text.contains(part)) {
                return text;
            }
        }
    }

    /// All that was heard, what comes within `time` included.
    fn hear(&mut self, time: Duration) -> &[(OffsetDateTime, String)] {
        let_pass(time);
        self.heard.extend(self.messages.try_iter());
        &self.heard
    }

    fn has_heard(&mut self, part: &str) -> bool {
        self.hear(Duration::ZERO).iter().any(|(_, text)| text.contains(part))
    }
}

#[test]
fn ready_comes_after_every_first_verdict_and_names_what_fails() {
    let denied = switching("denied", &fake_aws::scenario::hop(2));
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{denied}"));
    world.fake.sts().delay(Duration::from_millis(700));
    let mut command = world.command(&["run"]);
    let mut manager = Manager::listen(&world, &mut command);
    let mut daemon = Daemon::of(&world, &mut command);
    let ready = manager.wait_for(&["READY=1"]);
    assert!(record(&world, NAME).contains("\"access_key_id\""), "published before READY");
    assert!(record(&world, "denied").contains("\"disposition\":\"refused\""), "tried before READY");
    assert!(ready.contains("STATUS=1 of 2 profiles fresh; failing: denied"), "{ready}");
    assert!(manager.has_heard("EXTEND_TIMEOUT_USEC=120000000"), "{:#?}", manager.heard);
    assert!(!manager.has_heard("WATCHDOG"), "nobody asked for it");
    daemon.stop(Signal::SIGTERM);
    manager.wait_for(&["STOPPING=1"]);
}

#[test]
fn what_is_fresh_from_before_makes_it_ready_only_with_the_verdict_on_the_rest() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let denied = switching("denied", &fake_aws::scenario::hop(2));
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}{denied}"));
    world.fake.sts().delay(Duration::from_millis(700));
    let mut command = world.command(&["run"]);
    let mut manager = Manager::listen(&world, &mut command);
    let mut daemon = Daemon::of(&world, &mut command);
    manager.wait_for(&["STATUS=1 of 2 profiles fresh"]);
    let ready = manager.wait_for(&["READY=1"]);
    assert!(ready.contains("STATUS=1 of 2 profiles fresh; failing: denied"), "{ready}");
    let early = manager.heard.iter().filter(|(_, text)| text.contains("READY=1")).count();
    assert_eq!(early, 1, "{:#?}", manager.heard);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn without_a_fresh_profile_it_is_not_ready_and_asks_for_time_again() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().fail(Fault::new(Action::error(503, "ServiceUnavailable")));
    let mut command = world.command(&["run"]);
    let mut manager = Manager::listen_abstractly("unready", &mut command);
    let mut daemon = Daemon::of(&world, &mut command);
    manager.wait_for(&["STATUS=0 of 1 profiles fresh; failing: instancecrossaccount"]);
    let before = manager.heard.len();
    manager.wait_for(&["EXTEND_TIMEOUT_USEC="]);
    assert!(manager.heard.len() > before, "also after the first verdict");
    assert!(!manager.has_heard("READY=1"), "{:#?}", manager.heard);
    world.fake.sts().heal();
    manager.wait_for(&["READY=1", "STATUS=1 of 1 profiles fresh"]);
    let heard = manager.heard.len();
    let_pass(Duration::from_secs(1));
    let after: Vec<_> = manager.hear(Duration::ZERO)[heard..].to_vec();
    assert!(after.iter().all(|(_, text)| !text.contains("EXTEND")), "{after:#?}");
    daemon.stop(Signal::SIGINT);
}

#[test]
fn credentials_that_are_there_make_it_ready_without_a_request() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    world.fake.clear_log();
    let mut command = world.command(&["run"]);
    let mut manager = Manager::listen(&world, &mut command);
    let mut daemon = Daemon::of(&world, &mut command);
    manager.wait_for(&["READY=1", "STATUS=1 of 1 profiles fresh"]);
    daemon.stop(Signal::SIGTERM);
    assert_eq!(world.fake.counts().all_requests(), 0);
}

#[test]
fn a_service_manager_that_does_not_read_keeps_nobody_from_working_and_hears_of_it_later() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let path = world.directory.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // As much as fits, whatever the system's limit is.
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"STATUS=of another", &path).is_ok() {}
    let mut command = world.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    let mut daemon = Daemon::of(&world, &mut command);
    wait_until(SOON, "published", || has_published(&world, NAME));
    let_pass(Duration::from_secs(1));
    let mut manager = Manager::of(socket);
    manager.wait_for(&["READY=1"]);
    manager.wait_for(&["WATCHDOG=1"]);
    daemon.stop(Signal::SIGTERM);
}

/// The longest silence of the watchdog, from the first message to the end of what is heard.
fn longest_silence(heard: &[(OffsetDateTime, String)]) -> time::Duration {
    let alive: Vec<_> = heard.iter().filter(|(_, text)| text == "WATCHDOG=1").map(|(at, _)| *at).collect();
    assert!(alive.len() > 4, "{heard:#?}");
    alive.windows(2).map(|pair| between(pair[0], pair[1])).max().unwrap()
}

#[test]
fn the_watchdog_hears_in_time_during_requests_and_while_a_lock_is_waited_for() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    world.fake.imds().fail(Fault::new(Action::Hang).on(Kind::Token));
    let lock = std::fs::File::open(world.out().join("state/batch.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = world.command(&["run"]);
    command.env("WATCHDOG_USEC", "1000000");
    let mut manager = Manager::listen(&world, &mut command);
    world.write("config", INSTANCE);
    let mut daemon = Daemon::of(&world, &mut command);
    manager.hear(Duration::from_secs(3));
    assert!(!manager.has_heard("STATUS="), "it waits for the lock: {:#?}", manager.heard);
    lock.unlock().unwrap();
    let heard = manager.hear(Duration::from_secs(3));
    assert!(longest_silence(heard) < time::Duration::seconds(1), "{heard:#?}");
    assert!(!world.kinds(fake_aws::Service::Imds).is_empty(), "a request hangs");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn the_watchdog_of_another_process_is_left_alone() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let mut command = world.command(&["run"]);
    command.env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    let mut manager = Manager::listen(&world, &mut command);
    let mut daemon = Daemon::of(&world, &mut command);
    manager.wait_for(&["READY=1"]);
    manager.hear(Duration::from_millis(500));
    assert!(!manager.has_heard("WATCHDOG"), "{:#?}", manager.heard);
    daemon.stop(Signal::SIGTERM);
}

/// The clock by which `Type=notify-reload` tells an answer to its signal from an earlier one.
fn monotonic_microseconds() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(now).as_micros()
}

#[test]
fn every_reload_is_announced_and_ended_even_where_the_profiles_fail() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let mut command = world.command(&["run"]);
    let mut manager = Manager::listen(&world, &mut command);
    let mut daemon = Daemon::of(&world, &mut command);
    manager.wait_for(&["READY=1"]);
    world.write("config", "[profile instancecrossaccount]\nrole_arn");
    let before = monotonic_microseconds();
    daemon.signal(Signal::SIGHUP);
    let reloading = manager.wait_for(&["RELOADING=1"]);
    let said = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    let said: u128 = said.parse().unwrap();
    assert!((before..=monotonic_microseconds()).contains(&said), "after {before}: {reloading}");
    let broken = manager.wait_for(&["READY=1", "the new configuration is not used"]);
    assert!(broken.contains("1 of 1 profiles fresh"), "the old one is: {broken}");
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    world.write("config", switching("other", EFGH));
    daemon.signal(Signal::SIGHUP);
    manager.wait_for(&["RELOADING=1"]);
    let unknown = manager.wait_for(&["READY=1"]);
    assert!(unknown.contains("STATUS=0 of 1 profiles fresh"), "{unknown}");
    daemon.stop(Signal::SIGTERM);
}
