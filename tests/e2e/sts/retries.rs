//! What STS may recover from: throttling, broken servers and connections.

use std::time::Duration;

use fake_aws::scenario::PRODUCTION;
use fake_aws::{Action, Kind};
use rolekeeper::timestamp::between;

use super::{fail_times, fail_with, statuses, with_keys};
use crate::daemon::{Daemon, let_pass, wait_until};
use crate::observe::{at_once, connections, instant, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};
use nix::sys::signal::Signal;

#[test]
fn throttling_is_waited_out() {
    let codes =
        ["Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"];
    at_once(codes, |code| {
        let world = with_keys();
        fail_times(&world, Action::error(400, code), 2);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(statuses(&world), [Some(400), Some(400), Some(200)], "{code}");
        assert_eq!(connections(&world.assumptions()), 1, "{code}");
    });
}

#[test]
fn throttling_is_waited_out_as_long_as_the_service_says() {
    let world = with_keys();
    let action = Action::Error { status: 429, code: "Throttling".to_owned(), retry_after_ms: Some(1700) };
    fail_times(&world, action, 1);
    world.run(&["refresh"]).assert_silent_success();
    let [first, second] = world.assumptions().try_into().unwrap();
    let pause = between(first.at, second.at);
    assert!(pause >= time::Duration::milliseconds(1700), "{pause}");
}

#[test]
fn throttling_without_end_is_given_up_and_passes_later() {
    let world = with_keys();
    fail_with(&world, Action::error(400, "Throttling"));
    let (run, time) = timed(|| world.run(&["refresh"]));
    run.assert_failure(75, &["profile `keys`", PRODUCTION, "Throttling"]);
    assert!(time < Duration::from_secs(30), "{time:?}");
    assert_eq!(world.assumptions().len(), 4);
    assert!(world.is_unpublished("keys"));
}

#[test]
fn a_wait_that_is_longer_than_the_call_may_take_is_not_begun() {
    let world = with_keys();
    let action = Action::Error { status: 503, code: "SlowDown".to_owned(), retry_after_ms: Some(86_400_000) };
    fail_with(&world, action);
    let (run, time) = timed(|| world.run(&["refresh"]));
    run.assert_failure(75, &["SlowDown"]);
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert_eq!(world.assumptions().len(), 1);
}

/// STS wants to be left alone for so long, from the next call on.
fn throttle(world: &World, time: Duration) {
    let retry_after_ms = Some(time.as_millis().try_into().unwrap());
    fail_with(world, Action::Error { status: 400, code: "Throttling".to_owned(), retry_after_ms });
}

#[test]
fn a_daemon_leaves_a_service_alone_for_as_long_as_it_wants() {
    let world = with_keys();
    throttle(&world, Duration::from_secs(32));
    let mut daemon = Daemon::start(&world);
    daemon.wait_for_log("Throttling");
    world.fake.sts().heal();
    wait_until(Duration::from_secs(60), "credentials", || !world.is_unpublished("keys"));
    daemon.stop(Signal::SIGTERM);
    let [first, second] = world.assumptions().try_into().unwrap();
    let pause = between(first.at, second.at).whole_seconds();
    assert!((32..=37).contains(&pause), "{pause}");
}

#[test]
fn a_wish_of_the_service_is_remembered_within_what_is_published_can_bear() {
    let world = with_keys();
    world.run(&["refresh"]).assert_silent_success();
    throttle(&world, Duration::from_secs(86_400));
    world.run(&["refresh", "--force"]).assert_silent_success();
    let error = &world.status("keys")["last_error"];
    let wait = between(instant(&error["at"]), instant(&error["next_attempt"])).whole_seconds();
    assert!((1790..=1800).contains(&wait), "half of an hour: {error}");
}

#[test]
fn what_wants_to_be_left_alone_is_left_alone_by_every_process_unless_it_must() {
    let world = with_keys();
    throttle(&world, Duration::from_secs(86_400));
    world.run(&["refresh"]).assert_failure(75, &["Throttling"]);
    world.fake.sts().heal();
    let parts = [
        "Throttling",
        "it wants to be left alone; not asked again before 20",
        "`rolekeeper refresh --force`",
    ];
    world.run(&["refresh"]).assert_failure(75, &parts);
    world.run(&["print", "keys"]).assert_failure(75, &parts);
    let mut daemon = Daemon::start(&world);
    daemon.wait_for_log("not asked again before");
    let_pass(Duration::from_secs(3));
    daemon.stop(Signal::SIGTERM);
    assert_eq!(world.assumptions().len(), 1);
    world.run(&["refresh", "--force"]).assert_silent_success();
    world.run(&["print", "keys"]);
    assert_eq!(world.assumptions().len(), 2);
}

#[test]
fn errors_of_the_server_pass() {
    at_once([500, 502, 503, 504], |status| {
        let world = with_keys();
        fail_times(&world, Action::error(status, "InternalFailure"), 2);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(statuses(&world), [Some(status), Some(status), Some(200)]);
    });
}

#[test]
fn codes_that_pass_are_retried_whatever_their_status() {
    for code in
        ["IDPCommunicationError", "RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"]
    {
        let world = with_keys();
        fail_times(&world, Action::error(400, code), 1);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(statuses(&world), [Some(400), Some(200)], "{code}");
    }
}

#[test]
fn stale_instance_credentials_are_read_once_more() {
    for code in ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        fail_times(&world, Action::error(403, code), 1);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(statuses(&world), [Some(403), Some(200)], "{code}");
        assert_eq!(world.fake.counts().requests(Kind::ExtendedDocument), 2, "{code}");
        assert_eq!(world.fake.counts().requests(Kind::IdentityDocument), 1, "{code}: that does not change");
    }
}

#[test]
fn instance_credentials_that_stay_stale_are_no_endless_loop() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    fail_with(&world, Action::error(403, "ExpiredToken"));
    world.run(&["refresh"]).assert_failure(77, &["ExpiredToken"]);
    assert_eq!(statuses(&world), [Some(403), Some(403)]);
    assert_eq!(world.fake.counts().requests(Kind::ExtendedDocument), 2);
}

#[test]
fn connections_that_break_are_opened_again() {
    let actions =
        [Action::ResetBefore, Action::ResetMidway, Action::Truncate, Action::EmptyBody, Action::NotUtf8];
    at_once(actions, |action| {
        let world = with_keys();
        fail_times(&world, action.clone(), 2);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(world.assumptions().len(), 3, "{action:?}");
        assert_eq!(world.document("keys")["AccountId"], "222222222222");
    });
}

#[test]
fn a_connection_that_stays_broken_is_said() {
    let world = with_keys();
    fail_with(&world, Action::ResetBefore);
    let endpoint = format!("no answer from STS at `{}`", world.fake.sts_url());
    world.run(&["refresh"]).assert_failure(75, &[&endpoint, "the connection failed"]);
    assert_eq!(world.assumptions().len(), 3);
}
