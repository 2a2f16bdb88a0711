//! A `credential_process` under way when those who wait for it end: nothing of it is left, whatever ended them.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Daemon, SOON, report, wait_until, workers};
use crate::observe::timed;
use crate::support::{Run, World};

/// Within it nothing is left, on a host that does nothing else.
const GONE: Duration = Duration::from_millis(200);
/// And on this one.
const SURELY_GONE: Duration = Duration::from_secs(1);

/// A world whose profile `a` comes from a process that hangs, with a child of its own that does as well, and neither
/// listens to SIGTERM.
fn hanging() -> World {
    let world = World::new("");
    let directory = world.directory.display();
    let script = world.write(
        "hang",
        format!("trap '' TERM INT\nsleep 300 &\necho $$ $! >{directory}/new\nmv {directory}/new {directory}/pids\nwait\n"),
    );
    let script = script.display();
    world.write(
        "config",
        format!("[profile a]\ncredential_process = /bin/sh {script}\nrolekeeper_publish = true\n"),
    );
    world
}

/// The two processes, once they are there.
fn processes(world: &World) -> Vec<Pid> {
    let file = world.directory.join("pids");
    wait_until(SOON, "the process", || file.exists());
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(file).unwrap();
    text.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

fn is_there(process: &Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

#[track_caller]
fn assert_gone(processes: &[Pid], since: &str) {
    assert_eq!(processes.len(), 2);
    let ((), time) = timed(|| {
        wait_until(SURELY_GONE, "the end of the process and its child", || !processes.iter().any(is_there));
    });
    let judged = if time > GONE { "late: this machine is busy" } else { "in time" };
    report(&format!("figure: {} ms after {since} nothing is left; {judged}", time.as_millis()));
}

#[test]
fn nothing_of_a_process_outlives_the_daemon() {
    let world = hanging();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let mut daemon = Daemon::start(&world);
        let processes = processes(&world);
        assert!(processes.iter().all(is_there));
        if signal == Signal::SIGKILL {
            daemon.signal(signal);
            daemon.end(SOON);
        } else {
            daemon.stop(signal);
        }
        assert_gone(&processes, &format!("{signal} to the daemon"));
        assert!(world.is_unpublished("a"));
    }
}

#[test]
fn nothing_of_a_process_outlives_the_worker() {
    let world = hanging();
    let mut daemon = Daemon::start(&world);
    let first = processes(&world);
    kill(workers(&daemon)[0], Signal::SIGKILL).unwrap();
    assert_gone(&first, "SIGKILL to the worker");
    // The daemon tries again.
    let second = processes(&world);
    daemon.stop(Signal::SIGTERM);
    assert_gone(&second, "the end of the daemon");
}

#[test]
fn nothing_of_a_process_outlives_a_command() {
    let world = hanging();
    for (signal, arguments) in [
        (Signal::SIGTERM, &["refresh"][..]),
        (Signal::SIGINT, &["print", "a"]),
        (Signal::SIGHUP, &["whoami", "a"]),
        (Signal::SIGKILL, &["exec", "a", "--", "true"]),
    ] {
        let mut child =
            world.command(arguments).env("AWS_REGION", "us-east-1").stderr(Stdio::null()).spawn().unwrap();
        let processes = processes(&world);
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        assert_gone(&processes, &format!("{signal} to `{}`", arguments[0]));
    }
}

/// Whoever stands between passes on how the command has ended, and what it is sent itself is the command's.
#[test]
fn how_a_process_ended_is_told() {
    for (script, says) in [
        ("exit 7", "exit code 7"),
        ("kill -9 $$", "ended by signal 9"),
        ("kill -15 $$", "ended by signal 15"),
        ("kill -10 $$", "ended by signal 10"),
        ("kill -TERM 0; sleep 1; exit 3", "ended by signal 15"),
        ("trap 'exit 4' TERM; kill -TERM 0; exit 5", "exit code 4"),
    ] {
        let config = format!(
            "[profile a]\ncredential_process = /bin/sh -c '{}'\nrolekeeper_publish = true\n",
            script.replace('\'', "'\\''")
        );
        let world = World::new(&config);
        world.run(&["refresh"]).assert_failure(75, &["`credential_process` of profile `a`", says]);
    }
}

/// What the agent says to itself is no way to anything else.
#[test]
fn a_guard_that_nobody_waits_for_starts_nothing() {
    let world = World::new("");
    let ran = world.directory.join("ran");
    for asker in ["1", "x", ""] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
        command.args(["guard-command", asker, "/bin/touch"]).arg(&ran).env_clear();
        let run = Run::of(&mut command);
        assert!(run.code != 0 && run.stderr.contains("`/bin/touch`"), "{run:?}");
    }
    assert!(!ran.exists());
}
