//! Who speaks when: silence by default, no secret at any verbosity, and no crash where nobody can hear.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use fake_aws::{Action, Fault, scenario};
use serde_json::Value;

use super::NAME;
use crate::host::quoted;
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const BASE: &str = "[profile base]\ncredential_source = Ec2InstanceMetadata\nrolekeeper_publish = true\n";

/// A world in which secrets of every kind pass through the agent.
fn talkative_world() -> World {
    let alice = scenario::alice();
    let config = format!(
        "{BASE}{INSTANCE_CROSS_ACCOUNT}[profile alice]\naws_access_key_id = {}\naws_secret_access_key = {}\n\
         [profile of-alice]\nrole_arn = {}\nsource_profile = alice\nregion = us-east-1\n",
        alice.access_key_id,
        alice.secret_access_key,
        scenario::hop(1)
    );
    World::new(&config)
}

/// Every secret that the fake gave out or was shown, as far as files and requests tell.
fn secrets(world: &World) -> BTreeSet<String> {
    let mut secrets = BTreeSet::from([scenario::alice().secret_access_key]);
    for (path, content) in world.snapshot() {
        if path.ends_with("credentials.json") {
            let json: Value = serde_json::from_slice(&content).unwrap();
            for name in ["SecretAccessKey", "SessionToken"] {
                secrets.extend(json[name].as_str().map(str::to_owned));
            }
        }
        if path.ends_with("state/key") {
            secrets.insert(content.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    for request in world.fake.requests() {
        for name in ["x-amz-security-token", "x-aws-ec2-metadata-token"] {
            secrets.extend(request.header(name).map(str::to_owned));
        }
        if let Some(authorization) = request.header("authorization") {
            secrets.extend(authorization.split_once("Signature=").map(|(_, signature)| signature.to_owned()));
        }
    }
    secrets
}

#[test]
fn verbose_runs_speak_and_show_no_secret() {
    let world = talkative_world();
    let mut said = String::new();
    let mut hear = |arguments: &[&str]| {
        let run = world.run(arguments);
        assert!(!run.stderr.is_empty(), "{arguments:?} says nothing");
        said.push_str(&run.stderr);
        if arguments[0] != "print" {
            said.push_str(&run.stdout);
        }
        run
    };
    assert!(hear(&["refresh", "-v"]).stderr.contains(NAME));
    hear(&["refresh", "-v"]);
    hear(&["refresh", "-vv", "--force"]);
    hear(&["whoami", "-vv", NAME]);
    hear(&["print", "-vv", NAME, "--config", "/no/such/file"]);
    for code in ["AccessDenied", "ExpiredToken", "SignatureDoesNotMatch"] {
        world.fake.sts().fail(Fault::new(Action::error(403, code)));
        hear(&["refresh", "-vv", "--force"]);
        world.fake.sts().heal();
    }
    for action in [Action::Truncate, Action::NotUtf8, Action::ResetMidway] {
        world.fake.sts().fail(Fault::new(action).times(1));
        hear(&["refresh", "-vv", "--force", NAME]);
        world.fake.sts().heal();
    }
    said.push_str(&world.run(&["status"]).stdout);
    said.push_str(&world.run(&["status", "--json"]).stdout);
    said.push_str(&world.published("status.json"));

    let secrets = secrets(&world);
    assert!(secrets.len() > 20, "{} secrets were found to look for", secrets.len());
    for secret in &secrets {
        assert!(secret.len() > 15, "`{secret}` could be there by chance");
        assert!(!said.contains(secret.as_str()), "a secret was shown: {secret}");
        let part: String = secret.chars().skip(4).take(20).collect();
        assert!(!said.contains(&part), "a part of a secret was shown: {part}");
    }
}

#[test]
fn files_without_secrets_have_none() {
    let world = talkative_world();
    world.run(&["refresh"]).assert_silent_success();
    let secrets = secrets(&world);
    let open: Vec<_> = world
        .snapshot()
        .into_iter()
        .filter(|(path, _)| {
            let state = path.starts_with(world.out().join("state")) && !path.ends_with("key");
            state || path.ends_with("config") || path.ends_with("status.json")
        })
        .collect();
    assert!(open.len() >= 8);
    for (path, content) in open {
        let content = String::from_utf8(content).unwrap();
        for secret in &secrets {
            assert!(!content.contains(secret.as_str()), "{} holds a secret", path.display());
        }
    }
}

/// Runs the binary through a shell that does `redirection`; the exit code, which a signal has not.
fn redirected(world: &World, arguments: &[&str], redirection: &str) -> Option<i32> {
    let described = world.command(arguments);
    let script = format!("exec {} \"$@\" {redirection}", quoted(described.get_program()));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script, "sh"]).args(described.get_args()).env_clear();
    for (name, value) in described.get_envs() {
        shell.env(name, value.unwrap());
    }
    let status = shell.status().unwrap();
    assert_eq!(status.signal(), None, "{arguments:?} {redirection}");
    status.code()
}

#[test]
fn nobody_listening_is_no_crash() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    for redirection in ["2>/dev/full", "2>&-", "<&- >&- 2>&-", ">/dev/full", ">&-"] {
        assert_eq!(redirected(&world, &["refresh", "--force"], redirection), Some(0), "{redirection}");
        assert_eq!(redirected(&world, &["refersh"], redirection), Some(64), "{redirection}");
    }
    for arguments in [["print", NAME].as_slice(), &["status"], &["whoami"], &["--help"], &["--version"]] {
        assert_eq!(redirected(&world, arguments, ">/dev/full 2>/dev/null"), Some(73), "{arguments:?}");
        redirected(&world, arguments, ">&- 2>&-");
    }
}

#[test]
fn nobody_listening_to_a_verbose_run_is_no_crash() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    for redirection in ["2>/dev/full", "2>&-", "<&- >&- 2>&-"] {
        let code = redirected(&world, &["refresh", "--force", "-vv"], redirection);
        assert_eq!(code, Some(0), "{redirection}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_crash() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let described = world.command(&["print", "-vv", NAME]);
    let script =
        format!("{{ {} \"$@\"; echo $? >&2; }} 2>&1 >/dev/full | head -c 0", quoted(described.get_program()));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script, "sh"]).args(described.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
    for (name, value) in described.get_envs() {
        shell.env(name, value.unwrap());
    }
    assert_eq!(Run::of(&mut shell).code, 0);
}
