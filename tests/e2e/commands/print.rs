//! `print`: the answer in each form, from the file where that will do, and for users who may only read.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_aws::{Action, Fault};

use super::{NAME, assumed, make_due, publish_by_hand};
use crate::daemon::wait_until;
use crate::host::{as_nobody, has_program, has_root, open_to_others, set_mode};
use crate::observe::timed;
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const EXPIRED: &str = "{\"Version\":1,\"AccessKeyId\":\"ASIAX\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\
     \"Expiration\":\"2020-01-01T00:00:00Z\"}\n";

#[test]
fn each_form_is_that_of_the_published_file() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let first = world.run(&["print", NAME]);
    assert_eq!((first.code, first.stderr.as_str()), (0, ""));
    let published = |file: &str| world.published(&format!("profiles/{NAME}/{file}"));
    assert_eq!(first.stdout, published("credentials.json"));
    for (format, file) in [("json", "credentials.json"), ("env", "env"), ("ini", "credentials")] {
        let run = world.run(&["print", "--format", format, NAME]);
        assert_eq!((run.code, run.stdout, run.stderr.as_str()), (0, published(file), ""), "{format}");
    }
    let exported = world.run(&["print", NAME, "--format=export"]).stdout;
    let script = format!("{exported}env -u PWD -u SHLVL -u _ -u OLDPWD env | sort");
    let shell =
        Run::of(Command::new("/bin/sh").args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin"));
    let mut expected: Vec<String> = published("env").lines().map(str::to_owned).collect();
    expected.push("PATH=/usr/bin:/bin".to_owned());
    expected.sort();
    let mut found: Vec<&str> = shell.stdout.lines().collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(assumed(&world), 1, "all of these are one session");
}

#[test]
fn the_profile_may_come_from_the_environment_and_has_to_come_from_somewhere() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let run = world.run_with(&[("AWS_PROFILE", NAME.as_ref())], &["print"]);
    assert_eq!(run.code, 0, "{run:?}");
    world.run(&["print"]).assert_failure(64, &["no profile is named", NAME, "AWS_PROFILE"]);
    let unknown = world.run(&["print", "nobody-knows"]);
    assert_eq!(unknown.stdout, "");
    unknown.assert_failure(78, &["nobody-knows"]);
}

#[test]
fn a_fresh_answer_takes_no_request_no_lock_and_no_write() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let lock = File::open(world.out().join("state/batch.lock")).unwrap();
    lock.lock().unwrap();
    world.fake.clear_log();
    let before = world.snapshot();
    let run = world.run(&["print", NAME]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(world.fake.counts().all_requests(), 0);
    assert_eq!(world.snapshot(), before);
}

#[test]
fn what_is_due_is_refreshed_and_what_cannot_be_is_still_printed_while_valid() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let first = world.run(&["print", NAME]).stdout;
    make_due(&world);
    world.fake.sts().fail(Fault::new(Action::error(403, "AccessDenied")));
    let kept = world.run(&["print", NAME]);
    assert_eq!((kept.code, kept.stdout.as_str(), kept.stderr.as_str()), (0, first.as_str(), ""));
    world.fake.sts().heal();
    let second = world.run(&["print", NAME]);
    assert_eq!(second.code, 0);
    assert_ne!(second.stdout, first);
}

#[test]
fn a_batch_that_takes_its_time_is_not_waited_for_while_there_is_something_valid() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let first = world.run(&["print", NAME]).stdout;
    make_due(&world);
    let lock = File::open(world.out().join("state/batch.lock")).unwrap();
    lock.lock().unwrap();
    let (run, time) = timed(|| world.run(&["print", NAME]));
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, first.as_str(), ""));
    assert!(time < Duration::from_secs(10), "{time:?}");
    assert_eq!(assumed(&world), 1, "what the batch is busy with is left to it");
    // Short of another batch's end there is nothing to print for somebody who has nothing.
    fs::remove_file(world.out().join(format!("state/{NAME}.json"))).unwrap();
    let waits = world.command(&["print", NAME]).stdout(Stdio::piped()).spawn().unwrap();
    wait_until(Duration::from_secs(15), "another one at the lock", || {
        fs::read_dir(format!("/proc/{}/fd", waits.id())).is_ok_and(|open| {
            open.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to.ends_with("batch.lock")))
        })
    });
    lock.unlock().unwrap();
    let output = waits.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout != first.as_bytes(), "{output:?}");
    assert_eq!(assumed(&world), 2);
}

#[test]
fn without_credentials_there_is_no_answer_but_an_error() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().fail(Fault::new(Action::error(403, "AccessDenied")));
    let run = world.run(&["print", NAME]);
    assert_eq!(run.stdout, "");
    run.assert_failure(77, &["AccessDenied", NAME]);
}

/// `print` by a user who has nothing but the right to read: no configuration, no endpoint, no home.
fn read_only(world: &World, arguments: &[&str]) -> Run {
    let program = open_to_others(world);
    let mut command = Command::new(program);
    command.arg("print").args(arguments).arg("--output-dir").arg(world.out());
    Run::of(&mut as_nobody(&command))
}

#[test]
fn a_reader_needs_no_configuration_and_no_network() {
    if !(has_root() && has_program("setpriv")) {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0644\n"));
    world.run(&["refresh"]).assert_silent_success();
    world.fake.clear_log();
    let run = read_only(&world, &[NAME]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout, world.published(&format!("profiles/{NAME}/credentials.json")));
    let run = read_only(&world, &[NAME, "--format", "env"]);
    assert_eq!(run.stdout, world.published(&format!("profiles/{NAME}/env")));
    assert_eq!(world.fake.counts().all_requests(), 0);
}

#[test]
fn a_reader_that_an_sdk_starts_is_not_confused_by_what_the_sdk_was_told() {
    if !(has_root() && has_program("setpriv")) {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0644\n"));
    let program = open_to_others(&world);
    world.run(&["refresh"]).assert_silent_success();
    let mut command = Command::new(program);
    command.args(["print", "--output-dir"]).arg(world.out()).args(["--", NAME]);
    command.env("AWS_CONFIG_FILE", world.out().join("config")).env("HOME", &world.directory);
    command.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").env("AWS_PROFILE", "other");
    let run = Run::of(&mut as_nobody(&command));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout, world.published(&format!("profiles/{NAME}/credentials.json")));
}

#[test]
fn a_reader_is_told_what_is_wrong_with_what_is_there() {
    if !(has_root() && has_program("setpriv")) {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0644\n"));
    world.run(&["refresh"]).assert_silent_success();
    for (document, complaint) in [
        (EXPIRED, "expired at 2020-01-01T00:00:00Z, and this user cannot refresh it"),
        ("", "is damaged"),
        ("{\"Version\":1}", "is damaged"),
        ("not json", "is damaged"),
    ] {
        publish_by_hand(&world, NAME, document);
        let run = read_only(&world, &[NAME]);
        assert_eq!(run.stdout, "", "{document}");
        run.assert_failure(69, &[NAME, "credentials.json", complaint]);
    }
    set_mode(&world.out().join(format!("profiles/{NAME}/credentials.json")), 0o600);
    let run = read_only(&world, &[NAME]);
    assert_eq!(run.stdout, "");
    run.assert_failure(69, &[NAME, "cannot be read", "ermission denied"]);
}

#[test]
fn a_configuration_that_became_unreadable_does_not_stop_a_reader() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let document = world.published(&format!("profiles/{NAME}/credentials.json"));
    fs::remove_file(world.directory.join("config")).unwrap();
    assert_eq!(world.run(&["print", NAME]).stdout, document);
    world.write("config", "[profile x\nbroken");
    assert_eq!(world.run(&["print", NAME]).stdout, document);
}
