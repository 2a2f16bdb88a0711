//! What follows a rotation: `rolekeeper_on_rotate`, when it runs, with what, and what a bad one can do.

mod end;
mod output;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fake_aws::Kind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::host::{has_program, has_root, quoted};
use crate::observe::{INSTANCE, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

const NAME: &str = "instancecrossaccount";

/// A world whose profile runs the shell script `script` after each rotation, in which `DIR` is the world's directory.
fn hooked(script: &str, further: &str) -> World {
    let world = World::new("");
    let file = world.directory.join("hook");
    let line = format!("rolekeeper_on_rotate = {} 'two words' \"\"\n{further}\n", quoted(&file));
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}{line}"));
    change(&world, script);
    world
}

/// Gives the hook another script.
fn change(world: &World, script: &str) {
    let script = script.replace("DIR/", &format!("{}/", world.directory.display()));
    // Written by a process of its own: a file that this one wrote could be inherited, still open, by what another
    // test starts meanwhile, and could then not be executed.
    let text = world.write("hook.text", format!("#!/bin/sh\n{script}\n"));
    let hook = world.directory.join("hook");
    assert!(Command::new("cp").arg(&text).arg(&hook).status().unwrap().success());
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
}

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.directory.join(name)).unwrap_or_default()
}

fn is_alive(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.trim())).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// Waits until `condition` holds, for at most a quarter of a minute.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "whoever looks from outside can only look again")]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..300 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never happened: {what}");
}

const RECORD: &str = "echo $ROLEKEEPER_GENERATION >> DIR/ran";

#[test]
fn a_hook_is_told_what_was_published_and_nothing_else() {
    let world = hooked(
        "env > DIR/env.new; pwd >> DIR/env.new; for word; do echo \"<$word>\" >> DIR/env.new; done\n\
         cat >> DIR/env.new; cp $ROLEKEEPER_CREDENTIALS_JSON DIR/seen.json; mv DIR/env.new DIR/env",
        "",
    );
    let variables: [(&str, &std::ffi::OsStr); 5] = [
        ("AWS_REGION", "us-east-1".as_ref()),
        ("HOME", "/home/somebody".as_ref()),
        ("LD_LIBRARY_PATH", "/nowhere".as_ref()),
        ("AWS_SECRET_ACCESS_KEY", "a-key-of-the-agent".as_ref()),
        ("AWS_PROFILE", "another".as_ref()),
    ];
    world.run_with(&variables, &["refresh"]).assert_silent_success();
    let seen = read(&world, "env");
    let variables: BTreeMap<&str, &str> = seen.lines().filter_map(|line| line.split_once('=')).collect();
    let directory = world.out().join("profiles").join(NAME);
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let document: Value =
        serde_json::from_str(&world.published(&format!("profiles/{NAME}/credentials.json"))).unwrap();
    for (name, value) in [
        ("ROLEKEEPER_PROFILE", NAME.to_owned()),
        ("ROLEKEEPER_GENERATION", "1".to_owned()),
        ("ROLEKEEPER_DIRECTORY", directory.to_str().unwrap().to_owned()),
        ("ROLEKEEPER_OUTPUT_DIR", world.out().to_str().unwrap().to_owned()),
        ("ROLEKEEPER_CREDENTIALS_FILE", path("credentials")),
        ("ROLEKEEPER_CREDENTIALS_JSON", path("credentials.json")),
        ("ROLEKEEPER_ENV_FILE", path("env")),
        ("ROLEKEEPER_CONFIG_FILE", path("config")),
        ("ROLEKEEPER_CONFIG", world.directory.join("config").to_str().unwrap().to_owned()),
        ("ROLEKEEPER_EXPIRATION", document["Expiration"].as_str().unwrap().to_owned()),
        ("HOME", "/home/somebody".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ] {
        assert_eq!(variables.get(name), Some(&value.as_str()), "{name}");
    }
    assert!(variables["PATH"].contains("/usr/bin"), "{seen}");
    for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "LD_LIBRARY_PATH"] {
        assert!(!variables.contains_key(name), "{name}");
    }
    assert!(!seen.contains("a-key-of-the-agent"));
    assert!(seen.ends_with("\n/\n<two words>\n<>\n"), "{seen}");
    assert_eq!(read(&world, "seen.json"), world.published(&format!("profiles/{NAME}/credentials.json")));
}

#[test]
fn a_hook_runs_once_for_each_rotation() {
    let world = hooked(RECORD, "");
    for _ in 0..2 {
        world.run(&["refresh"]).assert_silent_success();
    }
    assert_eq!(read(&world, "ran"), "1\n");
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(read(&world, "ran"), "1\n2\n");
    // A changed hook changes no credentials.
    world.fake.clear_log();
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_on_rotate = /bin/false\n"));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.fake.counts().all_requests(), 0);
}

#[test]
fn a_set_of_credentials_that_comes_again_is_no_rotation() {
    let world = World::new("");
    let hook = |code: u8| {
        let ran = world.directory.join("ran");
        let script = format!("echo $ROLEKEEPER_GENERATION >> {}; exit {code}", ran.display());
        world.write("config", format!("{INSTANCE}rolekeeper_on_rotate = /bin/sh -c '{script}'\n"));
    };
    hook(1);
    world.run(&["refresh"]).assert_failure(0, &["attempt 1", "exit code 1"]);
    world.run(&["refresh", "--force"]).assert_failure(0, &["attempt 2", "exit code 1"]);
    hook(0);
    for _ in 0..3 {
        world.run(&["refresh", "--force"]).assert_silent_success();
    }
    assert_eq!(read(&world, "ran"), "1\n1\n1\n", "until it succeeded, and not again");
    world.fake.imds().rotate();
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(read(&world, "ran"), "1\n1\n1\n2\n");
    // While IMDS cannot renew them, the same ones are published again and again, as valid for a little longer.
    world.fake.imds().show_expiration(Some("2026-01-01T00:00:00Z"));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert!(world.status("instance")["extended"].is_string());
    assert_eq!(read(&world, "ran"), "1\n1\n1\n2\n");
}

#[test]
fn credentials_that_print_obtained_are_followed_by_the_hook_too() {
    let world = hooked(RECORD, "");
    let run = world.run(&["print", NAME]);
    assert_eq!((run.code, run.stderr.as_str(), read(&world, "ran").as_str()), (0, "", "1\n"));
    assert_eq!(run.stdout, world.published(&format!("profiles/{NAME}/credentials.json")));
}

#[test]
fn a_failing_hook_undoes_nothing_and_is_tried_again() {
    let world = hooked(&format!("{RECORD}; exit 7"), "");
    for attempt in 1..=3 {
        let run = world.run(&["refresh"]);
        run.assert_failure(0, &[NAME, "hook", &format!("attempt {attempt}"), "exit code 7"]);
        let status = world.status(NAME);
        assert_eq!(status["hook"]["failed_attempts"], attempt);
        assert_eq!(status["hook"]["last_error"], "exit code 7");
        assert_eq!(status["state"], "fresh");
        assert!(world.run(&["status"]).stdout.contains(&format!("failed {attempt} times: exit code 7")));
    }
    assert_eq!(read(&world, "ran"), "1\n1\n1\n");
    assert_eq!(world.fake.counts().requests(Kind::AssumeRole), 1);
    change(&world, RECORD);
    world.run(&["refresh"]).assert_silent_success();
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&world, "ran"), "1\n1\n1\n1\n");
    assert!(world.status(NAME).get("hook").is_none());
}

#[test]
fn a_hook_that_cannot_be_started_is_a_failing_one() {
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_on_rotate = /no/such/program\n"));
    let run = world.run(&["refresh", "-v"]);
    run.assert_failure(
        0,
        &["exit code 127", "hook: rolekeeper: cannot run `/no/such/program`: No such file"],
    );
    world
        .write("config", format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_on_rotate = /bin/sh -c 'kill -9 $$'\n"));
    world.run(&["refresh"]).assert_failure(0, &["ended by signal 9", "attempt 2"]);
}

#[test]
fn root_runs_no_hook_that_another_user_could_replace() {
    if !has_root() {
        return;
    }
    let world = hooked(RECORD, "");
    let hook = world.directory.join("hook");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&hook, 0o720);
    let run = world.run(&["refresh"]);
    run.assert_failure(0, &["root does not run it", "/hook` has mode 0720", "chmod go-w"]);
    assert_eq!(read(&world, "ran"), "");
    assert!(!world.is_unpublished(NAME), "the credentials are none of the hook's business");
    mode(&hook, 0o700);
    mode(&world.directory, 0o777);
    // The configuration lies there too, and goes with its directory.
    let elsewhere = World::new(&fs::read_to_string(world.directory.join("config")).unwrap());
    elsewhere.run(&["refresh"]).assert_failure(0, &["root does not run it", "has mode 0777"]);
    // A name is held against the directory of `PATH` that it is found in.
    let config = format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_on_rotate = hook\n");
    elsewhere.write("config", config);
    let path = format!("/nowhere:{}:/usr/bin:/bin", world.directory.display());
    let searching = [("PATH", std::ffi::OsStr::new(&path))];
    elsewhere.run_with(&searching, &["refresh"]).assert_failure(0, &["has mode 0777"]);
    assert_eq!(read(&world, "ran"), "");
    mode(&world.directory, 0o700);
    elsewhere.run_with(&searching, &["refresh"]).assert_silent_success();
    assert_eq!(read(&world, "ran"), "2\n".replace('2', &generation(&elsewhere)));
}

/// The generation of what is published.
fn generation(world: &World) -> String {
    world.status(NAME)["generation"].to_string()
}

#[test]
fn a_hook_may_call_the_agent() {
    let program = quoted(env!("CARGO_BIN_EXE_rolekeeper"));
    let world = hooked(
        &format!(
            "set -e; {program} print --output-dir $ROLEKEEPER_OUTPUT_DIR $ROLEKEEPER_PROFILE > DIR/printed\n\
             {program} status --output-dir $ROLEKEEPER_OUTPUT_DIR > DIR/status\n\
             {program} refresh --output-dir $ROLEKEEPER_OUTPUT_DIR; {RECORD}"
        ),
        "",
    );
    let (run, time) = timed(|| world.run(&["refresh"]));
    run.assert_silent_success();
    assert!(time < Duration::from_secs(30), "{time:?}");
    assert_eq!(read(&world, "ran"), "1\n");
    assert_eq!(read(&world, "printed"), world.published(&format!("profiles/{NAME}/credentials.json")));
    assert!(read(&world, "status").contains(NAME));
}

#[test]
fn two_at_once_run_a_hook_one_after_the_other() {
    let world = hooked(
        "mkdir DIR/busy || echo twice >> DIR/twice; sleep 0.3; rmdir DIR/busy; echo $ROLEKEEPER_GENERATION >> DIR/ran",
        "",
    );
    let start = |_| world.command(&["refresh", "--force"]).stderr(Stdio::null()).spawn().unwrap();
    let children: Vec<Child> = (0..4).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(read(&world, "twice"), "");
    // What was overtaken needs no run of its own, but the last set of credentials has had one.
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&world, "ran").lines().last(), Some("4"));
    assert!(world.status(NAME).get("hook").is_none());
}

/// Runs a forced refresh that is killed at its `count`th call of `call`; whether it came that far.
fn is_killed_at(world: &World, call: &str, count: usize) -> bool {
    let described = world.command(&["refresh", "--force"]);
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=KILL:when={count}")]);
    command.arg(described.get_program()).args(described.get_args()).env_clear();
    for (name, value) in described.get_envs() {
        command.env(name, value.unwrap());
    }
    let status = command.stderr(Stdio::null()).status().unwrap();
    status.signal() == Some(9) || status.code() == Some(137)
}

#[test]
fn a_crash_anywhere_loses_no_hook() {
    if !has_program("strace") {
        return;
    }
    // Of files that were given away nobody knows by their content whether they are new.
    for further in ["", "rolekeeper_owner = 65534"] {
        if !(further.is_empty() || has_root()) {
            continue;
        }
        let world = hooked("sed -n 's/AWS_ACCESS_KEY_ID=//p' $ROLEKEEPER_ENV_FILE >> DIR/ran", further);
        world.run(&["refresh"]).assert_silent_success();
        let mut crashes = 0;
        for call in ["renameat", "fsync"] {
            for count in 1..=40 {
                if !is_killed_at(&world, call, count) {
                    assert!(count > 3, "`{call}` was never killed");
                    break;
                }
                crashes += 1;
                world.run(&["refresh"]).assert_silent_success();
                let published = world.document(NAME)["AccessKeyId"].as_str().map(str::to_owned);
                let last = read(&world, "ran").lines().last().map(str::to_owned);
                assert_eq!(last, published, "killed at {call} {count} {further}");
                let status = world.status(NAME);
                assert_eq!(
                    status["access_key_id"].as_str(),
                    published.as_deref(),
                    "{call} {count} {further}"
                );
            }
        }
        assert!(crashes > 10, "{crashes} crashes");
    }
}

/// The daemon, ended at the end.
struct Daemon(Child);

impl Daemon {
    fn start(world: &World, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        Self(world.command(&["run"]).stderr(log).spawn().unwrap())
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_daemon_runs_hooks_beside_its_work_and_tries_them_again() {
    let world = hooked(
        "grep '^Sig' /proc/self/status > DIR/signals; if [ ! -e DIR/again ]; then touch DIR/again; exit 3; fi\n\
         echo $$ > DIR/self; exec sleep 60",
        "",
    );
    let log: PathBuf = world.directory.join("log");
    let mut daemon = Daemon::start(&world, &log);
    eventually("the first failure", || read(&world, "log").contains("exit code 3"));
    eventually("the second attempt", || !read(&world, "self").is_empty());
    let signals = read(&world, "signals");
    assert!(signals.contains("SigBlk:\t0000000000000000"), "{signals}");
    // The batch of another process is not held up, and neither is the end.
    let (run, time) = timed(|| world.run(&["refresh"]));
    run.assert_silent_success();
    assert!(time < Duration::from_secs(10), "{time:?}");
    kill(daemon.process(), Signal::SIGTERM).unwrap();
    let (status, time) = timed(|| daemon.0.wait().unwrap());
    assert!(status.success() && time < Duration::from_secs(5), "{status:?} {time:?}");
    // What was under way ends, and runs again: it has not succeeded.
    eventually("the end of the hook", || !is_alive(&read(&world, "self")));
    change(&world, RECORD);
    let _next = Daemon::start(&world, &log);
    eventually("the hook at the next start", || read(&world, "ran") == "1\n");
}

#[test]
fn a_hook_is_found_by_its_name() {
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_on_rotate = echo $HOME * ~\n"));
    let run = world.run(&["refresh", "-v"]);
    assert!(run.stderr.contains("hook: $HOME * ~\n"), "no shell takes part: {run:?}");
    let path: OsString = world.directory.clone().into();
    let run = world.run_with(&[("PATH", &path)], &["refresh", "-v", "--force"]);
    run.assert_failure(0, &["cannot run `echo`"]);
}
