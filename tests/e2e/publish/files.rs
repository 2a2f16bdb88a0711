//! What each file holds, to the byte, and its mode.

use std::process::Command;

use fake_aws::{Kind, scenario};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{CROSS_ACCOUNT, FILES, Keys, MARKER, listing, switching};
use crate::host::mode_of;
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn each_file_of_a_profile_holds_exactly_what_its_readers_expect() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let keys = Keys::of(&world, CROSS_ACCOUNT);
    let Keys { access_key_id, secret_access_key, session_token, expiration } = &keys;
    assert_eq!(
        world.published(&format!("{CROSS_ACCOUNT}/credentials.json")),
        format!(
            "{{\"Version\":1,\"AccessKeyId\":\"{access_key_id}\",\"SecretAccessKey\":\"{secret_access_key}\",\
             \"SessionToken\":\"{session_token}\",\"Expiration\":\"{expiration}\",\
             \"AccountId\":\"222222222222\"}}\n"
        )
    );
    assert_eq!(
        world.published(&format!("{CROSS_ACCOUNT}/credentials")),
        format!("{MARKER}\n{}{}", keys.section("default"), keys.section("instancecrossaccount"))
    );
    assert_eq!(
        world.published(&format!("{CROSS_ACCOUNT}/env")),
        format!(
            "AWS_ACCESS_KEY_ID={access_key_id}\nAWS_SECRET_ACCESS_KEY={secret_access_key}\n\
             AWS_SESSION_TOKEN={session_token}\nAWS_CREDENTIAL_EXPIRATION={expiration}\n\
             AWS_ACCOUNT_ID=222222222222\nAWS_REGION=us-east-1\nAWS_DEFAULT_REGION=us-east-1\n"
        )
    );
    let process = format!(
        "region = us-east-1\ncredential_process = {} print --output-dir {} -- instancecrossaccount\n",
        env!("CARGO_BIN_EXE_rolekeeper"),
        world.out().display()
    );
    assert_eq!(
        world.published(&format!("{CROSS_ACCOUNT}/config")),
        format!("{MARKER}\n\n[default]\n{process}\n[profile instancecrossaccount]\n{process}")
    );
}

#[test]
fn the_published_expiration_is_the_one_that_sts_gave() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let requests = world.fake.requests();
    let asked = requests.iter().find(|request| request.kind == Kind::AssumeRole).unwrap().at;
    let expiration = Keys::of(&world, CROSS_ACCOUNT).expiration;
    assert!(expiration.ends_with('Z') && expiration.len() == "2026-11-23T12:00:00Z".len(), "{expiration}");
    let life = OffsetDateTime::parse(&expiration, &Rfc3339).unwrap() - asked;
    assert!((3595..=3601).contains(&life.whole_seconds()), "{life}");
}

#[test]
fn the_published_keys_are_those_of_the_role() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let keys = Keys::of(&world, CROSS_ACCOUNT);
    let direct = format!(
        "[profile direct]\nregion = us-east-1\naws_access_key_id = {}\naws_secret_access_key = {}\n\
         aws_session_token = {}\n",
        keys.access_key_id, keys.secret_access_key, keys.session_token
    );
    let config = world.write("direct", direct);
    let whoami = world.run(&["--config", config.to_str().unwrap(), "whoami", "direct"]);
    assert!(whoami.stdout.contains("arn:aws:sts::222222222222:assumed-role/efgh/"), "{whoami:?}");
}

#[test]
fn files_and_directories_are_closed_to_everybody_else() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let out = world.out();
    assert_eq!(listing(&out), ["config", "credentials", "profiles", "state", "status.json"]);
    for directory in ["", "profiles", "state", CROSS_ACCOUNT] {
        assert_eq!(mode_of(&out.join(directory)), 0o700, "{directory}");
    }
    for (path, _) in world.snapshot() {
        assert_eq!(mode_of(&path), 0o600, "{}", path.display());
    }
    let mut expected = FILES;
    expected.sort_unstable();
    assert_eq!(listing(&out.join(CROSS_ACCOUNT)), expected);
}

#[test]
fn the_files_at_the_top_cover_every_profile() {
    let config = switching("one", scenario::EFGH) + &switching("two", &scenario::hop(1));
    let world = World::new(&config);
    world.run(&["refresh"]).assert_silent_success();
    let (one, two) = (Keys::of(&world, "profiles/one"), Keys::of(&world, "profiles/two"));
    assert_ne!(one, two);
    assert_eq!(
        world.published("credentials"),
        format!("{MARKER}\n{}{}", one.section("one"), two.section("two"))
    );
    let section = |name: &str| {
        format!(
            "\n[profile {name}]\nregion = us-east-1\ncredential_process = {} print --output-dir {} -- {name}\n",
            env!("CARGO_BIN_EXE_rolekeeper"),
            world.out().display()
        )
    };
    assert_eq!(world.published("config"), format!("{MARKER}\n{}{}", section("one"), section("two")));

    let status: Value = serde_json::from_str(&world.published("status.json")).unwrap();
    let entries = status["profiles"].as_array().unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry["profile"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(entries[0]["access_key_id"], one.access_key_id.as_str());
    assert_eq!(entries[0]["expiration"], one.expiration.as_str());
    assert_eq!(entries[0]["source"], "Ec2InstanceMetadata");
    assert_eq!(entries[1]["roles"][0], scenario::hop(1));
    assert!(!world.published("status.json").contains(&one.secret_access_key));
}

#[test]
fn a_profile_called_default_is_written_once() {
    let world = World::new(&INSTANCE_CROSS_ACCOUNT.replace("profile instancecrossaccount", "default"));
    world.run(&["refresh"]).assert_silent_success();
    let keys = Keys::of(&world, "profiles/default");
    let expected = format!("{MARKER}\n{}", keys.section("default"));
    assert_eq!(world.published("profiles/default/credentials"), expected);
    assert_eq!(world.published("credentials"), expected);
    for name in ["profiles/default/config", "config"] {
        let config = world.published(name);
        assert_eq!(config.matches("[default]").count(), 1, "{config}");
        assert!(!config.contains("[profile default]"), "{config}");
    }
}

#[test]
fn the_instances_own_credentials_are_published_where_asked_for() {
    let base = "[profile base]\ncredential_source = Ec2InstanceMetadata\nregion = eu-west-1\n";
    let world = World::new(&format!("{base}rolekeeper_publish = true\n"));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(super::assumed(&world), 0);
    let keys = Keys::of(&world, "profiles/base");
    assert!(keys.access_key_id.starts_with("ASIA"));
    assert!(
        world
            .published("profiles/base/env")
            .ends_with("AWS_REGION=eu-west-1\nAWS_DEFAULT_REGION=eu-west-1\n")
    );
    let whoami = world.run(&["whoami", "base"]);
    assert!(
        whoami.stdout.contains("arn:aws:sts::111111111111:assumed-role/abcd/i-0123456789abcdef0"),
        "{whoami:?}"
    );
}

#[test]
fn long_term_keys_are_published_without_session_token_and_expiration() {
    let alice = scenario::alice();
    let (id, secret) = (&alice.access_key_id, &alice.secret_access_key);
    let config = format!(
        "[profile keys]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\nrolekeeper_publish = true\n"
    );
    let world = World::new(&config);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.published("profiles/keys/credentials.json"),
        format!("{{\"Version\":1,\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{secret}\"}}\n")
    );
    assert_eq!(
        world.published("profiles/keys/env"),
        format!("AWS_ACCESS_KEY_ID={id}\nAWS_SECRET_ACCESS_KEY={secret}\n")
    );
    assert_eq!(world.fake.counts().all_requests(), 0, "nothing had to be asked");
}

#[test]
fn the_command_in_the_config_can_be_set_for_a_sidecars_mount() {
    let command = "rolekeeper_credential_process = /bin/cat /creds/credentials.json\n";
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{command}"));
    world.run(&["refresh"]).assert_silent_success();
    for name in [format!("{CROSS_ACCOUNT}/config"), "config".to_owned()] {
        let config = world.published(&name);
        assert!(config.contains("credential_process = /bin/cat /creds/credentials.json\n"), "{config}");
        assert!(!config.contains(" print "), "{config}");
    }
}

#[test]
fn the_published_command_prints_the_document_when_a_shell_runs_it() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let out = world.directory.join("a place; with 'odd' $characters");
    let out = out.to_str().unwrap();
    let refreshed = crate::support::Run::of(
        world
            .bare_command(&["--output-dir", out, "refresh"])
            .env("ROLEKEEPER_CONFIG", world.directory.join("config")),
    );
    refreshed.assert_silent_success();
    let config = std::fs::read_to_string(format!("{out}/config")).unwrap();
    let command = config.lines().find_map(|line| line.strip_prefix("credential_process = ")).unwrap();
    let printed = Command::new("/bin/sh").args(["-c", command]).env_clear().output().unwrap();
    let document = std::fs::read(format!("{out}/{CROSS_ACCOUNT}/credentials.json")).unwrap();
    assert_eq!(printed.stdout, document, "{}", String::from_utf8_lossy(&printed.stderr));
}
