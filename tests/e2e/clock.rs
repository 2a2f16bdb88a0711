//! A host whose clock is wrong: what is learnt about the true time, from whom, and what it decides. The binary runs
//! under a wrong clock of its own; the fake stands for AWS and has the right one.

use std::process::Command;

use fake_aws::scenario::{self, PRODUCTION};
use fake_aws::{Action, Fault, Kind, Options, Service, Validity};
use serde_json::Value;
use time::Duration;

use crate::observe::{INSTANCE, instant, now};
use crate::support::wrong_clock::WrongClock;
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const PROFILE: &str = "instancecrossaccount";
const KEYS: &str = "[profile keys]\nrole_arn = arn:aws:iam::222222222222:role/ProductionAccessRole\n\
     source_profile = keys\nregion = us-east-1\n";
/// As public authorities issue certificates, in the middle of its life.
const MIDDLE_OF_LIFE: Validity = Validity { not_before: Duration::days(-45), not_after: Duration::days(45) };

fn wrong_by_years_and_hours() -> [Duration; 4] {
    [Duration::days(-30 * 365), Duration::hours(-2), Duration::hours(2), Duration::days(3652)]
}

/// Long-term keys and a role: no metadata service tells the time.
fn with_keys() -> World {
    assert!(KEYS.contains(PRODUCTION));
    let world = World::with_options(KEYS, |options| options.validity(MIDDLE_OF_LIFE));
    let keys = scenario::alice();
    world.write(
        "credentials",
        format!(
            "[keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            keys.access_key_id, keys.secret_access_key
        ),
    );
    world
}

fn status_of(run: &Run) -> Value {
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    serde_json::from_str(&run.stdout).unwrap()
}

/// Somebody who may only read: no configuration, nothing that answers.
fn reader(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    command.args(arguments).arg("--output-dir").arg(world.out()).env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn out_of_order(world: &World) {
    world.fake.imds().fail(Fault::new(Action::error(500, "InternalError")));
    world.fake.sts().fail(Fault::new(Action::error(500, "InternalError")));
}

#[test]
fn with_a_metadata_service_every_wrong_clock_is_allowed_for() {
    for offset in wrong_by_years_and_hours() {
        let Some(clock) = WrongClock::ahead_by(offset) else { return };
        let world = World::with_options(INSTANCE_CROSS_ACCOUNT, |options| options.validity(MIDDLE_OF_LIFE));
        clock.run(&world, &world.command(&["refresh"])).assert_silent_success();
        assert_eq!(world.assumptions().len(), 1, "signed for the right time at once: {offset}");
        let handshakes = world.fake.counts().connections(Service::Sts);
        assert_eq!(handshakes, 1, "no connection more than with a right clock: {offset}");

        let status = status_of(&clock.run(&world, &world.command(&["status", "--json"])));
        let reported = status["clock_offset_seconds"].as_i64().unwrap();
        assert!(reported.saturating_add(offset.whole_seconds()).abs() <= 3, "{offset}: {reported}");
        let profile = &status["profiles"][0];
        assert_eq!(profile["state"], "fresh");
        let left = profile["expires_in_seconds"].as_i64().unwrap();
        assert!((3540..=3605).contains(&left), "{offset}: {left}");
        let issued = instant(&profile["issued"]);
        assert!((issued - now()).abs() < Duration::minutes(1), "state is in true time: {offset}: {issued}");

        // Nothing is asked again: freshness is judged by the true time too.
        let before = world.fake.counts().all_requests();
        clock.run(&world, &world.command(&["refresh"])).assert_silent_success();
        assert_eq!(clock.run(&world, &world.command(&["print", PROFILE])).code, 0);
        assert_eq!(world.fake.counts().all_requests(), before, "{offset}");

        let text = clock.run(&world, &world.command(&["status"])).stdout;
        assert!(text.contains("the clock of this host is"), "{offset}: {text}");
    }
}

#[test]
fn a_right_clock_is_reported_as_right_and_anchored() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let status: Value = serde_json::from_str(&world.published("status.json")).unwrap();
    assert_eq!(status["clock_offset_seconds"], 0);
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(status["anchor"]["boot_id"], boot_id.trim());
    assert!(status["anchor"]["boottime_seconds"].as_u64().unwrap() > 0);
    assert!((instant(&status["anchor"]["true_time"]) - now()).abs() < Duration::minutes(1));
    assert!(!world.run(&["status"]).stdout.contains("clock"));
    // A batch that has nothing to do hears nothing, and writes what was known.
    let before = world.snapshot();
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.snapshot(), before);
}

#[test]
fn a_reader_judges_expiry_by_the_anchor() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    for offset in wrong_by_years_and_hours() {
        // The clock has gone wrong after the refresh, and nobody answers any more.
        let Some(clock) = WrongClock::ahead_by(offset) else { return };
        let run = clock.run(&world, &reader(&world, &["print", PROFILE]));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{offset}");
        assert!(run.stdout.contains("AccessKeyId"));
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "credentials have to expire, and the fake has the machine's clock"
)]
fn a_reader_refuses_what_has_expired_by_the_true_time() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(std::time::Duration::from_secs(2)));
    let Some(clock) = WrongClock::ahead_by(Duration::hours(-2)) else { return };
    clock.run(&world, &world.command(&["refresh"])).assert_silent_success();
    // The true time is kept in whole seconds.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let run = clock.run(&world, &reader(&world, &["print", PROFILE]));
    run.assert_failure(69, &["expired"]);
    assert_eq!(run.stdout, "");
    out_of_order(&world);
    let run = clock.run(&world, &world.command(&["exec", PROFILE, "--", "true"]));
    assert_ne!(run.code, 0, "expired by the true time: {run:?}");
}

#[test]
fn a_metadata_service_further_away_is_not_believed_about_the_time() {
    // A certificate that has expired, and whose key somebody else may hold, and a metadata service that says it is
    // still the day before. It listens on loopback, but its address says nothing of the kind.
    let options = |options: Options| options.validity(Validity::EXPIRED);
    let world = World::with_options(INSTANCE_CROSS_ACCOUNT, options);
    world.fake.imds().clock_offset(Duration::days(-2));
    let port = world.fake.imds_url().rsplit(':').next().unwrap().to_owned();
    let mut command = world.command(&["refresh"]);
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://0.0.0.0:{port}"));
    Run::of(&mut command).assert_failure(75, &["clock", "certificate"]);
    assert!(world.assumptions().is_empty());
    assert!(world.is_unpublished(PROFILE));
}

#[test]
fn no_time_before_the_build_revives_a_certificate() {
    let long_ago = Validity { not_before: Duration::days(-7400), not_after: Duration::days(-7200) };
    let world = World::with_options(INSTANCE_CROSS_ACCOUNT, |options| options.validity(long_ago));
    world.fake.imds().clock_offset(Duration::days(-7300));
    world.run(&["refresh"]).assert_failure(75, &["nor at AWS's", "expired"]);
    assert!(world.assumptions().is_empty());
}

#[test]
fn a_certificate_that_is_valid_by_the_local_clock_needs_no_other_time() {
    // The metadata service is wrong by ten years and the clock is right: TLS goes by the clock, and STS has the last
    // word about signatures.
    let world = World::with_options(INSTANCE_CROSS_ACCOUNT, |options| options.validity(MIDDLE_OF_LIFE));
    world.fake.imds().clock_offset(Duration::days(3650));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), 2);
    let left = world.status(PROFILE)["expires_in_seconds"].as_i64().unwrap();
    assert!((3540..=3605).contains(&left), "{left}");
}

#[test]
fn without_a_metadata_service_sts_mends_hours() {
    for offset in [Duration::hours(-2), Duration::hours(2)] {
        let Some(clock) = WrongClock::ahead_by(offset) else { return };
        let world = with_keys();
        clock.run(&world, &world.command(&["refresh"])).assert_silent_success();
        let statuses: Vec<_> = world.assumptions().iter().map(|request| request.status).collect();
        assert_eq!(statuses, [Some(403), Some(200)], "{offset}");
        let status = status_of(&clock.run(&world, &world.command(&["status", "--json"])));
        let reported = status["clock_offset_seconds"].as_i64().unwrap();
        assert!(reported.saturating_add(offset.whole_seconds()).abs() <= 3, "{offset}: {reported}");
        let effective = status["profiles"][0]["effective_duration_seconds"].as_i64().unwrap();
        assert!((3598..=3602).contains(&effective), "counted from the true time: {effective}");
        // Known from the anchor, so that the next refresh is signed right at once.
        world.fake.clear_log();
        clock.run(&world, &world.command(&["refresh", "--force"])).assert_silent_success();
        assert_eq!(world.assumptions().len(), 1, "{offset}");
    }
}

#[test]
fn without_a_metadata_service_years_are_an_error_with_a_name() {
    for offset in [Duration::days(-30 * 365), Duration::days(3652)] {
        let Some(clock) = WrongClock::ahead_by(offset) else { return };
        let world = with_keys();
        let run = clock.run(&world, &world.command(&["refresh"]));
        run.assert_failure(
            75,
            &["the clock of this host is wrong", "certificate", "set the clock of this host"],
        );
        assert!(world.assumptions().is_empty(), "nothing was sent: {offset}");
    }
}

#[test]
fn correction_can_be_switched_off() {
    for value in ["true", "TRUE", "tRuE"] {
        let Some(clock) = WrongClock::ahead_by(Duration::days(-30 * 365)) else { return };
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        let mut command = world.command(&["refresh"]);
        command.env("AWS_DISABLE_CLOCK_SKEW_CORRECTION", value);
        clock.run(&world, &command).assert_failure(75, &["the clock of this host is wrong"]);
        let world = with_keys();
        let mut command = world.command(&["refresh"]);
        command.env("AWS_DISABLE_CLOCK_SKEW_CORRECTION", value);
        let Some(clock) = WrongClock::ahead_by(Duration::hours(2)) else { return };
        clock.run(&world, &command).assert_failure(75, &["Signature"]);
        assert_eq!(world.assumptions().len(), 1, "not signed again");
    }
    let Some(clock) = WrongClock::ahead_by(Duration::hours(2)) else { return };
    let world = with_keys();
    let mut command = world.command(&["refresh"]);
    command.env("AWS_DISABLE_CLOCK_SKEW_CORRECTION", "1");
    clock.run(&world, &command).assert_silent_success();
}

#[test]
fn a_clock_that_jumps_between_two_runs_changes_no_verdict() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let offsets = [Duration::ZERO, Duration::hours(-2), Duration::days(3652), Duration::ZERO];
    for (number, offset) in offsets.into_iter().enumerate() {
        let Some(clock) = WrongClock::ahead_by(offset) else { return };
        clock.run(&world, &world.command(&["refresh"])).assert_silent_success();
        let status = status_of(&clock.run(&world, &world.command(&["status", "--json"])));
        assert_eq!(status["profiles"][0]["state"], "fresh", "{number}");
        assert_eq!(world.fake.counts().requests(Kind::AssumeRole), 1, "{number}");
    }
}

#[test]
fn instance_credentials_outlive_an_outage_of_the_metadata_service() {
    let world = World::new(INSTANCE);
    world.fake.imds().credential_lifetime(std::time::Duration::from_secs(600));
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document("instance");
    out_of_order(&world);
    // Ten minutes are less than botocore works with, so they are advertised as more, and the failure is loud.
    world.run(&["refresh", "--force"]).assert_failure(75, &["metadata service"]);
    let after = world.document("instance");
    assert_eq!(after["AccessKeyId"], before["AccessKeyId"]);
    let advertised = world.life("instance");
    assert!((Duration::minutes(14)..Duration::minutes(24)).contains(&advertised), "{advertised}");
    let status = world.status("instance");
    assert_eq!(status["real_expiration"], before["Expiration"]);
    assert!(status["extended"].is_string());
    assert_eq!(status["generation"], 1, "still the same keys");
    assert_eq!(world.run(&["print", "instance"]).code, 0);
    // The service is back.
    world.fake.imds().heal();
    world.fake.imds().credential_lifetime(std::time::Duration::from_secs(21_600));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert!(world.status("instance").get("extended").is_none());
    assert_eq!(world.status("instance")["generation"], 2);
}

#[test]
fn credentials_with_life_enough_are_not_touched_in_an_outage() {
    let world = World::new(INSTANCE);
    world.fake.imds().credential_lifetime(std::time::Duration::from_secs(7200));
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document("instance");
    out_of_order(&world);
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(world.document("instance"), before);
    assert!(world.status("instance").get("extended").is_none());
}

#[test]
fn sessions_of_roles_and_refusals_are_never_extended() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(std::time::Duration::from_secs(600)));
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document(PROFILE);
    out_of_order(&world);
    assert_eq!(world.run(&["refresh", "--force"]).code, 75);
    assert_eq!(world.document(PROFILE), before);

    let world = World::new(INSTANCE);
    world.fake.imds().credential_lifetime(std::time::Duration::from_secs(600));
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document("instance");
    world.fake.imds().attach_role(None);
    assert_ne!(world.run(&["refresh", "--force"]).code, 0);
    assert_eq!(world.document("instance"), before, "the role was taken away: that is an answer");
}
