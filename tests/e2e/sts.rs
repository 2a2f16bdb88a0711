//! The security token service: what is retried and what is final, what is said and which exit code says it, and how
//! a wrong clock is told from a wrong key. Hostile answers are in `hostile`.

use std::time::Duration;

use fake_aws::scenario::{self, ALICE, EFGH, PRODUCTION};
use fake_aws::{Action, Fault, Issuer, Kind, Received, Reply, Service, Trust, Validity};
use rolekeeper::timestamp::between;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::observe::{INSTANCE, at_once, connections, now, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

const PROFILE: &str = "instancecrossaccount";

/// Alice assumes a role with long-term keys: IMDS has no say, neither in credentials nor in time.
fn with_keys() -> World {
    let world = World::new(&format!(
        "[profile keys]\nrole_arn = {PRODUCTION}\nsource_profile = keys\nregion = us-east-1\n"
    ));
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

fn fail_with(world: &World, action: Action) {
    world.fake.sts().fail(Fault::new(action).on(Kind::AssumeRole));
}

fn fail_times(world: &World, action: Action, times: u32) {
    world.fake.sts().fail(Fault::new(action).on(Kind::AssumeRole).times(times));
}

fn statuses(world: &World) -> Vec<Option<u16>> {
    world.assumptions().iter().map(|request| request.status).collect()
}

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

const TOO_OLD: &str =
    "Signature expired: 20260102T030405Z is now earlier than 20260102T034000Z (20260102T034500Z - 5 min.)";

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

#[test]
fn a_certificate_that_cannot_be_believed_is_refused_before_anything_is_sent() {
    type Change = fn(fake_aws::Options) -> fake_aws::Options;
    let cases: [(Change, &str, &str); 4] = [
        (|options| options.validity(Validity::EXPIRED), "certificate expired", "clock of this host"),
        (|options| options.validity(Validity::NOT_YET), "certificate not valid yet", "clock of this host"),
        (|options| options.only_given_names().name("sts.example.com"), "not valid for name", ""),
        (|options| options.issuer(Issuer::Unknown), "BadSignature", "ca_bundle"),
    ];
    for (change, phrase, advice) in cases {
        let world = World::with_options(INSTANCE_CROSS_ACCOUNT, change);
        let (run, time) = timed(|| world.run(&["refresh"]));
        run.assert_failure(
            75,
            &["profile `instancecrossaccount`", "the TLS handshake failed", phrase, advice],
        );
        assert!(time < Duration::from_secs(5), "{time:?}");
        assert!(world.is_unpublished(PROFILE));
        assert_eq!(world.assumptions().len(), 0, "{phrase}");
        let counts = world.fake.counts();
        assert_eq!(
            (counts.handshakes(Service::Sts), counts.failed_handshakes(Service::Sts)),
            (0, 1),
            "{phrase}"
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

#[test]
fn what_is_not_supported_is_refused_by_name_and_stops_no_other_profile() {
    for (name, lines) in [
        ("sso_session", "sso_session = corp\nrolekeeper_publish = true\n"),
        ("login_session", "login_session = arn:aws:iam::111111111111:user/a\nrolekeeper_publish = true\n"),
        (
            "mfa_serial",
            "role_arn = arn:aws:iam::222222222222:role/efgh\ncredential_source = Ec2InstanceMetadata\n\
             mfa_serial = arn:aws:iam::111111111111:mfa/a\n",
        ),
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
