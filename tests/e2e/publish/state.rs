//! What the agent remembers, and what follows from it: what is kept, what is refreshed, what goes away.

use std::fs;
use std::process::Command;

use fake_aws::{Action, Fault, scenario};
use rolekeeper::timestamp::between;

use super::{CROSS_ACCOUNT, Keys, MARKER, assumed, identities, listing, switching};
use crate::host::{has_root, plant};
use crate::observe::instant;
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

#[test]
fn what_is_fresh_is_neither_asked_for_nor_written_again() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = identities(&world);
    world.fake.clear_log();
    world.run(&["refresh"]).assert_silent_success();
    world.run(&["refresh", "instancecrossaccount"]).assert_silent_success();
    assert_eq!(identities(&world), before);
    assert_eq!(world.fake.counts().all_requests(), 0);
}

#[test]
fn a_rotation_writes_only_the_files_whose_bytes_change() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = identities(&world);
    world.run(&["refresh", "--force"]).assert_silent_success();
    let after = identities(&world);
    let mut same: Vec<_> =
        before.iter().filter(|file| after.contains(file)).map(|(path, ..)| path.clone()).collect();
    same.sort();
    let out = world.out();
    assert_eq!(
        same,
        [
            out.join("config"),
            out.join(CROSS_ACCOUNT).join("config"),
            out.join("state/batch.lock"),
            out.join("state/key")
        ]
    );
}

#[test]
fn a_missing_or_damaged_file_of_our_own_is_published_again() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let document = world.out().join(CROSS_ACCOUNT).join("credentials.json");
    fs::remove_file(&document).unwrap();
    world.run(&["refresh"]).assert_silent_success();
    Keys::of(&world, CROSS_ACCOUNT);
    assert_eq!(assumed(&world), 2, "removed");
    plant(&document, b"{\"Version\":1,\"AccessKeyId\":\"forged\"}");
    world.run(&["refresh"]).assert_silent_success();
    Keys::of(&world, CROSS_ACCOUNT);
    assert_eq!(assumed(&world), 3, "changed");
}

#[test]
fn a_damaged_record_or_key_means_a_refresh_and_no_error() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let record = world.out().join("state/instancecrossaccount.json");
    let whole = fs::read_to_string(&record).unwrap();
    let half = whole.split_at(whole.len() / 2).0;
    let other_version = whole.replace("\"version\":1", "\"version\":2");
    let other_profile = whole.replace("\"profile\":\"instancecrossaccount\"", "\"profile\":\"other\"");
    assert!(other_version != whole && other_profile != whole);
    let mut calls = assumed(&world);
    for damaged in ["", "{", "null", half, "\u{0}\u{0}\u{0}", &other_version, &other_profile] {
        plant(&record, damaged.as_bytes());
        world.run(&["refresh"]).assert_silent_success();
        calls += 1;
        assert_eq!(assumed(&world), calls, "{damaged}");
    }
    for damaged in [b"".as_slice(), b"short", &[7; 33]] {
        plant(&world.out().join("state/key"), damaged);
        world.run(&["refresh"]).assert_silent_success();
        calls += 1;
        assert_eq!(assumed(&world), calls, "{damaged:?}");
        assert_eq!(fs::read(world.out().join("state/key")).unwrap().len(), 32);
    }
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(assumed(&world), calls, "mended");
}

#[test]
fn a_changed_configuration_is_obeyed_at_once_and_a_changed_comment_is_not() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let unchanged = format!("# a comment\n\n{INSTANCE_CROSS_ACCOUNT}");
    world.write("config", unchanged);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(assumed(&world), 1);
    let base = INSTANCE_CROSS_ACCOUNT;
    let changes = [
        format!("{base}duration_seconds = 1800\n"),
        format!("{base}role_session_name = audit\n"),
        format!("{base}region = eu-west-1\n"),
        format!("{base}external_id = 42-x\n"),
        base.replace(scenario::EFGH, &scenario::hop(1)),
    ];
    for (expected, change) in (2..).zip(changes) {
        world.write("config", &change);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(assumed(&world), expected, "{change}");
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(assumed(&world), expected, "twice: {change}");
    }
}

#[test]
fn a_profile_that_left_the_configuration_leaves_no_files() {
    let world =
        World::new(&(switching("stays", scenario::EFGH) + &switching("goes/away", &scenario::hop(1))));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(listing(&world.out().join("profiles")), ["goes%2Faway", "stays"]);
    world.write("config", switching("stays", scenario::EFGH));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(listing(&world.out().join("profiles")), ["stays"]);
    assert_eq!(listing(&world.out().join("state")), ["batch.lock", "key", "stays.json"]);
    for name in ["credentials", "config", "status.json"] {
        assert!(!world.published(name).contains("goes"), "{name}");
    }
    assert_eq!(assumed(&world), 2, "the one that stays was kept");
}

#[test]
fn settings_that_change_move_the_next_refresh_and_ask_for_no_other_session() {
    let world = World::new(&switching("x", scenario::EFGH));
    let next = |more: &str| {
        world.write("config", format!("{}{more}", switching("x", scenario::EFGH)));
        world.run(&["refresh"]).assert_silent_success();
        let status = world.status("x");
        assert_eq!(status["generation"], 1);
        between(instant(&status["issued"]), instant(&status["next_refresh"])).whole_minutes()
    };
    let before = next("");
    assert!((15..=30).contains(&before), "{before}");
    let late = next("rolekeeper_refresh_after_percent = 90\nrolekeeper_margin_seconds = 60\n");
    assert!((39..=54).contains(&late), "{late}");
    assert_eq!(next(""), before, "the jitter belongs to the credentials");
    let early = next("rolekeeper_margin_seconds = 2700\n");
    assert!((0..=15).contains(&early), "{early}");
    assert_eq!(assumed(&world), 1);
}

#[test]
fn profiles_of_another_configuration_stay() {
    let world = World::new(&switching("here", scenario::EFGH));
    world.run(&["refresh"]).assert_silent_success();
    let other = world.write("other", switching("there", &scenario::hop(1)));
    world.run(&["refresh", "--config", other.to_str().unwrap()]).assert_silent_success();
    assert_eq!(listing(&world.out().join("profiles")), ["here", "there"]);
    Keys::of(&world, "profiles/here");
}

#[test]
fn a_profile_of_the_command_line_lives_beside_those_of_a_file() {
    let world = World::new(&switching("of-the-file", scenario::EFGH));
    world.run(&["refresh"]).assert_silent_success();
    let described = ["--role-arn", &scenario::hop(1), "--credential-source", "Ec2InstanceMetadata"];
    let described =
        [described.as_slice(), &["--profile-name", "described", "--region", "eu-west-1"]].concat();
    for arguments in [vec!["refresh"], vec!["refresh"], vec!["print", "described"]] {
        let run = Run::of(&mut {
            let mut command = world.bare_command(&[arguments.as_slice(), &described].concat());
            command.arg("--output-dir").arg(world.out());
            command
        });
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    }
    assert_eq!(assumed(&world), 2, "one each");
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(listing(&world.out().join("profiles")), ["described", "of-the-file"]);
    assert_eq!(assumed(&world), 2);
}

#[test]
fn a_profile_that_became_unusable_keeps_its_files() {
    let world = World::new(&(switching("one", scenario::EFGH) + &switching("two", &scenario::hop(1))));
    world.run(&["refresh"]).assert_silent_success();
    let before = Keys::of(&world, "profiles/two");
    let broken = switching("one", scenario::EFGH) + &switching("two", "not-an-arn");
    world.write("config", broken);
    world.run(&["refresh"]).assert_failure(78, &["two", "not-an-arn"]);
    assert_eq!(Keys::of(&world, "profiles/two"), before);
    assert!(world.published("credentials").contains("[two]"));
    assert!(world.published("config").contains("[profile two]"));
}

#[test]
fn names_on_the_command_line_narrow_what_is_refreshed_and_not_what_is_published() {
    let config = switching("one", scenario::EFGH) + &switching("two", &scenario::hop(1));
    let world = World::new(&config);
    world.run(&["refresh", "one"]).assert_silent_success();
    assert!(!world.published("credentials").contains("[two]"));
    world.run(&["refresh", "two"]).assert_silent_success();
    world.run(&["refresh", "--force", "one"]).assert_silent_success();
    assert_eq!(assumed(&world), 3);
    let (one, two) = (Keys::of(&world, "profiles/one"), Keys::of(&world, "profiles/two"));
    assert_eq!(
        world.published("credentials"),
        format!("{MARKER}\n{}{}", one.section("one"), two.section("two"))
    );
    let config = world.published("config");
    assert!(config.contains("[profile one]") && config.contains("[profile two]"), "{config}");
    world.run(&["refresh", "three"]).assert_failure(78, &["three"]);
}

#[test]
fn a_failed_refresh_destroys_nothing() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = Keys::of(&world, CROSS_ACCOUNT);
    world.fake.sts().fail(Fault::new(Action::error(403, "AccessDenied")));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(Keys::of(&world, CROSS_ACCOUNT), before);
    assert!(world.published("status.json").contains("AccessDenied"));
    assert!(world.published("credentials").contains(&before.session_token));
}

#[test]
fn a_forged_document_neither_stops_nor_causes_a_refresh() {
    if !has_root() {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_owner = 65534\n"));
    world.run(&["refresh"]).assert_silent_success();
    let document = world.out().join(CROSS_ACCOUNT).join("credentials.json");
    let forged = fs::read_to_string(&document).unwrap().replace("\"Expiration\":\"20", "\"Expiration\":\"21");
    plant(&document, forged.as_bytes());
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(assumed(&world), 1, "not caused");
    world.fake.sts().session_lifetime(Some(std::time::Duration::from_secs(1)));
    world.run(&["refresh", "--force"]).assert_silent_success();
    plant(&document, forged.as_bytes());
    world.fake.sts().session_lifetime(None);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(assumed(&world), 3, "not stopped");
    assert_ne!(fs::read_to_string(&document).unwrap(), forged);
    let status = world.run(&["status", "--json"]).stdout;
    assert!(!status.contains("\"21"), "a forged expiration shows nowhere: {status}");
}

#[test]
fn what_was_published_is_never_taken_as_input() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let calls = world.fake.counts().all_requests();
    let published = world.out().join("config");
    let run = world.run(&["--config", published.to_str().unwrap(), "refresh"]);
    run.assert_failure(78, &["rolekeeper", "published"]);
    let own = world.out().join(CROSS_ACCOUNT).join("config");
    world.run(&["--config", own.to_str().unwrap(), "refresh"]).assert_failure(78, &["published"]);

    let config = "[profile x]\nrole_arn = arn:aws:iam::222222222222:role/efgh\nsource_profile = instancecrossaccount\n";
    world.write("config", config);
    let run = Run::of(
        world.command(&["refresh"]).env("AWS_SHARED_CREDENTIALS_FILE", world.out().join("credentials")),
    );
    run.assert_failure(78, &["instancecrossaccount"]);
    assert_eq!(world.fake.counts().all_requests(), calls);
}

#[test]
fn the_published_config_answers_a_consumer_that_is_pointed_at_it() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let calls = world.fake.counts().all_requests();
    let config = world.published("config");
    let command = config.lines().find_map(|line| line.strip_prefix("credential_process = ")).unwrap();
    let mut consumer = Command::new("/bin/sh");
    consumer.args(["-c", command]).env_clear();
    // The SDK hands its own environment on to the process that it starts.
    consumer.env("AWS_CONFIG_FILE", world.out().join("config")).env("AWS_PROFILE", "instancecrossaccount");
    let printed = Run::of(&mut consumer);
    assert_eq!(printed.stdout, world.published(&format!("{CROSS_ACCOUNT}/credentials.json")), "{printed:?}");
    assert_eq!(world.fake.counts().all_requests(), calls);
}
