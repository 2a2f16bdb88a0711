//! `credential_process`: what it is given, what it may print, and what it cannot do to the agent.

use std::time::Duration;

use fake_aws::scenario::{self, PRODUCTION};

use crate::observe::{at_once, timed};
use crate::support::{Run, World};

const GOOD: &str = r#"{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"hidden-secret","SessionToken":"hidden-session","Expiration":"2099-01-31T12:00:00Z","Unknown":{"a":[1]}}"#;

/// A world whose profile `a` publishes what the shell script prints.
fn printing(script: &str, further: &str) -> World {
    let world = World::new("");
    let command = world.script("helper", script);
    world.write(
        "config",
        format!("[profile a]\ncredential_process = {command} 'two words' \"\" $HOME\nrolekeeper_publish = true\n{further}"),
    );
    world
}

fn refresh(world: &World) -> Run {
    let run =
        world.run_in(&[("PATH", "/usr/bin:/bin"), ("HOME", "/nowhere")], &["refresh", "--force", "-vv"]);
    assert!(!run.stderr.contains("hidden-"), "a secret in the log: {run:?}");
    run
}

#[test]
fn what_it_prints_is_published_and_never_shown() {
    let script = format!(
        "printf '%s|' \"$@\" \"$HOME\" \"$ROLEKEEPER_CREDENTIAL_PROCESS\" >DIR/given\necho hidden-noise >&2\ncat <<'E'\n{GOOD}\nE"
    );
    let world = printing(&script, "aws_account_id = 111111111111\n");
    assert_eq!(refresh(&world).code, 0);
    let document = world.document("a");
    assert_eq!(
        (
            &document["AccessKeyId"],
            &document["SessionToken"],
            &document["Expiration"],
            &document["AccountId"]
        ),
        (
            &"AKIDEXAMPLE".into(),
            &"hidden-session".into(),
            &"2099-01-31T12:00:00Z".into(),
            &"111111111111".into()
        )
    );
    // Words as a shell splits them, and nothing that only a shell would do; the environment is ours.
    assert_eq!(world.text("given"), "two words||$HOME|/nowhere|a|");
    assert_eq!(world.status("a")["source"], "credential_process of profile a");
    world.assert_no_imds();
}

#[test]
fn long_term_keys_of_a_process_assume_roles() {
    let keys = scenario::alice();
    let world = printing(
        &format!(
            "echo '{{\"version\":1,\"accesskeyid\":\"{}\",\"SECRETACCESSKEY\":\"{}\",\"SessionToken\":null,\"Expiration\":null}}'; \
             echo run >>DIR/runs",
            keys.access_key_id, keys.secret_access_key
        ),
        &format!(
            "[profile b]\nrole_arn = {PRODUCTION}\nsource_profile = a\nregion = us-east-1\n\
             [profile c]\nrole_arn = {PRODUCTION}\nsource_profile = a\nregion = us-east-1\n"
        ),
    );
    assert_eq!(refresh(&world).code, 0);
    assert_eq!(world.assumptions()[0].caller.as_deref(), Some(scenario::ALICE));
    assert!(world.document("a").get("SessionToken").is_none());
    assert_eq!(world.text("runs").lines().count(), 1, "one run for all chains that start there");
}

#[test]
fn anything_else_is_an_error_and_what_was_published_stays() {
    let fine = printing("cat DIR/answer 2>/dev/null; exit $(cat DIR/code)", "");
    fine.write("answer", GOOD);
    fine.write("code", "0");
    assert_eq!(refresh(&fine).code, 0);
    let before = fine.document("a");
    for (answer, code, says) in [
        (GOOD.replace("\"Version\":1", "\"Version\":\"1\""), "0", "`Version` is not the number 1"),
        (GOOD.replace("\"Version\":1", "\"Version\":2"), "0", "`Version` is not the number 1"),
        (GOOD.replace("\"Version\":1,", ""), "0", "`Version` is not the number 1"),
        (GOOD.to_owned(), "1", "exit code 1"),
        (GOOD.to_owned(), "127", "write its path from `/` on"),
        (GOOD.replace("AccessKeyId", "Other"), "0", "no usable access key id"),
        (GOOD.replace("SecretAccessKey", "Other"), "0", "no usable secret access key"),
        (GOOD.replace("\"hidden-secret\"", "7"), "0", "no usable secret access key"),
        (GOOD.replace("hidden-session", "hidden session"), "0", "no usable session token"),
        (GOOD.replace("\"hidden-session\"", "[]"), "0", "no usable session token"),
        (GOOD.replace("2099-01-31T12:00:00Z", "soon"), "0", "no usable expiration"),
        (GOOD.replace("2099", "2020"), "0", "the credentials expired at 2020-01-31T12:00:00Z"),
        (format!("{GOOD}{GOOD}"), "0", "no JSON object"),
        (format!("hidden-banner\n{GOOD}"), "0", "no JSON object"),
        (format!("[{GOOD}]"), "0", "no JSON object"),
        (String::new(), "0", "no JSON object"),
    ] {
        fine.write("answer", &answer);
        fine.write("code", code);
        let run = refresh(&fine);
        let error = &fine.status("a")["last_error"];
        let shown = format!("{} {}", error["message"], error["advice"]);
        assert!(shown.contains(says), "{says}: {shown}");
        assert!(!shown.contains("hidden-") && run.code == 0, "{shown}: {run:?}");
        assert_eq!(fine.document("a"), before, "{says}");
    }
}

#[test]
fn a_command_that_cannot_be_run_says_so() {
    for (command, says) in [("/nowhere/helper", "exit code 127"), ("/etc/passwd", "exit code 126")] {
        let world =
            World::new(&format!("[profile a]\ncredential_process = {command}\nrolekeeper_publish = true\n"));
        refresh(&world)
            .assert_failure(75, &["`credential_process` of profile `a`", says, "without variables, pipes"]);
    }
}

/// A gigabyte is refused as soon as it is more than credentials can be, in little memory; one that never ends, in time.
#[test]
fn a_program_without_a_path_is_looked_for_in_the_usual_places() {
    let world = printing("false", "");
    world.write("document", GOOD);
    let config = format!(
        "[profile a]\ncredential_process = cat {}\nrolekeeper_publish = true\n",
        world.path("document").display()
    );
    world.write("config", config);
    let mut command = world.command(&["refresh"]);
    Run::of(command.env_remove("PATH")).assert_silent_success();
    assert_eq!(world.document("a")["AccessKeyId"], "AKIDEXAMPLE");
}

#[test]
fn neither_a_flood_nor_silence_harms_the_agent() {
    at_once(
        [
            ("head -c 1073741824 /dev/zero", 20, "more than credentials can be"),
            ("exec cat /dev/zero", 20, "more than credentials can be"),
            ("sleep 300 & echo $! >DIR/child; sleep 300", 75, "not done after 60 seconds"),
            ("trap '' TERM; sleep 300 & echo $! >DIR/child; wait", 75, "not done after 60 seconds"),
        ],
        |(script, most, says)| {
            let world = printing(script, "");
            let described = world.command(&["refresh"]);
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", "ulimit -v 200000; exec \"$@\"", "sh"]).arg(described.get_program());
            command.args(described.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
            command.envs(described.get_envs().map(|(name, value)| (name, value.unwrap())));
            let (run, took) = timed(|| Run::of(&mut command));
            run.assert_failure(75, &["`credential_process` of profile `a`", says]);
            assert!(took < Duration::from_secs(most), "{took:?}: {script}");
            assert!(world.is_unpublished("a"));
            let child = world.text("child");
            let left = std::fs::read_to_string(format!("/proc/{}/cmdline", child.trim())).unwrap_or_default();
            assert!(child.is_empty() || !left.contains("sleep"), "its child is still there");
        },
    );
}

#[test]
fn a_process_that_leads_back_to_rolekeeper_is_stopped_and_not_repeated() {
    let world =
        printing("echo run >>DIR/runs; exec PROGRAM print --config DIR/config --output-dir DIR/out a", "");
    let program = env!("CARGO_BIN_EXE_rolekeeper");
    let script = world.text("helper.text").replace("PROGRAM", program);
    world.script("helper", script.trim_start_matches("#!/bin/sh"));
    let (run, took) = timed(|| refresh(&world));
    run.assert_failure(75, &["`credential_process` of profile `a`", "exit code 78"]);
    assert_eq!(world.text("runs"), "run\n");
    assert!(took < Duration::from_secs(20), "{took:?}: nobody waits for a lock");
    for command in ["refresh", "run", "whoami", "print", "exec"] {
        let mut arguments = vec![command];
        arguments.extend(if matches!(command, "print" | "exec" | "whoami") { Some("a") } else { None });
        arguments.extend(if command == "exec" { vec!["--", "true"] } else { vec![] });
        let run = world.run_in(&[("ROLEKEEPER_CREDENTIAL_PROCESS", "a")], &arguments);
        run.assert_failure(78, &["the `credential_process` of profile `a` leads back to rolekeeper"]);
    }
}

/// What another rolekeeper has published may be a source: nothing is obtained for it.
#[test]
fn a_process_may_print_what_is_published() {
    let world = printing("cat DIR/answer", "");
    world.write("answer", GOOD);
    assert_eq!(refresh(&world).code, 0);
    let run = world.run_in(&[("ROLEKEEPER_CREDENTIAL_PROCESS", "b")], &["print", "a"]);
    assert_eq!((run.code, run.stdout.contains("hidden-session")), (0, true), "{run:?}");
}
