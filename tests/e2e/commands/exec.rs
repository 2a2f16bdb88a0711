//! `exec`: the environment of the command, to the variable, and the way it ends.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use fake_aws::{Action, Fault, scenario};

use super::{NAME, assumed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

/// Everything that some SDK believes more than what is handed over, set to something wrong.
const SHADOWING: [&str; 15] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ACCOUNT_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// The environment that the command of `arguments` sees, sorted.
fn seen(command: &mut Command) -> Vec<String> {
    let run = Run::of(command);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// What the world's own command has in its environment, but for [`SHADOWING`], and `more`.
fn expected(world: &World, more: &str) -> Vec<String> {
    let command = world.command(&[]);
    let inherited = command
        .get_envs()
        .map(|(name, value)| format!("{}={}", name.to_str().unwrap(), value.unwrap().to_str().unwrap()));
    let mut lines: Vec<String> = inherited.chain(more.lines().map(str::to_owned)).collect();
    lines.sort();
    lines
}

#[test]
fn the_command_sees_the_credentials_and_nothing_that_shadows_them() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let mut command = world.command(&["exec", NAME, "--", "/usr/bin/env"]);
    command.envs(SHADOWING.map(|name| (name, "shadow"))).env("OTHER", "stays");
    let seen = seen(&mut command);
    let env = world.published(&format!("profiles/{NAME}/env"));
    assert_eq!(seen, expected(&world, &format!("{env}OTHER=stays\n")));
}

#[test]
fn long_term_keys_come_without_somebody_elses_session_token() {
    let alice = scenario::alice();
    let world = World::new(&format!(
        "[profile keys]\naws_access_key_id = {}\naws_secret_access_key = {}\nrolekeeper_publish = true\n",
        alice.access_key_id, alice.secret_access_key
    ));
    let mut command = world.command(&["exec", "keys", "--", "/usr/bin/env"]);
    command.envs(SHADOWING.map(|name| (name, "shadow")));
    let keys = format!(
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
        alice.access_key_id, alice.secret_access_key
    );
    assert_eq!(seen(&mut command), expected(&world, &keys));
}

#[test]
fn a_program_that_outlives_a_session_is_pointed_at_the_published_config() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let mut command = world.command(&["exec", "--refreshing", NAME, "--", "/usr/bin/env"]);
    command.envs(SHADOWING.map(|name| (name, "shadow")));
    let more = format!(
        "AWS_CONFIG_FILE={}\nAWS_SHARED_CREDENTIALS_FILE=/dev/null\nAWS_PROFILE={NAME}\n\
         AWS_REGION=us-east-1\nAWS_DEFAULT_REGION=us-east-1\n",
        world.out().join("config").display()
    );
    assert_eq!(seen(&mut command), expected(&world, &more));
}

#[test]
fn the_config_that_is_pointed_at_has_an_absolute_path_for_readers_too() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let mut reader = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    reader.args(["exec", "--refreshing", "--output-dir", "out", NAME, "--", "/usr/bin/env"]);
    reader.env_clear().current_dir(&world.directory);
    let config = format!("AWS_CONFIG_FILE={}", world.out().join("config").display());
    assert!(seen(&mut reader).contains(&config));
}

#[test]
fn the_commands_end_is_ours() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    for code in [0, 1, 42, 255] {
        let run = world.run(&["exec", NAME, "--", "/bin/sh", "-c", &format!("exit {code}")]);
        assert_eq!((run.code, run.stderr.as_str()), (code, ""));
    }
    let killed = world.command(&["exec", NAME, "--", "/bin/sh", "-c", "kill -TERM $$"]).status().unwrap();
    assert_eq!(killed.signal(), Some(15), "we are the command, not its parent");
    let arguments = world.run(&["exec", NAME, "--", "/bin/echo", "--format", "-v", "", "a b"]);
    assert_eq!(arguments.stdout, "--format -v  a b\n");
}

#[test]
fn commands_that_cannot_be_run_are_named() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let file = world.write("not-executable", "#!/bin/sh\n");
    let file = file.to_str().unwrap();
    world
        .run(&["exec", NAME, "--", "/no/such/command"])
        .assert_failure(127, &["cannot run `/no/such/command`"]);
    world
        .run(&["exec", NAME, "--", "no-such-command"])
        .assert_failure(127, &["cannot run `no-such-command`"]);
    world.run(&["exec", NAME, "--", file]).assert_failure(126, &["cannot run", file]);
    world.run(&["exec", NAME, "--", "/"]).assert_failure(126, &["cannot run `/`"]);
    for arguments in [["exec", NAME].as_slice(), &["exec", NAME, "--"], &["exec", NAME, "true"]] {
        world.run(arguments).assert_failure(64, &["exec"]);
    }
}

#[test]
fn without_credentials_the_command_is_not_run() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().fail(Fault::new(Action::error(403, "AccessDenied")));
    for options in [[].as_slice(), &["--refreshing"]] {
        let mut arguments = vec!["exec", NAME];
        arguments.extend(options);
        arguments.extend(["--", "/bin/echo", "run"]);
        let run = world.run(&arguments);
        assert_eq!(run.stdout, "");
        run.assert_failure(77, &["AccessDenied"]);
    }
}

#[test]
fn a_session_that_would_end_too_soon_is_replaced_first() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let run = |arguments: &[&str]| {
        let mut all = vec!["exec", NAME];
        all.extend(arguments);
        all.extend(["--", "/bin/true"]);
        world.run(&all).assert_silent_success();
        assumed(&world)
    };
    assert_eq!(run(&[]), 1);
    assert_eq!(run(&[]), 1, "an hour is enough");
    assert_eq!(run(&["--min-life", "3000"]), 1);
    assert_eq!(run(&["--min-life", "3700"]), 2, "one refresh, even if it does not help");
    world.fake.sts().session_lifetime(Some(Duration::from_secs(800)));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(run(&["--min-life", "700"]), 3);
    assert_eq!(run(&[]), 4, "fifteen minutes are the default");
}
