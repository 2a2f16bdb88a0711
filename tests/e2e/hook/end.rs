//! How a hook ends that does not end by itself, and what becomes of the processes that it started.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{NAME, eventually, hooked, is_alive, read};
use crate::observe::timed;

#[test]
fn a_hanging_hook_is_ended_with_all_its_processes() {
    let world = hooked(
        "trap '' TERM\n(trap '' TERM; while :; do sleep 1; done) & echo $! > DIR/child\n\
         echo $$ > DIR/self; while :; do sleep 1; done",
        "rolekeeper_on_rotate_timeout_seconds = 1",
    );
    let (run, time) = timed(|| world.run(&["refresh"]));
    run.assert_failure(0, &["not done after 1 seconds"]);
    assert!(time > Duration::from_secs(2) && time < Duration::from_secs(10), "{time:?}");
    for name in ["self", "child"] {
        eventually("the end of the hook", || !is_alive(&read(&world, name)));
    }
    assert_eq!(world.status(NAME)["hook"]["failed_attempts"], 1);
}

#[test]
fn a_hanging_hook_may_tidy_up() {
    let world = hooked(
        "trap 'echo asked > DIR/asked; exit 0' TERM\nwhile :; do sleep 0.1; done",
        "rolekeeper_on_rotate_timeout_seconds = 1",
    );
    let (run, time) = timed(|| world.run(&["refresh"]));
    run.assert_failure(0, &["not done after 1 seconds"]);
    assert_eq!(read(&world, "asked"), "asked\n");
    assert!(time < Duration::from_secs(3), "{time:?}");
}

#[test]
fn what_does_not_listen_ends_with_a_hook_that_does() {
    let world = hooked(
        "(trap '' TERM; while :; do sleep 1; done) >/dev/null 2>&1 & echo $! > DIR/child\n\
         trap 'exit 0' TERM; while :; do sleep 0.1; done",
        "rolekeeper_on_rotate_timeout_seconds = 1",
    );
    world.run(&["refresh"]).assert_failure(0, &["not done after 1 seconds"]);
    eventually("the end of the child", || !is_alive(&read(&world, "child")));
}

#[test]
fn a_process_left_in_the_background_is_not_waited_for() {
    let world = hooked("sleep 60 & echo $! > DIR/child; echo started", "");
    let (run, time) = timed(|| world.run(&["refresh", "-v"]));
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("hook: started\n") && run.stderr.contains("the hook is done"), "{run:?}");
    assert!(time < Duration::from_secs(20), "{time:?}");
    let child = read(&world, "child");
    assert!(is_alive(&child));
    kill(Pid::from_raw(child.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}

/// Runs a refresh until its hook has said so, kills it, and gives how long the hook and its child outlive it.
fn outlives(script: &str) -> Duration {
    let world = hooked(script, "");
    let mut refresh = world.command(&["refresh"]).spawn().unwrap();
    eventually("the hook", || read(&world, "child").ends_with('\n') && read(&world, "self").ends_with('\n'));
    refresh.kill().unwrap();
    refresh.wait().unwrap();
    let gone = |name| eventually("the end of the hook", || !is_alive(&read(&world, name)));
    let ((), time) = timed(|| ["self", "child"].map(gone).into_iter().collect());
    assert_eq!(read(&world, "asked"), "asked\n", "{script}");
    time
}

#[test]
fn a_hook_ends_with_the_agent_and_may_tidy_up() {
    // Nobody reads what it writes any more.
    let asked = "exec >/dev/null 2>&1; trap 'echo asked >> DIR/asked; exit 0' TERM";
    let waits = "echo $$ > DIR/self; while :; do sleep 0.1; done";
    let polite = outlives(&format!("{asked}\nsleep 60 & echo $! > DIR/child\n{waits}"));
    assert!(polite < Duration::from_secs(2), "{polite:?}");
    // Its child, which does not listen, ends with it.
    let deaf = "(trap '' TERM; while :; do sleep 1; done) & echo $! > DIR/child";
    let half = outlives(&format!("{asked}\n{deaf}\n{waits}"));
    assert!(half < Duration::from_secs(2), "{half:?}");
    let stubborn =
        outlives(&format!("exec >/dev/null 2>&1; trap 'echo asked > DIR/asked' TERM\n{deaf}\n{waits}"));
    assert!(stubborn > Duration::from_secs(1) && stubborn < Duration::from_secs(6), "{stubborn:?}");
}

#[test]
fn what_a_hook_sends_to_its_group_does_not_end_it() {
    let world = hooked("trap '' USR1 ALRM\nkill -USR1 0; kill -ALRM 0; sleep 0.3; echo done > DIR/done", "");
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&world, "done"), "done\n");
}
