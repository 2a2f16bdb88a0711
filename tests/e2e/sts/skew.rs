//! A wrong clock is told from a wrong key, and corrected once.

use fake_aws::{Action, Received, Reply, scenario};
use rolekeeper::timestamp::between;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{fail_with, statuses, with_keys};
use crate::observe::{connections, now};
use crate::support::World;

const TOO_OLD: &str =
    "Signature expired: 20260102T030405Z is now earlier than 20260102T034000Z (20260102T034500Z - 5 min.)";

/// The instant that a request was signed for.
fn signed_for(request: &Received) -> OffsetDateTime {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let text = request.header("x-amz-date").unwrap();
    time::PrimitiveDateTime::parse(text, &form).unwrap().assume_utc()
}

/// An STS error with this message, dated `offset` from now, and with this header where one is named.
fn error_of_the_clock(message: &str, offset: time::Duration, header: Option<&str>) -> Action {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let reply = Reply::new(403)
        .header("Content-Type", "text/xml")
        .header("Date", &now().saturating_add(offset).format(&form).unwrap())
        .body(format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>SignatureDoesNotMatch</Code><Message>{message}</Message></Error>\
             <RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></ErrorResponse>"
        ));
    Action::Answer(header.into_iter().fold(reply, |reply, name| reply.header(name, "17")))
}

#[test]
fn a_skewed_clock_is_corrected_with_one_more_signature() {
    for minutes in [40_i64, -40, 6] {
        let world = with_keys();
        world.fake.sts().clock_offset(time::Duration::minutes(minutes));
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(statuses(&world), [Some(403), Some(200)], "{minutes}");
        let [first, second] = world.assumptions().try_into().unwrap();
        let shift = between(signed_for(&first), signed_for(&second));
        assert!(
            shift.saturating_sub(time::Duration::minutes(minutes)).abs() < time::Duration::seconds(10),
            "{shift}"
        );
        assert_eq!(connections(&[first, second]), 1);
        let status = world.status("keys");
        let left = status["expires_in_seconds"].as_i64().unwrap();
        assert!((3500..=3605).contains(&left), "judged by the corrected time: {left}");
        let duration = status["effective_duration_seconds"].as_i64().unwrap();
        assert!((3598..=3602).contains(&duration), "issued at the corrected time: {duration}");
    }
}

#[test]
fn the_corrected_time_is_kept_for_the_next_hop() {
    let world = World::new(&format!(
        "[profile hop1]\nrole_arn = {}\nsource_profile = keys\n[profile hop2]\nrole_arn = {}\n\
         source_profile = hop1\nregion = us-east-1\nrolekeeper_publish = true\n[rolekeeper]\nmanaged = explicit\n",
        scenario::hop(1),
        scenario::hop(2)
    ));
    let keys = scenario::alice();
    world.write(
        "credentials",
        format!(
            "[keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            keys.access_key_id, keys.secret_access_key
        ),
    );
    world.fake.sts().clock_offset(time::Duration::minutes(40));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(statuses(&world), [Some(403), Some(200), Some(200)]);
}

#[test]
fn chains_side_by_side_are_all_corrected() {
    let profile = |number: u8| {
        format!(
            "[profile keys{number}]\nrole_arn = {}\nsource_profile = keys\nregion = us-east-1\n",
            scenario::PRODUCTION
        )
    };
    let config: String = (0..8).map(profile).collect();
    let world = with_keys();
    world.write("config", config);
    world.fake.sts().clock_offset(time::Duration::minutes(40));
    // All are on their way before the first is answered.
    world.fake.sts().delay(std::time::Duration::from_millis(200));
    world.run(&["refresh"]).assert_silent_success();
    let good = statuses(&world).iter().filter(|status| **status == Some(200)).count();
    assert_eq!(good, 8);
}

#[test]
fn a_second_refusal_for_the_clock_is_final() {
    let world = with_keys();
    fail_with(&world, error_of_the_clock(TOO_OLD, time::Duration::minutes(40), None));
    world.run(&["refresh"]).assert_failure(75, &["Signature expired", "time synchronisation"]);
    assert_eq!(world.assumptions().len(), 2);
}

#[test]
fn a_cached_date_a_small_difference_and_a_wrong_secret_correct_nothing() {
    let forty = time::Duration::minutes(40);
    let mismatch = "The request signature we calculated does not match the signature you provided.";
    for (message, offset, header, exit) in [
        (TOO_OLD, forty, Some("Age"), 75),
        (TOO_OLD, time::Duration::minutes(3), None, 75),
        (mismatch, forty, None, 77),
    ] {
        let world = with_keys();
        fail_with(&world, error_of_the_clock(message, offset, header));
        world
            .run(&["refresh"])
            .assert_failure(exit, &["SignatureDoesNotMatch", "b25f48e8-84fd-11e6-80d9-574e0c4664cb"]);
        assert_eq!(world.assumptions().len(), 1, "{message} {offset} {header:?}");
    }
}

#[test]
fn a_profile_can_believe_the_clock_of_the_host_whatever_sts_says() {
    let world = with_keys();
    let config = std::fs::read_to_string(world.directory.join("config")).unwrap();
    let believing = config.replace("profile keys", "profile believing");
    world.write("config", format!("{config}{believing}disable_clock_skew_correction = True\n"));
    world.fake.sts().clock_offset(time::Duration::minutes(40));
    world.run(&["refresh"]).assert_failure(75, &["profile `believing`"]);
    let mut seen = statuses(&world);
    seen.sort_unstable();
    assert_eq!(seen, [Some(200), Some(403), Some(403)], "one was signed again, the other was not");
    assert!(world.is_unpublished("believing") && !world.is_unpublished("keys"));
    // What another profile has learnt is nothing to it, and every other value leaves correction on.
    world.run(&["refresh"]).assert_failure(75, &["profile `believing`"]);
    assert_eq!(statuses(&world).len(), 4);
    world.write("config", format!("{config}{believing}disable_clock_skew_correction = yes\n"));
    world.run(&["refresh"]).assert_silent_success();
}
