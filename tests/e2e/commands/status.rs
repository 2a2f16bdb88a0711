//! `status`: for pipes, for programs and for people.

use std::process::Command;

use fake_aws::{Action, Fault};
use serde_json::Value;

use super::NAME;
use crate::host::{has_program, plant, quoted};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

/// A status with a profile in each state.
const ALL_STATES: &str = r#"{"version":1,"config":"/etc/rolekeeper/config","clock_offset_seconds":0,"warnings":["w"],
  "profiles":[
    {"profile":"fresh","generation":3,"source":"Ec2InstanceMetadata","roles":["arn:aws:iam::222222222222:role/efgh"],
     "expiration":"2999-01-01T00:00:00Z","next_refresh":"2998-01-01T00:00:00Z"},
    {"profile":"due","generation":1,"source":"s","expiration":"2999-01-01T00:00:00Z","next_refresh":"2020-01-01T00:00:00Z"},
    {"profile":"failing","generation":1,"source":"s","expiration":"2999-01-01T00:00:00Z",
     "last_error":{"message":"it broke"}},
    {"profile":"expired","generation":1,"source":"s","expiration":"2020-01-01T00:00:00Z"},
    {"profile":"missing","source":"s","last_error":{"message":"never worked"}},
    {"profile":"for-ever","generation":1,"source":"s","expiration":null,"next_refresh":null}]}"#;

fn world_with_all_states() -> World {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    std::fs::create_dir(world.out()).unwrap();
    plant(&world.out().join("status.json"), ALL_STATES.as_bytes());
    world
}

#[test]
fn a_pipe_gets_one_line_of_fields_for_each_profile() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let run = world.run(&["status"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let fields: Vec<&str> = run.stdout.strip_suffix('\n').unwrap().split('\t').collect();
    let [name, state, left, next, source, error] = fields.as_slice() else { panic!("{run:?}") };
    assert_eq!((*name, *state, *error), (NAME, "fresh", ""));
    assert!((3500..=3600).contains(&left.parse::<i64>().unwrap()), "{left}");
    assert!(next.ends_with('Z'), "{next}");
    assert_eq!(*source, "Ec2InstanceMetadata -> arn:aws:iam::222222222222:role/efgh");
    assert!(!run.stdout.contains('\u{1b}'));
}

#[test]
fn each_state_is_told_from_the_others() {
    let world = world_with_all_states();
    let run = world.run(&["status"]);
    let states: Vec<(&str, &str)> = run
        .stdout
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(name, rest)| (name, rest.split('\t').next().unwrap()))
        .collect();
    let expected = [
        ("fresh", "fresh"),
        ("due", "due"),
        ("failing", "failing"),
        ("expired", "expired"),
        ("missing", "missing"),
        ("for-ever", "fresh"),
    ];
    assert_eq!(states, expected);
    assert!(run.stdout.contains("it broke") && run.stdout.contains("never worked"), "{run:?}");

    let json: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    let entries = json["profiles"].as_array().unwrap();
    for (entry, (name, state)) in entries.iter().zip(expected) {
        assert_eq!((entry["profile"].as_str(), entry["state"].as_str()), (Some(name), Some(state)));
    }
    assert!(entries[0]["expires_in_seconds"].as_i64().unwrap() > 1_000_000);
    assert!(entries[3]["expires_in_seconds"].as_i64().unwrap() < 0);
    assert!(entries[5]["expires_in_seconds"].is_null());
}

#[test]
fn a_failure_shows_with_its_reason_while_the_credentials_last() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    world.fake.sts().fail(Fault::new(Action::error(403, "AccessDenied")));
    world.run(&["refresh", "--force"]).assert_silent_success();
    let json: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    let profile = &json["profiles"][0];
    assert_eq!(profile["state"], "failing");
    assert!(profile["last_error"]["message"].as_str().unwrap().contains("AccessDenied"));
    assert!(profile["last_error"]["advice"].is_string());
    assert_eq!(profile["last_error"]["count"], 1);
    world.fake.sts().heal();
    world.run(&["refresh", "--force"]).assert_silent_success();
    let json: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(json["profiles"][0]["state"], "fresh");
    assert!(json["profiles"][0]["last_error"].is_null());
}

#[test]
fn without_a_refresh_there_is_no_status() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["status"]).assert_failure(69, &["no refresh has left a status", "rolekeeper refresh"]);
    std::fs::create_dir(world.out()).unwrap();
    for damaged in ["", "[]", "{\"version\""] {
        plant(&world.out().join("status.json"), damaged.as_bytes());
        world.run(&["status"]).assert_failure(69, &["no refresh has left a status"]);
    }
}

/// The health check of a container: it is the profiles that were named that count, and a failure alone is none.
#[test]
fn whoever_asks_for_readiness_is_told_by_the_exit_code() {
    let world = world_with_all_states();
    for names in [&["fresh", "due", "failing", "for-ever"][..], &["failing"]] {
        let run = world.run(&[&["status", "--ready"], names].concat());
        assert_eq!(
            (run.code, run.stderr.as_str(), run.stdout.lines().count()),
            (0, "", names.len()),
            "{run:?}"
        );
    }
    for (names, words) in [
        (&[][..], ["`expired`", "expired"]),
        (&["fresh", "missing"], ["`missing`", "missing"]),
        (&["expired"], ["`expired`", "expired"]),
        (&["fresh", "fres"], ["`fres`", "no refresh"]),
    ] {
        world.run(&[&["status", "--ready"], names].concat()).assert_failure(69, &words);
    }
    assert_eq!(world.run(&["status", "missing", "fresh"]).code, 0, "who does not ask is not told");
    world.run(&["status", "fres"]).assert_failure(69, &["`fres`"]);

    std::fs::remove_file(world.out().join("status.json")).unwrap();
    world.run(&["status", "--ready"]).assert_failure(69, &["no refresh has left a status"]);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.run(&["status", "--ready", NAME]).code, 0);
}

/// `status` on a terminal.
fn on_terminal(world: &World, variables: &[(&str, &str)]) -> String {
    let program = quoted(env!("CARGO_BIN_EXE_rolekeeper"));
    let command = format!("{program} status --output-dir {}", quoted(world.out()));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    script.env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").envs(variables.iter().copied());
    let run = Run::of(&mut script);
    assert_eq!(run.code, 0, "{run:?}");
    run.stdout.replace('\r', "")
}

#[test]
fn a_terminal_gets_a_table_with_colours_unless_told_otherwise() {
    if !has_program("script") {
        return;
    }
    let world = world_with_all_states();
    let coloured = on_terminal(&world, &[]);
    assert!(coloured.contains("\u{1b}[32mfresh") && coloured.contains("\u{1b}[31mexpired"), "{coloured}");
    assert_eq!(coloured.matches("\u{1b}[0m").count(), 6, "each colour ends: {coloured}");

    let plain = on_terminal(&world, &[("NO_COLOR", "1")]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let lines: Vec<&str> = plain.lines().collect();
    let heading = lines[0];
    for (column, values) in [("STATE", ["fresh", "due"]), ("SOURCE", ["Ec2InstanceMetadata", "s"])] {
        let at = heading.find(column).unwrap();
        for (line, value) in lines[1..3].iter().zip(values) {
            assert!(line.split_at(at).1.starts_with(value), "`{value}` stands under {column}: {plain}");
        }
    }
    assert!(plain.contains("\n    it broke\n") && plain.ends_with("warning: w\n"), "{plain}");
    assert_eq!(on_terminal(&world, &[("NO_COLOR", "")]), coloured, "empty is unset");
}
