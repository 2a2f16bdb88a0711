//! Signals that end the daemon: at any moment, at once, and without loss.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use fake_aws::{Action, Fault, Kind};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{Daemon, SOON, let_pass, report, wait_until};
use crate::host::{has, has_mounts, has_root, plant, quoted};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn sigterm_and_sigint_end_an_idle_daemon() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        let mut daemon = Daemon::publishing(&world);
        let_pass(Duration::from_millis(200));
        let before = world.snapshot();
        let time = daemon.stop(signal);
        report(&format!("figure: {signal} ends an idle daemon within {} ms", time.as_millis()));
        assert_eq!(world.snapshot(), before, "the files survive it");
    }
}

#[test]
fn they_end_it_in_the_middle_of_a_request() {
    for kind in [Kind::Token, Kind::ExtendedDocument, Kind::AssumeRole] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        world.fake.imds().fail(Fault::new(Action::Hang).on(kind));
        world.fake.sts().fail(Fault::new(Action::Hang).on(kind));
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            world.fake.clear_log();
            let mut daemon = Daemon::start(&world);
            wait_until(SOON, "the request", || world.fake.counts().requests(kind) > 0);
            let time = daemon.stop(signal);
            report(&format!("figure: {signal} during {kind:?} ends it within {} ms", time.as_millis()));
        }
    }
}

#[test]
fn they_end_it_during_a_name_lookup_that_hangs() {
    if !has_mounts() {
        return;
    }
    let [.., high, low] = std::process::id().to_be_bytes();
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}region = us-east-1\n"));
    for (signal, net) in [(Signal::SIGTERM, 79), (Signal::SIGINT, 80)] {
        // A name server that reads and never answers, at an address of its own: what the daemon before has asked in its
        // last moments is not taken for the question of this one.
        let address = Ipv4Addr::new(127, net, high, low);
        let silent = UdpSocket::bind((address, 53)).unwrap();
        silent.set_read_timeout(Some(SOON)).unwrap();
        let servers = quoted(world.write("resolv.conf", format!("nameserver {address}\n")));
        let described = world.command(&["run"]);
        let mut command = Command::new("unshare");
        let script = format!("mount --bind {servers} /etc/resolv.conf && exec \"$@\"");
        command.args(["--mount", "/bin/sh", "-c", &script, "sh"]);
        command.arg(described.get_program()).args(described.get_args());
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        let own_endpoint = |name: &OsStr| name == "AWS_ENDPOINT_URL_STS";
        let variables = described.get_envs().filter(|(name, _)| !own_endpoint(name));
        command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        let mut daemon = Daemon::of(&world, &mut command);
        let (length, _) = silent.recv_from(&mut [0; 512]).expect("a query");
        assert!(length > 0);
        let time = daemon.stop(signal);
        report(&format!("figure: {signal} during a lookup ends it within {} ms", time.as_millis()));
    }
}

#[test]
fn they_end_it_while_it_waits_for_another_batch() {
    for reloads in [false, true] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        world.run(&["refresh"]).assert_silent_success();
        let lock = fs::File::open(world.out().join("state/batch.lock")).unwrap();
        if !reloads {
            lock.lock().unwrap();
        }
        let mut daemon = Daemon::start(&world);
        if reloads {
            daemon.wait_for_log("keeping 1 profiles");
            lock.lock().unwrap();
            daemon.signal(Signal::SIGHUP);
        }
        let_pass(Duration::from_millis(500));
        daemon.stop(Signal::SIGTERM);
    }
}

const UNSHARE: [&str; 5] = ["--kill-child", "--fork", "--pid", "--mount-proc", "--"];

fn has_pid_namespaces() -> bool {
    let tried = || Command::new("unshare").args(UNSHARE).arg("true").output();
    has_root() && has("PID namespaces", tried().is_ok_and(|output| output.status.success()))
}

/// A daemon that is process 1 of a namespace of its own, and has asked STS for credentials.
fn first_process(world: &World) -> Daemon {
    let described = world.command(&["run"]);
    let mut command = Command::new("unshare");
    command.args(UNSHARE).arg(described.get_program()).args(described.get_args()).env_clear();
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(world, &mut command);
    wait_until(SOON, "the request", || world.fake.counts().requests(Kind::AssumeRole) > 0);
    daemon.pid = children(daemon.pid)[0];
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap();
    let nested = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    assert!(nested.ends_with("\t1"), "it is process 1: {nested}");
    daemon
}

/// The processes whose parent is the main thread of `process`.
fn children(process: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    children.split_whitespace().map(|child| Pid::from_raw(child.parse().unwrap())).collect()
}

#[test]
fn they_end_it_as_the_first_process_of_a_namespace() {
    if !has_pid_namespaces() {
        return;
    }
    for hangs in [false, true] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        if hangs {
            world.fake.sts().fail(Fault::new(Action::Hang).on(Kind::AssumeRole));
        }
        let mut daemon = first_process(&world);
        let signal = if hangs { Signal::SIGINT } else { Signal::SIGTERM };
        let time = daemon.stop(signal);
        report(&format!("figure: {signal} ends process 1 within {} ms", time.as_millis()));
    }
}

#[test]
fn as_the_first_process_it_collects_what_hooks_leave_behind() {
    if !has_pid_namespaces() {
        return;
    }
    let world = World::new("");
    // Each hook leaves two processes in the background that nobody waits for, and that end at once or after it.
    let hook = format!("/bin/sh -c 'sleep 0.3 & sleep 0 & echo >> {}/ran'", world.directory.display());
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_on_rotate = {hook}\n"));
    world.fake.sts().session_lifetime(Some(Duration::from_secs(4)));
    let mut daemon = first_process(&world);
    let rounds = || fs::read_to_string(world.directory.join("ran")).unwrap_or_default().len();
    wait_until(Duration::from_secs(60), "rotations", || rounds() >= 6);
    let left = children(daemon.pid);
    assert!(left.len() <= 5, "after {} hooks there are {left:?}", rounds());
    assert!(!daemon.log().contains("hook has failed"), "{}", daemon.log());
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn what_a_crash_left_is_swept_at_the_start_though_nothing_is_due() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let clean = world.snapshot().len();
    for directory in ["", "state", "profiles/instancecrossaccount"] {
        plant(&world.out().join(directory).join(".credentials.rolekeeper-tmp"), b"half a secret");
    }
    plant(&world.out().join("state/daemon.lock"), b"");
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "the sweep", || world.snapshot().len() == clean + 1);
    daemon.stop(Signal::SIGTERM);
}
