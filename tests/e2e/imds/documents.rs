//! What is made of a credential document: expirations in every form, and the time of the service.

use fake_aws::ExpirationForm;
use fake_aws::scenario::EFGH;

use super::ALL_CONFIGURED;
use crate::observe::{INSTANCE, instant, now};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn an_expired_document_is_published_with_an_expiry_that_readers_accept() {
    let world = World::new(INSTANCE);
    let past = "2026-01-02T03:04:05Z";
    world.fake.imds().show_expiration(Some(past));
    let run = world.run(&["refresh", "-v"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains(past) && run.stderr.contains("rolekeeper: warn: "), "{}", run.stderr);
    let minutes = world.life("instance").whole_minutes();
    assert!((5..=25).contains(&minutes), "{minutes}");
    assert_eq!(world.list("instance", "my-bucket-1"), 200, "the service decides");
    let status = world.status("instance");
    assert_eq!(status["real_expiration"], past);
    assert!(status["extended"].as_str().unwrap().contains("expired"), "{status}");
    assert!(instant(&status["next_refresh"]) < now().saturating_add(time::Duration::minutes(15)), "{status}");
}

#[test]
fn a_role_on_top_of_an_expired_document_gets_its_true_expiry() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.imds().show_expiration(Some("2026-01-02T03:04:05Z"));
    world.run(&["refresh"]).assert_silent_success();
    assert!((58..=60).contains(&world.life("instancecrossaccount").whole_minutes()));
    assert!(world.status("instancecrossaccount").get("real_expiration").is_none());
}

#[test]
fn expirations_with_fractions_and_numeric_offsets_are_read() {
    for form in [ExpirationForm::Zulu, ExpirationForm::Fractional, ExpirationForm::Offset] {
        let world = World::new(INSTANCE);
        world.fake.imds().expiration_form(form);
        world.run(&["refresh"]).assert_silent_success();
        let text = world.document("instance")["Expiration"].as_str().unwrap().to_owned();
        assert!(text.len() == 20 && text.ends_with('Z'), "{text}");
        assert!((357..=360).contains(&world.life("instance").whole_minutes()), "{form:?}: {text}");
    }
    let world = World::new(INSTANCE);
    world.fake.imds().show_expiration(Some("2099-11-23T20:23:13.5+01:00"));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.document("instance")["Expiration"], "2099-11-23T19:23:13Z");
}

#[test]
fn an_expiration_that_is_none_is_no_expiration() {
    let world = World::new(INSTANCE);
    world.fake.imds().show_expiration(Some("tomorrow"));
    world.run(&["refresh"]).assert_failure(75, &["no usable expiration"]);
    assert!(world.is_unpublished("instance"));
}

#[test]
fn members_that_nobody_knows_are_ignored() {
    for extended in [true, false] {
        let world = World::new(INSTANCE);
        world.fake.imds().unknown_members(true);
        world.fake.imds().extended(extended);
        world.run(&["refresh"]).assert_silent_success();
        let document = world.document("instance");
        assert_eq!(document.get("AccountId").is_some(), extended);
        assert_eq!(document["Version"], 1);
    }
}

#[test]
fn the_time_of_the_service_is_believed_where_the_clock_of_the_host_is_wrong() {
    for minutes in [40_i64, -40] {
        let offset = time::Duration::minutes(minutes);
        let world = World::new(ALL_CONFIGURED);
        world.fake.imds().clock_offset(offset);
        world.fake.sts().clock_offset(offset);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(world.assumptions().len(), 1, "signed with the right time from the start");
        assert_eq!(world.assumptions()[0].parameter("RoleArn"), Some(EFGH));
        let run = world.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let seconds = status["clock_offset_seconds"].as_i64().unwrap();
        assert!((seconds.abs_diff(offset.whole_seconds())) <= 5, "{seconds}");
        let left = status["profiles"][0]["expires_in_seconds"].as_i64().unwrap();
        assert!((3500..=3605).contains(&left), "{left}");
    }
}

#[test]
fn a_host_that_is_ahead_does_not_take_young_credentials_for_expired() {
    let world = World::new(INSTANCE);
    world.fake.imds().clock_offset(time::Duration::hours(-9));
    world.run(&["refresh"]).assert_silent_success();
    assert!(world.status("instance").get("real_expiration").is_none());
    let minutes = world.life("instance").saturating_add(time::Duration::hours(9)).whole_minutes();
    assert!((357..=360).contains(&minutes), "published as AWS gave it: {minutes}");
}
