//! What chains share, and what must not be shared: an answer that one profile may have, and another one not.

use fake_aws::{Service, Validity};
use time::Duration;

use super::certificates::world_of;
use crate::support::{Run, World};

/// A world with two profiles, `anywhere` and `other`, that ask the same service for the same session; in `other` stand
/// these lines, too.
fn twins(world: World, lines: &str) -> World {
    let world = world_of(world);
    let config = world.text("config");
    let (_, anywhere) = config.split_once("[profile anywhere]\n").unwrap();
    let both = format!("[profile anywhere]\n{anywhere}[profile other]\n{anywhere}{lines}");
    world.write("config", both);
    world
}

/// How many requests were answered with a session.
fn sessions(world: &World) -> usize {
    let answered = |status: Option<u16>| status == Some(201);
    world.received(Service::RolesAnywhere).iter().filter(|request| answered(request.status)).count()
}

#[test]
fn equal_questions_are_asked_once() {
    let world = twins(World::new(""), "");
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!((world.asked().len(), sessions(&world)), (1, 1));
    assert_eq!(world.document("anywhere"), world.document("other"));
}

#[test]
fn whoever_believes_other_roots_asks_for_themselves() {
    let stranger = World::new("");
    let bundle = |world: &World| format!("ca_bundle = {}\n", world.fake.ca_file().unwrap().display());
    let world = twins(World::new(""), &bundle(&stranger));
    world.say("anywhere", &bundle(&world));
    let mut command = world.command(&["refresh"]);
    Run::of(command.env_remove("AWS_CA_BUNDLE")).assert_failure(75, &["`other`", "the TLS handshake failed"]);
    assert!(world.is_unpublished("other") && !world.is_unpublished("anywhere"));
}

#[test]
fn whoever_believes_the_clock_of_the_host_asks_for_themselves() {
    let validity = Validity { not_before: Duration::hours(-3), not_after: Duration::days(9) };
    let world = World::with_options("", |options| options.validity(validity));
    let world = twins(world, "disable_clock_skew_correction = true\n");
    world.fake.devices().clock_offset(Duration::minutes(40));
    world.run(&["refresh"]).assert_failure(77, &["`other`", "Signature expired"]);
    assert!(world.is_unpublished("other") && !world.is_unpublished("anywhere"));
}
