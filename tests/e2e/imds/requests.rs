//! What is asked of the metadata service, how often, and on how many connections.

use std::collections::BTreeSet;

use fake_aws::{Action, Fault, Kind, Service};

use super::{ALL_CONFIGURED, run_with};
use crate::observe::{INSTANCE, connections};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn a_cold_refresh_is_three_requests_on_one_connection_and_one_of_sts() {
    let world = World::new(ALL_CONFIGURED);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument]);
    assert_eq!(connections(&world.received(Service::Imds)), 1);
    assert_eq!(world.kinds(Service::Sts), [Kind::AssumeRole]);
    let counts = world.fake.counts();
    assert_eq!((counts.connections(Service::Imds), counts.connections(Service::Sts)), (1, 1));
    assert_eq!((counts.handshakes(Service::Sts), counts.failed_handshakes(Service::Sts)), (1, 0));
    assert_eq!(world.assumptions()[0].parameter("RoleSessionName"), Some("web"));
}

#[test]
fn region_and_instance_id_cost_one_request_more() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.imds().placement("eu-west-1", "eu-west-1b");
    world.fake.imds().instance_id("i-0fedcba9876543210");
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument, Kind::IdentityDocument]
    );
    assert_eq!(connections(&world.received(Service::Imds)), 1);
    let [assumed] = world.assumptions().try_into().unwrap();
    assert_eq!(assumed.parameter("RoleSessionName"), Some("rolekeeper-i-0fedcba9876543210"));
    assert!(assumed.header("authorization").unwrap().contains("/eu-west-1/sts/aws4_request"));
}

#[test]
fn a_second_refresh_asks_nobody() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = world.snapshot();
    world.fake.clear_log();
    world.run(&["refresh"]).assert_silent_success();
    let counts = world.fake.counts();
    assert_eq!(counts.all_requests(), 0);
    assert_eq!((counts.connections(Service::Imds), counts.connections(Service::Sts)), (0, 0));
    assert_eq!(world.changed(&before), BTreeSet::new());
}

#[test]
fn every_request_is_version_two_and_goes_straight_to_the_service() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let requests = world.received(Service::Imds);
    let (put, gets) = requests.split_first().unwrap();
    assert_eq!((put.method.as_str(), put.target.as_str()), ("PUT", "/latest/api/token"));
    assert_eq!(put.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
    assert!(put.body.is_empty());
    for get in gets {
        assert_eq!(get.method, "GET");
        assert!(get.header("x-aws-ec2-metadata-token").is_some(), "{}", get.target);
    }
    for request in &requests {
        assert_eq!(request.header("x-forwarded-for"), None);
        assert_eq!(request.status, Some(200), "{}", request.target);
    }
}

#[test]
fn an_older_service_without_the_extended_path_costs_four_requests() {
    let world = World::new(ALL_CONFIGURED);
    world.fake.imds().extended(false);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::LegacyListing, Kind::LegacyDocument]
    );
    assert_eq!(connections(&world.received(Service::Imds)), 1);
}

#[test]
fn a_configured_profile_name_needs_no_listing() {
    let named = format!("{INSTANCE}ec2_instance_profile_name = abcd\n");
    let world = World::new(&named);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedDocument]);

    let world = World::new(&named);
    world.fake.imds().extended(false);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedDocument, Kind::LegacyDocument]);

    let world = World::new(&named);
    run_with(&world, &[("AWS_EC2_INSTANCE_PROFILE_NAME", "efgh")])
        .assert_failure(78, &["no instance profile `efgh`", "ec2_instance_profile_name"]);
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedDocument, Kind::LegacyDocument]);
}

#[test]
fn an_instance_that_hides_its_identity_is_named_after_its_host() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.imds().placement("eu-central-1", "eu-central-1a");
    world.fake.imds().fail(Fault::new(Action::status(404)).on(Kind::IdentityDocument));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.received(Service::Imds).last().unwrap().target, "/latest/meta-data/placement/region");
    let [assumed] = world.assumptions().try_into().unwrap();
    assert!(assumed.header("authorization").unwrap().contains("/eu-central-1/sts/"));
    let name = assumed.parameter("RoleSessionName").unwrap().to_owned();
    assert!(name.len() >= 2 && !name.contains("i-0"), "{name}");
}
