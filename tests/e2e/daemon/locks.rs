//! Others in the same directory: one-shot commands, a second daemon, and one that was killed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use fake_aws::{Action, Fault, Kind};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Daemon, NAME, SOON, has_published, key, let_pass, record, wait_until};
use crate::host::{as_nobody, has_program, has_root, open_to_others};
use crate::observe::timed;
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// When the credentials that are published are due.
fn due(world: &World) -> String {
    let record: serde_json::Value = serde_json::from_str(&record(world, NAME)).unwrap();
    record["published"]["due"].as_str().unwrap().to_owned()
}

#[test]
fn a_one_shot_beside_a_daemon_waits_for_its_batch_and_reuses_it() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().delay(Duration::from_secs(1));
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "the daemon's request", || world.fake.counts().requests(Kind::AssumeRole) > 0);
    world.run(&["refresh"]).assert_silent_success();
    assert!(has_published(&world, NAME));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), 1);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn after_a_forced_one_shot_the_daemon_asks_again_when_the_new_set_is_due() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(Duration::from_secs(10)));
    let mut daemon = Daemon::publishing(&world);
    world.fake.sts().session_lifetime(None);
    let first_due = due(&world);
    world.run(&["refresh", "--force"]).assert_silent_success();
    let forced = key(&world, NAME);
    assert_eq!(world.assumptions().len(), 2, "its own call");
    assert_ne!(due(&world), first_due);
    // Past the instant at which the daemon's own set was due, and would have expired.
    let_pass(Duration::from_secs(11));
    assert_eq!((world.assumptions().len(), key(&world, NAME)), (2, forced));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_second_daemon_ends_with_a_clear_message_even_during_a_batch_of_the_first() {
    for hangs in [false, true] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        if hangs {
            world.fake.sts().fail(Fault::new(Action::Hang));
        }
        let mut first = Daemon::start(&world);
        wait_until(SOON, "the request", || world.fake.counts().requests(Kind::AssumeRole) > 0);
        let (run, time) = timed(|| world.run(&["run"]));
        assert!(time < Duration::from_secs(10), "{time:?}");
        let lock = world.out().join("state/daemon.lock");
        run.assert_failure(73, &[lock.to_str().unwrap(), "another rolekeeper"]);
        first.stop(Signal::SIGTERM);
    }
}

#[test]
fn a_successor_starts_when_its_predecessor_ends_within_moments() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let mut first = Daemon::publishing(&world);
    let mut second = Daemon::start(&world);
    let_pass(Duration::from_secs(1));
    first.stop(Signal::SIGTERM);
    second.wait_for_log("keeping 1 profiles");
    second.stop(Signal::SIGTERM);
    assert_eq!(world.assumptions().len(), 1, "what the first has published is kept");
}

#[test]
fn after_a_daemon_was_killed_the_next_one_starts_at_once() {
    for hangs in [false, true] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        if hangs {
            world.fake.sts().fail(Fault::new(Action::Hang));
        }
        let mut killed = Daemon::start(&world);
        wait_until(SOON, "the request", || world.fake.counts().requests(Kind::AssumeRole) > 0);
        killed.signal(Signal::SIGKILL);
        killed.end(SOON);
        world.fake.sts().heal();
        let (mut next, time) = timed(|| {
            let next = Daemon::start(&world);
            next.wait_for_log("keeping 1 profiles");
            next
        });
        assert!(time < Duration::from_secs(3), "{time:?}");
        wait_until(SOON, "credentials", || has_published(&world, NAME));
        next.stop(Signal::SIGTERM);
    }
}

#[test]
fn a_stranger_who_locks_whatever_he_can_open_holds_nobody_up() {
    if !(has_root() && has_program("setpriv") && has_program("flock")) {
        return;
    }
    let hook = "rolekeeper_on_rotate = /bin/true\n";
    let given = "rolekeeper_owner = 65534\nrolekeeper_mode = 0644\n";
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{given}{hook}"));
    open_to_others(&world);
    world.run(&["refresh"]).assert_silent_success();
    // Every name below the output directory, though he could not list them.
    let listed = Command::new("find").arg(world.out()).output().unwrap();
    let lock = "for path; do flock --exclusive --nonblock \"$path\" sleep 60 2>/dev/null & done; wait";
    let mut stranger = Command::new("sh");
    stranger.args(["-c", lock, "sh"]);
    stranger.args(String::from_utf8(listed.stdout).unwrap().lines());
    let mut stranger = as_nobody(&stranger).process_group(0).spawn().unwrap();
    let json = world.out().join("profiles").join(NAME).join("credentials.json");
    let is_locked = || fs::File::open(&json).unwrap().try_lock().is_err();
    wait_until(SOON, "his locks", is_locked);
    let (run, time) = timed(|| world.run(&["refresh", "--force"]));
    run.assert_silent_success();
    assert!(time < SOON, "{time:?}");
    let mut daemon = Daemon::start(&world);
    daemon.wait_for_log("keeping 1 profiles");
    daemon.stop(Signal::SIGTERM);
    assert!(world.status(NAME).get("hook").is_none(), "the hook has run");
    killpg(Pid::from_raw(stranger.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
    stranger.wait().unwrap();
}
