//! Which role the instance has: listings, roles that change, and instances without any.

use fake_aws::scenario::ABCD;
use fake_aws::{Action, Fault, Kind, Permission, Refusal, Reply, Role, Service, Trust};

use crate::observe::INSTANCE;
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn a_newline_after_the_role_name_is_no_part_of_it() {
    let world = World::new(INSTANCE);
    world.fake.imds().trailing_newline(true);
    world.run(&["refresh"]).assert_silent_success();
    let requests = world.received(Service::Imds);
    let targets: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    let extended = "/latest/meta-data/iam/security-credentials-extended/";
    assert_eq!(targets, ["/latest/api/token", extended, &format!("{extended}abcd")]);
}

#[test]
fn of_several_listed_roles_the_first_is_taken() {
    let world = World::new(INSTANCE);
    let listing = Reply::new(200).body("abcd\r\nother-role\r\n");
    world.fake.imds().fail(Fault::new(Action::Answer(listing)).on(Kind::ExtendedListing));
    world.run(&["refresh"]).assert_silent_success();
    assert!(world.received(Service::Imds)[2].target.ends_with("/abcd"));
}

#[test]
fn a_role_swapped_between_listing_and_document_is_listed_once_more() {
    let world = World::new(INSTANCE);
    let stale = Reply::new(200).body("role-of-yesterday");
    world.fake.imds().fail(Fault::new(Action::Answer(stale)).on(Kind::ExtendedListing).times(1));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [
            Kind::Token,
            Kind::ExtendedListing,
            Kind::ExtendedDocument,
            Kind::ExtendedListing,
            Kind::ExtendedDocument
        ]
    );
    assert_eq!(world.document("instance")["AccountId"], "111111111111");
}

#[test]
fn a_listed_role_that_never_has_a_document_ends_after_two_rounds() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(404)).on(Kind::ExtendedDocument));
    world.run(&["refresh"]).assert_failure(75, &["no instance profile"]);
    assert_eq!(
        world.kinds(Service::Imds),
        [
            Kind::Token,
            Kind::ExtendedListing,
            Kind::ExtendedDocument,
            Kind::ExtendedListing,
            Kind::ExtendedDocument
        ]
    );
}

#[test]
fn a_role_that_does_not_trust_ec2_is_quoted_and_explained() {
    let world = World::new(INSTANCE);
    world.fake.iam().set_trust(ABCD, Trust::nobody());
    world.run(&["refresh"]).assert_failure(
        77,
        &[
            "AssumeRoleUnauthorizedAccess",
            "EC2 cannot assume the role abcd",
            "trust policy",
            "ec2.amazonaws.com",
        ],
    );
    assert!(world.is_unpublished("instance"));
    assert_eq!(world.kinds(Service::Imds).len(), 3);
}

#[test]
fn another_reason_for_no_credentials_is_quoted_and_may_pass() {
    let world = World::new(INSTANCE);
    let refusal = Refusal { code: "Failed".to_owned(), message: "an\u{1b}[31minternal error".to_owned() };
    world.fake.imds().refuse_credentials(Some(refusal));
    let run = world.run(&["refresh"]);
    run.assert_failure(75, &["Failed: an\\u{1b}[31minternal error"]);
    world.fake.imds().refuse_credentials(None);
    world.run(&["refresh"]).assert_silent_success();
}

#[test]
fn no_attached_role_is_said_and_picked_up_when_it_comes() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.imds().attach_role(None);
    world
        .run(&["refresh"])
        .assert_failure(75, &["the instance has no instance profile", "attach an instance profile"]);
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedListing, Kind::LegacyListing]);
    world.fake.imds().attach_role(Some(ABCD));
    world.run(&["refresh"]).assert_silent_success();
}

#[test]
fn a_role_swapped_on_the_running_instance_is_noticed() {
    let world = World::new(INSTANCE);
    world.run(&["refresh"]).assert_silent_success();
    let arn = "arn:aws:iam::111111111111:role/abcd-next";
    world.fake.iam().add_role(
        Role::new(arn)
            .trust(Trust::of("ec2.amazonaws.com"))
            .permission(Permission::allow("s3:ListBucket", "arn:aws:s3:::my-bucket-1")),
    );
    world.fake.imds().attach_role(Some(arn));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert!(world.received(Service::Imds).last().unwrap().target.ends_with("/abcd-next"));
    assert_eq!(world.list("instance", "my-bucket-1"), 200);
    let caller = world.received(Service::S3)[0].caller.clone().unwrap();
    assert!(caller.contains("assumed-role/abcd-next/"), "{caller}");
}
