//! `credential_source = EcsContainer`: the endpoint of a task or pod.

use std::process::Command;

use fake_aws::scenario::{EFGH, GUARDED};
use fake_aws::{Action, Fault, Kind, Reply, Service};
use serde_json::Value;

use crate::host::{has_mounts, quoted};
use crate::observe::at_once;
use crate::support::{Run, World};

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const BASE: &str =
    "[profile base]\ncredential_source = EcsContainer\nrolekeeper_publish = true\nregion = us-east-1\n";

fn refresh(world: &World, further: &[(&str, &str)]) -> Run {
    let url = world.fake.container_url();
    let mut variables = vec![(FULL, url.as_str())];
    variables.extend(further);
    world.run_in(&variables, &["refresh", "--force"])
}

fn asked(world: &World) -> usize {
    world.received(Service::Container).len()
}

#[test]
fn one_answer_serves_all_chains_that_start_at_the_container() {
    let roles = [EFGH, GUARDED].map(|role| {
        let name = role.rsplit('/').next().unwrap();
        format!(
            "[profile {name}]\nrole_arn = {role}\ncredential_source = EcsContainer\nexternal_id = customer-42/prod:eu\n\
             region = us-east-1\n"
        )
    });
    let world = World::new(&format!("{BASE}{}", roles.concat()));
    world.fake.container().require_authorization(Some("Basic of-this-task"));
    refresh(&world, &[(TOKEN, "Basic of-this-task")]).assert_silent_success();
    assert_eq!((asked(&world), world.assumptions().len()), (1, 2));
    let document = world.document("base");
    assert_eq!(document["AccountId"], "111111111111");
    for request in world.assumptions() {
        assert_eq!(request.access_key_id.as_deref(), document["AccessKeyId"].as_str());
    }
    assert_eq!(world.status("efgh")["source"], "EcsContainer");
    world.assert_no_imds();
}

/// A task has its address in the environment, and what it wants on the command line.
#[test]
fn a_task_needs_no_file() {
    let world = World::new("");
    let mut command = world.bare_command(&["refresh", "--credential-source", "EcsContainer"]);
    command.args(["--role-arn", EFGH, "--region", "us-east-1", "--profile-name", "task", "--output-dir"]);
    let run = Run::of(command.arg(world.out()).env(FULL, world.fake.container_url()));
    run.assert_silent_success();
    assert_eq!(world.document("task")["AccountId"], "222222222222");
    assert_eq!((asked(&world), world.assumptions().len()), (1, 1));
    world.assert_no_imds();
}

#[test]
fn the_token_file_is_read_each_time_and_sent_as_it_is() {
    let world = World::new(BASE);
    let file = world.write("token", "first");
    let variables = [(TOKEN_FILE, file.to_str().unwrap()), (TOKEN, "never")];
    for token in ["first", "second"] {
        world.write("token", token);
        world.fake.container().require_authorization(Some(token));
        refresh(&world, &variables).assert_silent_success();
    }
    let before = (world.snapshot(), asked(&world));
    for (text, problem) in [("second\n", "line break"), ("sec\rond", "line break"), ("", "line break")] {
        world.write("token", text);
        // More than the margin is left, so nothing is said; `print --format` has nothing to do with it.
        refresh(&world, &variables).assert_silent_success();
        let error = world.status("base")["last_error"]["message"].as_str().unwrap().to_owned();
        assert!(error.contains(problem) && error.contains("token"), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    refresh(&world, &variables).assert_silent_success();
    let error = world.status("base")["last_error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("does not exist"), "{error}");
    assert_eq!(asked(&world), before.1, "nothing was sent without the right token");
    let credentials = |files: &[(std::path::PathBuf, Vec<u8>)]| -> Vec<(std::path::PathBuf, Vec<u8>)> {
        files.iter().filter(|(path, _)| path.to_string_lossy().contains("profiles")).cloned().collect()
    };
    assert_eq!(credentials(&world.snapshot()), credentials(&before.0));
}

#[test]
fn what_may_pass_is_asked_again_and_what_was_decided_is_not() {
    let ordered = |action: Action, times: u32, code: i32, requests: usize, says: &str| {
        let world = World::new(BASE);
        world.fake.container().fail(Fault::new(action).times(times));
        let run = refresh(&world, &[]);
        assert_eq!((run.code, asked(&world)), (code, requests), "{run:?}");
        assert!(run.stderr.contains(says), "{says}: {run:?}");
        assert_eq!(world.is_unpublished("base"), code != 0);
    };
    at_once(
        [
            (Action::status(500), 2, 0, 3, ""),
            (Action::error(503, "Busy"), 9, 75, 3, "status 503: Busy: ordered by the test"),
            (Action::EmptyBody, 1, 0, 2, ""),
            (Action::EmptyBody, 9, 75, 3, "no JSON object"),
            (Action::ResetBefore, 2, 0, 3, ""),
            (Action::error(429, "Slow"), 1, 0, 2, ""),
            (Action::error(404, "NoRole"), 9, 77, 1, "status 404: NoRole: ordered by the test"),
            (Action::error(400, "Bad"), 9, 77, 1, "status 400"),
            (Action::Redirect("http://127.0.0.1:1/".to_owned()), 9, 77, 1, "status 302\n"),
            (Action::Oversized(1_000_000_000), 9, 75, 1, "longer than"),
        ],
        |(action, times, code, requests, says)| ordered(action, times, code, requests, says),
    );
}

#[test]
fn a_wrong_token_is_the_endpoint_s_to_refuse_and_no_secret_of_ours_is_shown() {
    let world = World::new(BASE);
    world.fake.container().require_authorization(Some("right"));
    let run = refresh(&world, &[(TOKEN, "wrong-but-secret")]);
    run.assert_failure(77, &["status 401: InvalidToken: the authorization is not the one"]);
    assert!(!run.stderr.contains("wrong-but-secret") && !run.stderr.contains("of=task"), "{run:?}");
}

#[test]
fn expired_credentials_are_not_published() {
    let world = World::new(BASE);
    world.fake.container().credential_lifetime(time::Duration::minutes(-5));
    refresh(&world, &[]).assert_failure(75, &["the credentials expired at"]);
    assert!(world.is_unpublished("base"));
}

#[test]
fn stale_credentials_are_fetched_once_more() {
    let role =
        format!("[profile a]\nrole_arn = {EFGH}\ncredential_source = EcsContainer\nregion = us-east-1\n");
    for (times, code, requests) in [(1, 0, 2), (9, 77, 2)] {
        let world = World::new(&role);
        let stale = Fault::new(Action::error(403, "ExpiredToken")).on(Kind::AssumeRole).times(times);
        world.fake.sts().fail(stale);
        assert_eq!((refresh(&world, &[]).code, asked(&world)), (code, requests));
    }
}

/// Whoever is asked in plain HTTP cannot decide which certificates are valid and what has expired.
#[test]
fn the_date_of_an_answer_is_not_believed() {
    let world = World::new(BASE);
    let body = "{\"AccessKeyId\": \"ASIAEXAMPLE\", \"SecretAccessKey\": \"secret\", \"Token\": \"session\", \
                \"Expiration\": \"2049-12-31T23:59:59Z\"}";
    let reply = Reply::new(200).header("Date", "Fri, 01 Jan 2049 00:00:00 GMT").body(body.to_owned());
    world.fake.container().fail(Fault::new(Action::Answer(reply)));
    refresh(&world, &[]).assert_silent_success();
    assert_eq!(world.document("base")["AccessKeyId"], "ASIAEXAMPLE");
    let status: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["clock_offset_seconds"], 0);
}

#[test]
fn https_is_verified_and_goes_anywhere() {
    let world = World::new(BASE);
    let url = format!("{}/credentials", world.fake.sts_url());
    let run = world.run_in(&[(FULL, &url)], &["refresh"]);
    // What listens there is STS, which knows no such path: it was reached, and TLS held.
    run.assert_failure(77, &["container credentials endpoint", "status 404"]);
    assert_eq!(world.fake.counts().handshakes(Service::Sts), 1);
}

/// In every spelling of the name that RFC 6761 gives to loopback, and nobody is asked for it.
#[test]
fn localhost_is_this_host() {
    for name in ["localhost", "LocalHost", "localhost.", "agent.localhost"] {
        let world = World::new(BASE);
        let url = world.fake.container_url().replace("127.0.0.1", name);
        world.run_in(&[(FULL, &url)], &["refresh"]).assert_silent_success();
        assert_eq!(asked(&world), 1, "{name}");
    }
}

/// Names lead where the resolver says, so what they lead to is what has to be permitted.
#[test]
fn a_name_counts_for_all_of_its_addresses() {
    if !has_mounts() {
        return;
    }
    for (hosts, code, requests, says) in [
        ("127.0.0.1 container.test\n", 0, 1, ""),
        ("127.0.0.1 container.test\n10.0.0.1 container.test\n", 78, 0, "not fetched from in plain HTTP"),
        ("169.254.169.254 container.test\n", 78, 0, "not fetched from in plain HTTP"),
    ] {
        let world = World::new(BASE);
        let hosts = world.write("hosts", hosts);
        let url = world.fake.container_url().replace("127.0.0.1", "container.test");
        let described = world.command(&["refresh"]);
        let mut command = Command::new("unshare");
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env(FULL, url);
        command.envs(described.get_envs().map(|(name, value)| (name, value.unwrap())));
        let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", quoted(&hosts));
        command.args(["--mount", "/bin/sh", "-c", &script, "sh"]);
        let run = Run::of(command.arg(described.get_program()).args(described.get_args()));
        assert_eq!((run.code, asked(&world)), (code, requests), "{run:?}");
        assert!(run.stderr.contains(says), "{run:?}");
    }
}
