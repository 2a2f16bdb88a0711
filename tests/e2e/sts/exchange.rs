//! The exchange itself: certificates, the parameters that are sent, and answers in every order.

use std::time::Duration;

use fake_aws::scenario::ALICE;
use fake_aws::{Issuer, Service, Validity};

use super::{PROFILE, with_keys};
use crate::observe::timed;
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn a_certificate_that_cannot_be_believed_is_refused_before_anything_is_sent() {
    type Change = fn(fake_aws::Options) -> fake_aws::Options;
    let dates = "the server's certificate is not valid at this host's time";
    let handshake = "the TLS handshake failed";
    let cases: [(Change, [&str; 3]); 4] = [
        (|options| options.validity(Validity::EXPIRED), [dates, "certificate expired", "set the clock"]),
        (
            |options| options.validity(Validity::NOT_YET),
            [dates, "certificate not valid yet", "set the clock"],
        ),
        (
            |options| options.only_given_names().name("sts.example.com"),
            [handshake, "not valid for name", "ca_bundle"],
        ),
        (|options| options.issuer(Issuer::Unknown), [handshake, "BadSignature", "ca_bundle"]),
    ];
    for (change, parts) in cases {
        let world = World::with_options(INSTANCE_CROSS_ACCOUNT, change);
        let (run, time) = timed(|| world.run(&["refresh"]));
        run.assert_failure(75, &parts);
        assert!(time < Duration::from_secs(5), "{time:?}");
        assert!(world.is_unpublished(PROFILE));
        assert_eq!(world.assumptions().len(), 0, "{parts:?}");
        let counts = world.fake.counts();
        assert_eq!(
            (counts.handshakes(Service::Sts), counts.failed_handshakes(Service::Sts)),
            (0, 1),
            "{parts:?}"
        );
    }
}

#[test]
fn public_roots_do_not_vouch_for_a_private_authority() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let run = crate::support::Run::of(world.command(&["refresh"]).env_remove("AWS_CA_BUNDLE"));
    run.assert_failure(75, &["UnknownIssuer", "ca_bundle"]);
    assert_eq!(world.assumptions().len(), 0);
}

#[test]
fn the_order_of_the_elements_of_an_answer_does_not_matter() {
    for credentials_first in [true, false] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        world.fake.sts().credentials_first(credentials_first);
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(world.document(PROFILE)["AccountId"], "222222222222");
        assert_eq!(world.list(PROFILE, "my-bucket-2"), 200);
    }
}

#[test]
fn sessions_of_long_term_keys_are_named_after_the_host() {
    let world = with_keys();
    world.run(&["refresh"]).assert_silent_success();
    let [assumed] = world.assumptions().try_into().unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = assumed.parameter("RoleSessionName").unwrap();
    let clean = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    assert!((2..=64).contains(&name.len()) && name.chars().all(clean), "{name}");
    if host.trim().len() >= 2 && host.trim().chars().all(clean) {
        assert_eq!(name, host.trim().chars().take(64).collect::<String>());
    }
    assert_eq!(assumed.caller.as_deref(), Some(ALICE));
    let sent: Vec<_> = assumed.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(sent, ["Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds"]);
}
