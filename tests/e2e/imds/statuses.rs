//! Statuses of the metadata service: what is final, what passes, and when a session token is to blame.

use std::time::Duration;

use fake_aws::{Action, Fault, Kind, Service};

use crate::observe::{INSTANCE, at_once, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

fn tokens(world: &World) -> usize {
    world.kinds(Service::Imds).iter().filter(|kind| **kind == Kind::Token).count()
}

#[test]
fn a_refused_session_token_is_replaced_exactly_once() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(401)).on(Kind::ExtendedDocument).times(1));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument, Kind::Token, Kind::ExtendedDocument]
    );
    let used: Vec<_> = world
        .received(Service::Imds)
        .iter()
        .filter_map(|request| request.header("x-aws-ec2-metadata-token").map(str::to_owned))
        .collect();
    assert_eq!(used[0], used[1]);
    assert_ne!(used[1], used[2]);
}

#[test]
fn a_service_that_refuses_its_own_tokens_is_left_alone() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(401)).on(Kind::ExtendedListing));
    world.run(&["refresh"]).assert_failure(77, &["refuses its own session tokens"]);
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::Token, Kind::ExtendedListing]
    );
    assert!(world.is_unpublished("instance"));
}

#[test]
fn a_forbidden_token_is_final_and_version_one_is_never_tried() {
    for (status, code, phrase) in [
        (403, 77, "forbidden or disabled (403)"),
        (400, 78, "status 400"),
        (404, 78, "status 404"),
        (405, 78, "status 405"),
    ] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        world.fake.imds().fail(Fault::new(Action::status(status)).on(Kind::Token));
        let (run, time) = timed(|| world.run(&["refresh"]));
        run.assert_failure(code, &["profile `instancecrossaccount`", phrase]);
        assert!(time < Duration::from_secs(1), "{status} took {time:?}");
        assert_eq!(world.kinds(Service::Imds), [Kind::Token], "{status}");
        assert_eq!(world.fake.counts().connections(Service::Sts), 0);
        assert!(world.is_unpublished("instancecrossaccount"));
    }
}

#[test]
fn a_forbidden_service_is_explained() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(403)).on(Kind::Token));
    world.run(&["refresh"]).assert_failure(77, &["--http-endpoint enabled"]);
}

#[test]
fn errors_of_the_server_pass_on_every_step() {
    let kinds = [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument, Kind::IdentityDocument];
    at_once(kinds, |kind| {
        for status in [429, 500, 502, 503, 504] {
            let world = World::new(INSTANCE_CROSS_ACCOUNT);
            world.fake.imds().fail(Fault::new(Action::status(status)).on(kind).times(1));
            world.run(&["refresh"]).assert_silent_success();
            assert_eq!(world.kinds(Service::Imds).len(), 5, "{kind:?} {status}");
            assert_eq!(world.fake.counts().requests(kind), 2, "{kind:?} {status}");
        }
    });
}

#[test]
fn a_server_that_stays_broken_is_asked_three_times() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(500)).on(Kind::ExtendedListing));
    world.run(&["refresh"]).assert_failure(75, &["security-credentials-extended/", "status 500"]);
    assert_eq!(world.fake.counts().requests(Kind::ExtendedListing), 3);
    assert_eq!(tokens(&world), 1, "the session token is not to blame");
}

#[test]
fn a_service_that_starts_up_with_empty_bodies_is_waited_for() {
    for kind in [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument] {
        let world = World::new(INSTANCE);
        world.fake.imds().fail(Fault::new(Action::EmptyBody).on(kind).times(1));
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(world.fake.counts().requests(kind), 2, "{kind:?}");
    }
}

#[test]
fn a_failing_service_leaves_what_is_published_alone() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document("instancecrossaccount");
    world.fake.imds().fail(Fault::new(Action::status(500)));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(world.document("instancecrossaccount"), before);
    let status = world.status("instancecrossaccount");
    assert_eq!(
        (&status["state"], &status["last_error"]["disposition"]),
        (&"failing".into(), &"retry".into())
    );
    world.fake.imds().heal();
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert!(world.status("instancecrossaccount").get("last_error").is_none());
    assert_ne!(world.document("instancecrossaccount"), before);
}
