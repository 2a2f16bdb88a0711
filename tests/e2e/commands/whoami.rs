//! `whoami`: what STS says, before and after a switch.

use fake_aws::scenario;

use super::NAME;
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const BASE: &str = "[profile instance]\ncredential_source = Ec2InstanceMetadata\n";

#[test]
fn identities_before_and_after_the_switch_differ() {
    let world = World::new(&format!("{BASE}{INSTANCE_CROSS_ACCOUNT}"));
    let before = world.run(&["whoami", "instance"]);
    assert_eq!((before.code, before.stderr.as_str()), (0, ""));
    let instance = scenario::INSTANCE_ID;
    let expected =
        format!("Account  111111111111\nArn      arn:aws:sts::111111111111:assumed-role/abcd/{instance}\n");
    assert!(before.stdout.starts_with(&expected), "{before:?}");
    let after = world.run(&["whoami", NAME]);
    let expected = format!(
        "Account  222222222222\nArn      arn:aws:sts::222222222222:assumed-role/efgh/rolekeeper-{instance}\n"
    );
    assert!(after.stdout.starts_with(&expected), "{after:?}");
    let id = after.stdout.lines().nth(2).unwrap();
    assert!(id.starts_with("UserId   AROA") && id.ends_with(&format!(":rolekeeper-{instance}")), "{id}");
    assert!(!world.out().exists(), "nothing is published");
}

#[test]
fn the_profile_is_the_one_named_or_the_default_or_the_only_one() {
    let only = World::new(INSTANCE_CROSS_ACCOUNT);
    assert!(only.run(&["whoami"]).stdout.contains("/efgh/"));

    let two = INSTANCE_CROSS_ACCOUNT.to_owned() + &INSTANCE_CROSS_ACCOUNT.replace(NAME, "other");
    let world = World::new(&two);
    world.run(&["whoami"]).assert_failure(64, &["no profile is named", NAME, "other"]);
    assert!(Run::of(world.command(&["whoami"]).env("AWS_PROFILE", "other")).stdout.contains("/efgh/"));

    let default = format!("{two}[default]\ncredential_source = Ec2InstanceMetadata\n");
    world.write("config", default);
    assert!(world.run(&["whoami"]).stdout.contains("/abcd/"));
}

#[test]
fn a_profile_on_the_command_line_needs_no_file() {
    let world = World::new("");
    let arguments = [
        "whoami",
        "--role-arn",
        scenario::EFGH,
        "--credential-source",
        "Ec2InstanceMetadata",
        "--role-session-name",
        "ci-42",
    ];
    let run = Run::of(&mut world.bare_command(&arguments));
    assert!(run.stdout.contains("arn:aws:sts::222222222222:assumed-role/efgh/ci-42\n"), "{run:?}");
}

/// Which no chain needs that reaches its STS at an endpoint of its own.
#[test]
fn without_a_region_the_custom_endpoint_is_signed_for_as_for_the_role() {
    let keys = scenario::alice();
    let world = World::new(&format!(
        "[profile role]\nrole_arn = {}\nsource_profile = role\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        scenario::PRODUCTION,
        keys.access_key_id,
        keys.secret_access_key
    ));
    let run = world.run(&["whoami", "role"]);
    assert!(run.code == 0 && run.stdout.contains(":assumed-role/"), "{run:?}");
}
