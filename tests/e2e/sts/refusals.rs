//! What is final, what is said of it, and which exit code says it, before and after credentials were published.

use std::time::Duration;

use fake_aws::scenario::{EFGH, PRODUCTION};
use fake_aws::{Action, Kind, Service, Trust, scenario};

use super::{PROFILE, fail_with, statuses, with_keys};
use crate::observe::INSTANCE;
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn what_only_another_request_can_mend_is_sent_once() {
    for (status, code, exit, advice) in [
        (400, "MalformedPolicyDocument", 78, ""),
        (400, "PackedPolicyTooLarge", 78, ""),
        (400, "ValidationError", 78, ""),
        (400, "InvalidAction", 78, ""),
        (400, "InvalidIdentityToken", 78, ""),
        (403, "RegionDisabledException", 77, "another region"),
        (403, "IDPRejectedClaim", 77, ""),
        (403, "OptInRequired", 77, ""),
        (403, "AccessDenied", 77, "trust policy"),
        (403, "SignatureDoesNotMatch", 77, "secret access key"),
        (403, "ExpiredToken", 77, "replace them"),
        (403, "InvalidClientTokenId", 77, "replace them"),
    ] {
        let world = with_keys();
        fail_with(&world, Action::error(status, code));
        let parts = ["profile `keys`", PRODUCTION, code, "ordered by the test", "request id", advice];
        world.run(&["refresh"]).assert_failure(exit, &parts);
        assert_eq!(statuses(&world), [Some(status)], "{code}");
        assert!(world.is_unpublished("keys"), "{code}");
    }
}

#[test]
fn denied_says_who_may_not_do_what_and_how_to_mend_it() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    world.run(&["refresh"]).assert_failure(
        77,
        &[
            "assumed-role/abcd/i-0123456789abcdef0 is not authorized to perform: sts:AssumeRole",
            EFGH,
            "needs a policy that allows sts:AssumeRole",
            "trust policy has to name the caller",
        ],
    );
    assert_eq!(statuses(&world), [Some(403)]);
    assert!(world.is_unpublished(PROFILE));
}

#[test]
fn a_failure_is_silent_while_more_than_the_margin_is_left() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document(PROFILE);
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(statuses(&world), [Some(200), Some(403)]);
    assert_eq!(world.document(PROFILE), before);
    let status = world.status(PROFILE);
    let error = &status["last_error"];
    assert_eq!((&error["disposition"], &error["count"]), (&"refused".into(), &1.into()));
    assert!(error["message"].as_str().unwrap().contains("AccessDenied"), "{error}");
    assert!(error["advice"].as_str().unwrap().contains("trust policy"), "{error}");

    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(world.status(PROFILE)["last_error"]["count"], 2);
}

#[test]
fn a_failure_is_temporary_while_less_than_the_margin_is_left() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(Duration::from_secs(15 * 60)));
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document(PROFILE);
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    world.run(&["refresh", "--force"]).assert_failure(75, &["AccessDenied", "trust policy"]);
    assert_eq!(world.document(PROFILE), before);
}

#[test]
fn a_failure_counts_fully_once_nothing_valid_is_left() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(Duration::ZERO));
    world.run(&["refresh"]).assert_silent_success();
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    world.run(&["refresh"]).assert_failure(77, &["AccessDenied"]);
    assert_eq!(statuses(&world), [Some(200), Some(403)], "what has expired is due without being told");
}

#[test]
fn a_wrong_secret_key_is_named_as_such() {
    let world = with_keys();
    let keys = scenario::alice();
    let wrong = keys.secret_access_key.replace("wJalr", "xJalr");
    let text =
        format!("[keys]\naws_access_key_id = {}\naws_secret_access_key = {wrong}\n", keys.access_key_id);
    world.write("credentials", text);
    let run = world.run(&["refresh"]);
    run.assert_failure(77, &["SignatureDoesNotMatch", "does not belong to the access key id"]);
    assert!(!run.stderr.contains(&wrong), "{}", run.stderr);
    assert_eq!(world.assumptions().len(), 1);
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_stops_no_other_profile() {
    for (name, lines) in [
        ("sso_session", "sso_session = corp\nrolekeeper_publish = true\n"),
        ("login_session", "login_session = arn:aws:iam::111111111111:user/a\nrolekeeper_publish = true\n"),
    ] {
        let world =
            World::new(&format!("[profile other]\nregion = us-east-1\n{lines}{INSTANCE_CROSS_ACCOUNT}"));
        let run = world.run(&["refresh"]);
        run.assert_failure(78, &["other", &format!("`{name}`"), "not supported by this version"]);
        assert!(!run.stderr.contains(PROFILE), "{}", run.stderr);
        assert!(!world.is_unpublished(PROFILE), "{name}");
        assert!(world.is_unpublished("other"), "{name}");
        assert_eq!(world.assumptions().len(), 1, "{name}");
    }
}

#[test]
fn one_denied_profile_stops_no_other() {
    let world = World::new(&format!(
        "[profile denied]\nrole_arn = arn:aws:iam::222222222222:role/nobody\n\
         credential_source = Ec2InstanceMetadata\n{INSTANCE_CROSS_ACCOUNT}{INSTANCE}"
    ));
    world.run(&["refresh"]).assert_failure(77, &["profile `denied`", "AccessDenied"]);
    assert!(world.is_unpublished("denied"));
    assert!(!world.is_unpublished(PROFILE) && !world.is_unpublished("instance"));
    assert_eq!(world.assumptions().len(), 2);
    assert_eq!(world.fake.counts().requests(Kind::ExtendedDocument), 1, "the base is fetched once");
    assert_eq!(world.fake.counts().handshakes(Service::Sts), 1);
}
