//! The scenarios of the AWS user guide's page on switching roles, and what the page says of chains, external ids and
//! durations.

use std::os::unix::fs::PermissionsExt as _;

use fake_aws::scenario::{self, ALICE, EXTERNAL_ID, GUARDED, INSTANCE_ID, LONG, SHORT, hop};
use fake_aws::{Kind, Service};

use crate::observe::{INSTANCE, connections};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// Alice's keys, as `aws configure` writes them.
fn alice_keys() -> String {
    let keys = scenario::alice();
    format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        keys.access_key_id, keys.secret_access_key
    )
}

/// A profile whose role Alice's keys assume.
fn alices(name: &str, role_arn: &str, more: &str) -> String {
    format!("[profile {name}]\nrole_arn = {role_arn}\nsource_profile = default\nregion = us-east-1\n{more}")
}

/// A world whose config is `config` and whose credentials file holds Alice's keys.
fn with_alice(config: &str) -> World {
    let world = World::new(config);
    world.write("credentials", alice_keys());
    world
}

/// Profiles `hop1` to `hop<count>`, each starting from the one before and the first from `start`.
fn chain(count: u8, start: &str) -> String {
    let mut config = "[rolekeeper]\nmanaged = explicit\n".to_owned();
    for number in 1..=count {
        let source = match number {
            1 => start.to_owned(),
            _ => format!("source_profile = hop{}", number.saturating_sub(1)),
        };
        config +=
            &format!("[profile hop{number}]\nrole_arn = {}\n{source}\nregion = us-east-1\n", hop(number));
    }
    config + "rolekeeper_publish = true\n"
}

#[test]
fn an_instance_profile_switches_to_a_role_of_another_account() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    for name in ["credentials", "credentials.json", "env", "config"] {
        let path = world.out().join("profiles/instancecrossaccount").join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{}", path.display());
    }
    let whoami = world.run(&["whoami"]);
    let expected = "arn:aws:sts::222222222222:assumed-role/efgh/rolekeeper-i-0123456789abcdef0";
    assert!(whoami.stdout.contains(expected), "{whoami:?}");
}

#[test]
fn permissions_are_switched_and_not_added() {
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{INSTANCE}"));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.list("instancecrossaccount", "my-bucket-2"), 200);
    assert_eq!(world.list("instancecrossaccount", "my-bucket-1"), 403);
    assert_eq!(world.list("instance", "my-bucket-1"), 200, "the original permissions");
    assert_eq!(world.list("instance", "my-bucket-2"), 403);

    let listings = world.received(Service::S3);
    let callers: Vec<_> = listings.iter().map(|request| request.caller.as_deref().unwrap()).collect();
    let session = format!("rolekeeper-{INSTANCE_ID}");
    let switched = format!("arn:aws:sts::222222222222:assumed-role/efgh/{session}");
    let original = format!("arn:aws:sts::111111111111:assumed-role/abcd/{INSTANCE_ID}");
    assert_eq!(callers, [&switched, &switched, &original, &original]);
    // Both profiles start at the same instance, which is asked once.
    assert_eq!(world.kinds(Service::Imds).len(), 4);
    assert_eq!(world.assumptions().len(), 1);
}

#[test]
fn long_term_keys_switch_to_the_production_role_as_the_page_writes_it() {
    // Like the page, without a region: a custom endpoint needs none, and the signature is for the partition's own.
    let config = "[profile prodaccess]\n    \
         role_arn = arn:aws:iam::222222222222:role/ProductionAccessRole\n    source_profile = default\n";
    let world = with_alice(config);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.list("prodaccess", "my-bucket-2"), 200);
    assert_eq!(world.list("prodaccess", "my-bucket-1"), 403);

    let [assumed] = world.assumptions().try_into().unwrap();
    assert_eq!(assumed.caller.as_deref(), Some(ALICE));
    assert_eq!(assumed.parameter("DurationSeconds"), Some("3600"));
    assert!(assumed.header("authorization").unwrap().contains("/us-east-1/sts/aws4_request"));
    assert_eq!(world.fake.counts().connections(Service::Imds), 0, "nothing starts at IMDS");
    assert_eq!(world.document("prodaccess")["AccountId"], "222222222222");
}

#[test]
fn the_root_user_is_refused_and_nothing_is_published() {
    let world = World::new(&alices("root", scenario::PRODUCTION, ""));
    let keys = scenario::root();
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        keys.access_key_id, keys.secret_access_key
    );
    world.write("credentials", text);
    let run = world.run(&["refresh"]);
    run.assert_failure(77, &["profile `root`", "AccessDenied", "Roles may not be assumed by root accounts."]);
    assert!(!run.stderr.contains(&keys.secret_access_key), "{}", run.stderr);
    assert!(world.is_unpublished("root"));
    assert_eq!(world.assumptions().len(), 1);
}

#[test]
fn two_hops_from_an_instance_are_walked_in_order() {
    let world = World::new(&chain(2, "credential_source = Ec2InstanceMetadata"));
    world.run(&["refresh"]).assert_silent_success();
    let callers: Vec<_> = world.assumptions().into_iter().map(|request| request.caller.unwrap()).collect();
    let name = format!("rolekeeper-{INSTANCE_ID}");
    assert_eq!(
        callers,
        [
            format!("arn:aws:sts::111111111111:assumed-role/abcd/{INSTANCE_ID}"),
            format!("arn:aws:sts::222222222222:assumed-role/hop1/{name}"),
        ]
    );
    assert!(world.is_unpublished("hop1"), "only the end of the chain is managed");
    assert!(!world.is_unpublished("hop2"));
}

#[test]
fn five_hops_from_long_term_keys_share_one_connection() {
    let world = with_alice(&chain(5, "source_profile = default"));
    world.run(&["refresh"]).assert_silent_success();
    let hops = world.assumptions();
    let roles: Vec<_> = hops.iter().map(|request| request.parameter("RoleArn").unwrap()).collect();
    assert_eq!(roles, [hop(1), hop(2), hop(3), hop(4), hop(5)]);
    assert_eq!(hops[0].caller.as_deref(), Some(ALICE));
    assert!(hops[4].caller.as_deref().unwrap().contains("/hop4/"));
    assert_eq!(connections(&hops), 1);
    assert_eq!(world.fake.counts().handshakes(Service::Sts), 1);
}

#[test]
fn a_broken_link_is_named_and_ends_the_chain() {
    let world = with_alice(&chain(5, "source_profile = default"));
    world.fake.iam().remove_role(&hop(3));
    world.run(&["refresh"]).assert_failure(77, &["profile `hop5`", &hop(3), "AccessDenied"]);
    let roles: Vec<_> =
        world.assumptions().iter().map(|request| request.parameter("RoleArn").unwrap().to_owned()).collect();
    assert_eq!(roles, [hop(1), hop(2), hop(3)]);
}

#[test]
fn an_external_id_opens_the_role_that_asks_for_it() {
    let good = format!("external_id = {EXTERNAL_ID}\n");
    let config = [
        alices("right", GUARDED, &good),
        alices("wrong", GUARDED, "external_id = customer-43\n"),
        alices("none", GUARDED, ""),
    ];
    let world = with_alice(&config.concat());
    let run = world.run(&["refresh"]);
    run.assert_failure(77, &["profile `wrong`", "profile `none`", "AccessDenied"]);
    assert!(!run.stderr.contains("profile `right`"), "{}", run.stderr);
    assert!(!world.is_unpublished("right") && world.is_unpublished("wrong") && world.is_unpublished("none"));
    let sent: Vec<_> = world
        .assumptions()
        .iter()
        .map(|request| request.parameter("ExternalId").map(str::to_owned))
        .collect();
    let mut expected = [Some(EXTERNAL_ID.to_owned()), Some("customer-43".to_owned()), None];
    let mut sent = <[_; 3]>::try_from(sent).unwrap();
    sent.sort();
    expected.sort();
    assert_eq!(sent, expected);
}

#[test]
fn long_term_keys_get_twelve_hours_where_the_role_allows_them() {
    let world = with_alice(&alices("long", LONG, "duration_seconds = 43200\n"));
    world.run(&["refresh"]).assert_silent_success();
    let [assumed] = world.assumptions().try_into().unwrap();
    assert_eq!(assumed.parameter("DurationSeconds"), Some("43200"));
    let minutes = world.life("long").whole_minutes();
    assert!((718..=720).contains(&minutes), "{minutes}");
    let status = world.status("long");
    assert!(status.get("reduced_durations").is_none(), "{status}");
}

#[test]
fn a_duration_above_the_maximum_of_the_role_is_refused_once_and_explained() {
    let world = with_alice(&alices("short", SHORT, "duration_seconds = 7200\n"));
    world
        .run(&["refresh"])
        .assert_failure(78, &["ValidationError", "MaxSessionDuration", "lower duration_seconds"]);
    assert_eq!(world.assumptions().len(), 1);
    assert!(world.is_unpublished("short"));
}

#[test]
fn twelve_hours_on_top_of_an_instance_become_one_and_are_not_asked_for_again() {
    let config = format!(
        "[profile long]\nrole_arn = {LONG}\ncredential_source = Ec2InstanceMetadata\nduration_seconds = 43200\n"
    );
    let world = World::new(&config);
    let durations = |world: &World| -> Vec<(String, Option<u16>)> {
        let asked = |request: &fake_aws::Received| {
            (request.parameter("DurationSeconds").unwrap().to_owned(), request.status)
        };
        world.assumptions().iter().map(asked).collect()
    };
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(durations(&world), [("43200".to_owned(), Some(400)), ("3600".to_owned(), Some(200))]);
    assert!((58..=60).contains(&world.life("long").whole_minutes()));
    let expect_status = || {
        let status = world.status("long");
        let reduced = &status["reduced_durations"][0];
        assert_eq!(
            (&reduced["role_arn"], &reduced["configured_seconds"], &reduced["effective_seconds"]),
            (&LONG.into(), &43_200.into(), &3600.into())
        );
        assert!(reduced["reason"].as_str().unwrap().contains("one hour"), "{reduced}");
    };
    expect_status();

    world.fake.clear_log();
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(durations(&world), [("3600".to_owned(), Some(200))]);
    expect_status();
    assert_eq!(world.fake.counts().requests(Kind::AssumeRole), 1);
}
