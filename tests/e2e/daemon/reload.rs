//! SIGHUP: what changed is refreshed, what did not is left alone, what left goes away, and a mistake changes nothing.

use std::time::Duration;

use fake_aws::scenario::{EFGH, LONG, PRODUCTION, SHORT};
use nix::sys::signal::Signal;

use super::{Daemon, NAME, RELOADED, SOON, has_published, idle, key, record, switching, wait_until};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// The roles that were assumed, in order.
fn assumed(world: &World) -> Vec<String> {
    world.assumptions().iter().map(|request| request.parameter("RoleArn").unwrap().to_owned()).collect()
}

#[test]
fn a_changed_profile_is_refreshed_and_an_unchanged_one_is_not_asked_for_again() {
    let stays = switching("stays", EFGH);
    let world = World::new(&format!("{stays}{}", switching("changes", LONG)));
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "credentials", || has_published(&world, "stays") && has_published(&world, "changes"));
    let (kept, replaced) = (key(&world, "stays"), key(&world, "changes"));
    world.fake.clear_log();
    world.write("config", format!("{stays}{}", switching("changes", SHORT)));
    daemon.signal(Signal::SIGHUP);
    wait_until(RELOADED, "the other role", || key(&world, "changes") != replaced);
    assert_eq!(assumed(&world), [SHORT]);
    assert_eq!(key(&world, "stays"), kept);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn settings_that_change_bring_the_next_refresh_nearer() {
    let patient = "rolekeeper_refresh_after_percent = 90\nrolekeeper_margin_seconds = 0\n";
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{patient}"));
    world.fake.sts().session_lifetime(Some(Duration::from_secs(80)));
    let mut daemon = Daemon::publishing(&world);
    let first = key(&world, NAME);
    idle(&daemon);
    let due = || world.status(NAME)["next_refresh"].clone();
    let before = due();
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_refresh_after_percent = 10\n"));
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "another time in the status", || due() != before);
    assert_eq!(key(&world, NAME), first, "the same session");
    // After 8 seconds at the latest, and not after 52 at the earliest.
    wait_until(RELOADED, "the next session", || key(&world, NAME) != first);
    let life = world.life(NAME).whole_seconds();
    assert!(life > 60, "{life}");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_policy_file_that_has_changed_asks_for_another_session() {
    let allow = |action: &str| {
        format!("{{\"Statement\": {{\"Effect\": \"Allow\", \"Action\": \"{action}\", \"Resource\": \"*\"}}}}")
    };
    let world = World::new("");
    let policy = world.write("policy.json", allow("s3:*"));
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_policy_file = {}\n", policy.display()));
    let daemon = Daemon::publishing(&world);
    world.write("policy.json", allow("s3:GetObject"));
    daemon.signal(Signal::SIGHUP);
    wait_until(RELOADED, "a session under the new policy", || assumed(&world).len() == 2);
    assert_eq!(world.assumptions()[1].parameter("Policy"), Some(allow("s3:GetObject").as_str()));
}

#[test]
fn a_profile_that_is_new_is_published_and_one_that_left_is_removed_at_once() {
    let stays = switching("stays", EFGH);
    let world = World::new(&format!("{stays}{}", switching("leaves", LONG)));
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "credentials", || has_published(&world, "stays") && has_published(&world, "leaves"));
    world.fake.clear_log();
    world.write("config", &stays);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("profile `leaves` is no longer managed");
    wait_until(SOON, "its removal", || !world.out().join("profiles/leaves").exists());
    wait_until(SOON, "the common files", || !world.published("status.json").contains("leaves"));
    assert!(!world.published("credentials").contains("leaves"));
    assert!(!world.published("config").contains("leaves"));
    assert_eq!(record(&world, "leaves"), "");
    assert_eq!(assumed(&world), [""; 0], "for that nothing is asked");
    world.write("config", format!("{stays}{}", switching("comes", PRODUCTION)));
    daemon.signal(Signal::SIGHUP);
    wait_until(RELOADED, "the new profile", || has_published(&world, "comes"));
    assert_eq!(assumed(&world), [PRODUCTION]);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_profile_that_left_while_no_daemon_ran_is_removed_at_the_start() {
    let stays = switching("stays", EFGH);
    let world = World::new(&format!("{stays}{}", switching("leaves", LONG)));
    world.run(&["refresh"]).assert_silent_success();
    world.write("config", &stays);
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "its removal", || !world.out().join("profiles/leaves").exists());
    daemon.stop(Signal::SIGTERM);
    assert_eq!(world.assumptions().len(), 2, "only the one-shot asked");
}

#[test]
fn a_configuration_with_a_mistake_keeps_the_old_one_and_is_named() {
    let world = World::new(&switching(NAME, EFGH));
    let mut daemon = Daemon::publishing(&world);
    wait_until(SOON, "the common files", || world.out().join("status.json").exists());
    let before = world.snapshot();
    for (broken, named) in [
        ("[profile x]\nrole_arn", "config:2"),
        (
            "[profile x]\nrolekeeper_ownr = 1\nrole_arn = arn:aws:iam::222222222222:role/efgh\n",
            "rolekeeper_ownr",
        ),
        ("", "no profile"),
        ("[rolekeeper]\nnonsense = 1\n", "nonsense"),
    ] {
        let known = daemon.log().len();
        world.write("config", broken);
        daemon.signal(Signal::SIGHUP);
        wait_until(SOON, named, || {
            let said = daemon.log().split_off(known);
            said.contains("error: the configuration stays as it was: ") && said.contains(named)
        });
    }
    std::fs::remove_file(world.directory.join("config")).unwrap();
    let known = daemon.log().len();
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "the missing file", || daemon.log().split_off(known).contains("stays as it was"));
    assert_eq!(world.snapshot(), before);
    world.write("config", switching(NAME, EFGH));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the configuration was read again");
    daemon.stop(Signal::SIGTERM);
    assert_eq!(world.assumptions().len(), 1);
}

#[test]
fn another_output_directory_takes_a_restart() {
    let world = World::new(&switching(NAME, EFGH));
    let mut command = world.bare_command(&["run"]);
    command.env("ROLEKEEPER_CONFIG", world.directory.join("config"));
    let place = |name: &str| format!("[rolekeeper]\noutput_dir = {}\n", world.directory.join(name).display());
    world.write("config", format!("{}{}", switching(NAME, EFGH), place("out")));
    let mut daemon = Daemon::of(&world, &mut command);
    wait_until(SOON, "credentials", || has_published(&world, NAME));
    world.write("config", format!("{}{}", switching(NAME, EFGH), place("elsewhere")));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the configuration stays as it was: `output_dir` is");
    assert!(!world.directory.join("elsewhere").exists());
    daemon.stop(Signal::SIGTERM);
}
