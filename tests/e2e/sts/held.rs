//! What AWS refuses again and again is not asked for by every process that comes along: not by cron, not by SDKs that
//! call `print`, not by a daemon that is restarted. Who says so is asked for at once.

use std::time::Duration;

use fake_aws::scenario::{ABCD, EFGH, LONG};
use fake_aws::{Action, Fault, Trust};
use nix::sys::signal::Signal;
use rolekeeper::timestamp::between;

use super::PROFILE;
use crate::daemon::{Daemon, let_pass, wait_until};
use crate::observe::{INSTANCE, instant};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// Within it a reload has had its effect, half a minute of spreading included.
const RELOADED: Duration = Duration::from_secs(50);

/// A world whose role has been refused three times in a row.
fn refused(config: &str) -> World {
    let world = World::new(config);
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    for round in 1..=3 {
        world.run(&["refresh"]).assert_failure(77, &["AccessDenied"]);
        assert_eq!(world.assumptions().len(), round, "who mends a policy may try it out");
    }
    world
}

fn allow(world: &World) {
    world.fake.iam().set_trust(EFGH, Trust::of(ABCD));
}

#[test]
fn after_three_refusals_one_shots_only_repeat_the_last_one() {
    let world = refused(INSTANCE_CROSS_ACCOUNT);
    allow(&world);
    let parts =
        ["AccessDenied", "3 times in a row; not asked again before 20", "`rolekeeper refresh --force`"];
    for arguments in [["refresh"].as_slice(), &["refresh", PROFILE], &["print", PROFILE]] {
        world.run(arguments).assert_failure(77, &parts);
        world.run(arguments).assert_failure(77, &parts);
    }
    assert_eq!(world.assumptions().len(), 3);
    let error = &world.status(PROFILE)["last_error"];
    assert_eq!((&error["disposition"], &error["count"]), (&"refused".into(), &3.into()));
    let message = error["message"].as_str().unwrap();
    assert!(!message.contains("in a row"), "what is repeated does not grow: {message}");
    assert_eq!(
        between(instant(&error["at"]), instant(&error["next_attempt"])).whole_minutes(),
        10,
        "{error}"
    );

    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), 4);
    assert!(world.status(PROFILE).get("last_error").is_none());
}

#[test]
fn another_configuration_is_asked_for_at_once() {
    let world = refused(INSTANCE_CROSS_ACCOUNT);
    world.write("config", INSTANCE_CROSS_ACCOUNT.replace(EFGH, LONG));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), 4);
}

#[test]
fn an_outage_is_asked_about_every_time_and_ends_the_count_of_refusals() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().fail(Fault::new(Action::error(503, "ServiceUnavailable")));
    for _ in 0..4 {
        let before = world.assumptions().len();
        world.run(&["refresh"]).assert_failure(75, &["ServiceUnavailable"]);
        assert!(world.assumptions().len() > before);
    }
    world.fake.sts().heal();
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    let before = world.assumptions().len();
    (0..2).for_each(|_| world.run(&["refresh"]).assert_failure(77, &["AccessDenied"]));
    allow(&world);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), before + 3);
}

#[test]
fn what_is_published_is_handed_on_while_it_lives_and_no_longer() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(Duration::from_secs(15)));
    world.run(&["refresh"]).assert_silent_success();
    let key = world.document(PROFILE)["AccessKeyId"].clone();
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    (0..3).for_each(|_| world.run(&["refresh", "--force"]).assert_failure(75, &["AccessDenied"]));
    let before = world.assumptions().len();
    let printed = world.run(&["print", PROFILE]);
    assert!(printed.code == 0 && printed.stdout.contains(key.as_str().unwrap()), "{printed:?}");
    wait_until(Duration::from_secs(20), "the end of the session", || !world.life(PROFILE).is_positive());
    world.run(&["refresh"]).assert_failure(77, &["AccessDenied"]);
    world.run(&["print", PROFILE]).assert_failure(77, &["AccessDenied"]);
    assert_eq!(world.assumptions().len(), before);
}

#[test]
fn a_daemon_that_is_restarted_knows_of_it_and_a_reload_asks() {
    let world = refused(&format!("{INSTANCE_CROSS_ACCOUNT}{INSTANCE}"));
    allow(&world);
    for _ in 0..3 {
        let mut daemon = Daemon::start(&world);
        daemon.wait_for_log("warn: profile `instancecrossaccount`");
        daemon.wait_for_log("AccessDenied");
        assert!(daemon.log().contains("3 times in a row; not asked again before 20"), "{}", daemon.log());
        let_pass(Duration::from_secs(1));
        daemon.stop(Signal::SIGTERM);
    }
    assert_eq!(world.assumptions().len(), 3);
    let mut daemon = Daemon::start(&world);
    daemon.wait_for_log("not asked again before");
    daemon.signal(Signal::SIGHUP);
    wait_until(RELOADED, "credentials", || !world.is_unpublished(PROFILE));
    daemon.stop(Signal::SIGTERM);
    assert_eq!(world.assumptions().len(), 4);
}
