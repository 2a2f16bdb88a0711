//! The instance metadata service: what is asked for, how often, on how many connections, and what is made of every
//! kind of answer. Hostile answers are in `hostile`.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::time::Duration;

use fake_aws::scenario::ABCD;
use fake_aws::{Action, ExpirationForm, Fault, Kind, Permission, Refusal, Reply, Role, Service, Trust};

use crate::observe::{INSTANCE, connections, instant, now, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// The profile with everything configured that IMDS could tell beside credentials.
const ALL_CONFIGURED: &str = "[profile web]\nrole_arn = arn:aws:iam::222222222222:role/efgh\n\
     credential_source = Ec2InstanceMetadata\nregion = us-east-1\nrole_session_name = web\n";

fn run_with(world: &World, variables: &[(&str, &str)]) -> Run {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, OsStr::new(*value))).collect();
    world.run_with(&variables, &["refresh"])
}

/// A URL on loopback where nothing listens.
fn closed_port() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn tokens(world: &World) -> usize {
    world.kinds(Service::Imds).iter().filter(|kind| **kind == Kind::Token).count()
}

#[test]
fn a_cold_refresh_is_three_requests_on_one_connection_and_one_of_sts() {
    let world = World::new(ALL_CONFIGURED);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument]);
    assert_eq!(connections(&world.received(Service::Imds)), 1);
    assert_eq!(world.kinds(Service::Sts), [Kind::AssumeRole]);
    let counts = world.fake.counts();
    assert_eq!((counts.connections(Service::Imds), counts.connections(Service::Sts)), (1, 1));
    assert_eq!((counts.handshakes(Service::Sts), counts.failed_handshakes(Service::Sts)), (1, 0));
    assert_eq!(world.assumptions()[0].parameter("RoleSessionName"), Some("web"));
}

#[test]
fn region_and_instance_id_cost_one_request_more() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.imds().placement("eu-west-1", "eu-west-1b");
    world.fake.imds().instance_id("i-0fedcba9876543210");
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument, Kind::IdentityDocument]
    );
    assert_eq!(connections(&world.received(Service::Imds)), 1);
    let [assumed] = world.assumptions().try_into().unwrap();
    assert_eq!(assumed.parameter("RoleSessionName"), Some("rolekeeper-i-0fedcba9876543210"));
    assert!(assumed.header("authorization").unwrap().contains("/eu-west-1/sts/aws4_request"));
}

#[test]
fn a_second_refresh_asks_nobody() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = world.snapshot();
    world.fake.clear_log();
    world.run(&["refresh"]).assert_silent_success();
    let counts = world.fake.counts();
    assert_eq!(counts.all_requests(), 0);
    assert_eq!((counts.connections(Service::Imds), counts.connections(Service::Sts)), (0, 0));
    assert_eq!(world.snapshot(), before);
}

#[test]
fn every_request_is_version_two_and_goes_straight_to_the_service() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let requests = world.received(Service::Imds);
    let (put, gets) = requests.split_first().unwrap();
    assert_eq!((put.method.as_str(), put.target.as_str()), ("PUT", "/latest/api/token"));
    assert_eq!(put.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
    assert!(put.body.is_empty());
    for get in gets {
        assert_eq!(get.method, "GET");
        assert!(get.header("x-aws-ec2-metadata-token").is_some(), "{}", get.target);
    }
    for request in &requests {
        assert_eq!(request.header("x-forwarded-for"), None);
        assert_eq!(request.status, Some(200), "{}", request.target);
    }
}

#[test]
fn a_newline_after_the_role_name_is_no_part_of_it() {
    let world = World::new(INSTANCE);
    world.fake.imds().trailing_newline(true);
    world.run(&["refresh"]).assert_silent_success();
    let requests = world.received(Service::Imds);
    let targets: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    let extended = "/latest/meta-data/iam/security-credentials-extended/";
    assert_eq!(targets, ["/latest/api/token", extended, &format!("{extended}abcd")]);
}

#[test]
fn of_several_listed_roles_the_first_is_taken() {
    let world = World::new(INSTANCE);
    let listing = Reply::new(200).body("abcd\r\nother-role\r\n");
    world.fake.imds().fail(Fault::new(Action::Answer(listing)).on(Kind::ExtendedListing));
    world.run(&["refresh"]).assert_silent_success();
    assert!(world.received(Service::Imds)[2].target.ends_with("/abcd"));
}

#[test]
fn a_role_swapped_between_listing_and_document_is_listed_once_more() {
    let world = World::new(INSTANCE);
    let stale = Reply::new(200).body("role-of-yesterday");
    world.fake.imds().fail(Fault::new(Action::Answer(stale)).on(Kind::ExtendedListing).times(1));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [
            Kind::Token,
            Kind::ExtendedListing,
            Kind::ExtendedDocument,
            Kind::ExtendedListing,
            Kind::ExtendedDocument
        ]
    );
    assert_eq!(world.document("instance")["AccountId"], "111111111111");
}

#[test]
fn a_listed_role_that_never_has_a_document_ends_after_two_rounds() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(404)).on(Kind::ExtendedDocument));
    world.run(&["refresh"]).assert_failure(75, &["no instance profile"]);
    assert_eq!(
        world.kinds(Service::Imds),
        [
            Kind::Token,
            Kind::ExtendedListing,
            Kind::ExtendedDocument,
            Kind::ExtendedListing,
            Kind::ExtendedDocument
        ]
    );
}

#[test]
fn a_refused_session_token_is_replaced_exactly_once() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(401)).on(Kind::ExtendedDocument).times(1));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument, Kind::Token, Kind::ExtendedDocument]
    );
    let used: Vec<_> = world
        .received(Service::Imds)
        .iter()
        .filter_map(|request| request.header("x-aws-ec2-metadata-token").map(str::to_owned))
        .collect();
    assert_eq!(used[0], used[1]);
    assert_ne!(used[1], used[2]);
}

#[test]
fn a_service_that_refuses_its_own_tokens_is_left_alone() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(401)).on(Kind::ExtendedListing));
    world.run(&["refresh"]).assert_failure(77, &["refuses its own session tokens"]);
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::Token, Kind::ExtendedListing]
    );
    assert!(world.is_unpublished("instance"));
}

#[test]
fn a_forbidden_token_is_final_and_version_one_is_never_tried() {
    for (status, code, phrase) in [
        (403, 77, "forbidden or disabled (403)"),
        (400, 78, "status 400"),
        (404, 78, "status 404"),
        (405, 78, "status 405"),
    ] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        world.fake.imds().fail(Fault::new(Action::status(status)).on(Kind::Token));
        let (run, time) = timed(|| world.run(&["refresh"]));
        run.assert_failure(code, &["profile `instancecrossaccount`", phrase]);
        assert!(time < Duration::from_secs(1), "{status} took {time:?}");
        assert_eq!(world.kinds(Service::Imds), [Kind::Token], "{status}");
        assert_eq!(world.fake.counts().connections(Service::Sts), 0);
        assert!(world.is_unpublished("instancecrossaccount"));
    }
}

#[test]
fn a_forbidden_service_is_explained() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(403)).on(Kind::Token));
    world.run(&["refresh"]).assert_failure(77, &["--http-endpoint enabled"]);
}

#[test]
fn errors_of_the_server_pass_on_every_step() {
    for kind in [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument, Kind::IdentityDocument] {
        for status in [429, 500, 502, 503, 504] {
            let world = World::new(INSTANCE_CROSS_ACCOUNT);
            world.fake.imds().fail(Fault::new(Action::status(status)).on(kind).times(1));
            world.run(&["refresh"]).assert_silent_success();
            assert_eq!(world.kinds(Service::Imds).len(), 5, "{kind:?} {status}");
            assert_eq!(world.fake.counts().requests(kind), 2, "{kind:?} {status}");
        }
    }
}

#[test]
fn a_server_that_stays_broken_is_asked_three_times() {
    let world = World::new(INSTANCE);
    world.fake.imds().fail(Fault::new(Action::status(500)).on(Kind::ExtendedListing));
    world.run(&["refresh"]).assert_failure(75, &["security-credentials-extended/", "status 500"]);
    assert_eq!(world.fake.counts().requests(Kind::ExtendedListing), 3);
    assert_eq!(tokens(&world), 1, "the session token is not to blame");
}

#[test]
fn a_service_that_starts_up_with_empty_bodies_is_waited_for() {
    for kind in [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument] {
        let world = World::new(INSTANCE);
        world.fake.imds().fail(Fault::new(Action::EmptyBody).on(kind).times(1));
        world.run(&["refresh"]).assert_silent_success();
        assert_eq!(world.fake.counts().requests(kind), 2, "{kind:?}");
    }
}

#[test]
fn a_role_that_does_not_trust_ec2_is_quoted_and_explained() {
    let world = World::new(INSTANCE);
    world.fake.iam().set_trust(ABCD, Trust::nobody());
    world.run(&["refresh"]).assert_failure(
        77,
        &[
            "AssumeRoleUnauthorizedAccess",
            "EC2 cannot assume the role abcd",
            "trust policy",
            "ec2.amazonaws.com",
        ],
    );
    assert!(world.is_unpublished("instance"));
    assert_eq!(world.kinds(Service::Imds).len(), 3);
}

#[test]
fn another_reason_for_no_credentials_is_quoted_and_may_pass() {
    let world = World::new(INSTANCE);
    let refusal = Refusal { code: "Failed".to_owned(), message: "an\u{1b}[31minternal error".to_owned() };
    world.fake.imds().refuse_credentials(Some(refusal));
    let run = world.run(&["refresh"]);
    run.assert_failure(75, &["Failed: an\\u{1b}[31minternal error"]);
    world.fake.imds().refuse_credentials(None);
    world.run(&["refresh"]).assert_silent_success();
}

#[test]
fn no_attached_role_is_said_and_picked_up_when_it_comes() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.imds().attach_role(None);
    world
        .run(&["refresh"])
        .assert_failure(75, &["the instance has no instance profile", "attach an instance profile"]);
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedListing, Kind::LegacyListing]);
    world.fake.imds().attach_role(Some(ABCD));
    world.run(&["refresh"]).assert_silent_success();
}

#[test]
fn a_role_swapped_on_the_running_instance_is_noticed() {
    let world = World::new(INSTANCE);
    world.run(&["refresh"]).assert_silent_success();
    let arn = "arn:aws:iam::111111111111:role/abcd-next";
    world.fake.iam().add_role(
        Role::new(arn)
            .trust(Trust::of("ec2.amazonaws.com"))
            .permission(Permission::allow("s3:ListBucket", "arn:aws:s3:::my-bucket-1")),
    );
    world.fake.imds().attach_role(Some(arn));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert!(world.received(Service::Imds).last().unwrap().target.ends_with("/abcd-next"));
    assert_eq!(world.list("instance", "my-bucket-1"), 200);
    let caller = world.received(Service::S3)[0].caller.clone().unwrap();
    assert!(caller.contains("assumed-role/abcd-next/"), "{caller}");
}

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
fn an_older_service_without_the_extended_path_costs_four_requests() {
    let world = World::new(ALL_CONFIGURED);
    world.fake.imds().extended(false);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(
        world.kinds(Service::Imds),
        [Kind::Token, Kind::ExtendedListing, Kind::LegacyListing, Kind::LegacyDocument]
    );
    assert_eq!(connections(&world.received(Service::Imds)), 1);
}

#[test]
fn a_configured_profile_name_needs_no_listing() {
    let named = format!("{INSTANCE}ec2_instance_profile_name = abcd\n");
    let world = World::new(&named);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedDocument]);

    let world = World::new(&named);
    world.fake.imds().extended(false);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedDocument, Kind::LegacyDocument]);

    let world = World::new(&named);
    run_with(&world, &[("AWS_EC2_INSTANCE_PROFILE_NAME", "efgh")])
        .assert_failure(78, &["no instance profile `efgh`", "ec2_instance_profile_name"]);
    assert_eq!(world.kinds(Service::Imds), [Kind::Token, Kind::ExtendedDocument, Kind::LegacyDocument]);
}

#[test]
fn only_true_disables_the_service_and_then_nothing_is_sent() {
    for value in ["true", "TRUE", "True"] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        run_with(&world, &[("AWS_EC2_METADATA_DISABLED", value)])
            .assert_failure(78, &["disabled by the configuration", "AWS_EC2_METADATA_DISABLED"]);
        assert_eq!(world.fake.counts().connections(Service::Imds), 0, "{value}");
    }
    for value in ["1", "yes", "false", ""] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        run_with(&world, &[("AWS_EC2_METADATA_DISABLED", value)]).assert_silent_success();
        assert_eq!(world.kinds(Service::Imds).len(), 4, "{value}");
    }
}

#[test]
fn an_endpoint_beats_a_mode_and_may_end_with_a_slash() {
    let world = World::new(INSTANCE);
    let endpoint = format!("{}/", world.fake.imds_url());
    let variables = [(ENDPOINT, endpoint.as_str()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")];
    run_with(&world, &variables).assert_silent_success();
    let requests = world.received(Service::Imds);
    assert_eq!(requests[0].target, "/latest/api/token");
    assert_eq!(requests[0].host(), world.fake.imds_url().strip_prefix("http://"));
    assert!(requests.iter().all(|request| !request.target.contains("//")));
}

#[test]
fn a_service_on_the_ipv6_loopback_is_reached() {
    let world = World::with_options(INSTANCE, |options| options.imds_address("[::1]:0".parse().unwrap()));
    world.run(&["refresh"]).assert_silent_success();
    assert!(world.received(Service::Imds)[0].host().unwrap().starts_with("[::1]:"));
}

#[test]
fn a_refused_connection_is_said_at_once() {
    let world = World::new(INSTANCE);
    let nowhere = closed_port();
    let (run, time) = timed(|| run_with(&world, &[(ENDPOINT, &nowhere)]));
    run.assert_failure(75, &[&nowhere, "the connection was refused", "not an EC2 instance"]);
    assert!(!run.stderr.contains("hop-limit"), "{}", run.stderr);
    assert!(time < Duration::from_secs(3), "{time:?}");
    assert_eq!(world.fake.counts().all_requests(), 0);
}

#[test]
fn connections_that_break_are_opened_again() {
    for action in [Action::ResetBefore, Action::ResetMidway, Action::Truncate, Action::CloseAfter] {
        for kind in [Kind::Token, Kind::ExtendedListing, Kind::ExtendedDocument] {
            let world = World::new(INSTANCE);
            world.fake.imds().fail(Fault::new(action.clone()).on(kind).times(1));
            world.run(&["refresh"]).assert_silent_success();
            let expected = if matches!(action, Action::CloseAfter) { 1 } else { 2 };
            assert!(world.fake.counts().requests(kind) >= expected, "{action:?} {kind:?}");
        }
    }
}

#[test]
fn a_proxy_is_never_used() {
    let proxy = closed_port();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"] {
        let world = World::new(INSTANCE);
        run_with(&world, &[(name, &proxy)]).assert_silent_success();
        let requests = world.received(Service::Imds);
        assert_eq!(requests.len(), 3, "{name}");
        assert!(requests.iter().all(|request| request.target.starts_with('/')), "{name}");
    }
}

#[test]
fn an_instance_that_hides_its_identity_is_named_after_its_host() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.imds().placement("eu-central-1", "eu-central-1a");
    world.fake.imds().fail(Fault::new(Action::status(404)).on(Kind::IdentityDocument));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.received(Service::Imds).last().unwrap().target, "/latest/meta-data/placement/region");
    let [assumed] = world.assumptions().try_into().unwrap();
    assert!(assumed.header("authorization").unwrap().contains("/eu-central-1/sts/"));
    let name = assumed.parameter("RoleSessionName").unwrap().to_owned();
    assert!(name.len() >= 2 && !name.contains("i-0"), "{name}");
}

#[test]
fn a_failing_service_leaves_what_is_published_alone() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let before = world.document("instancecrossaccount");
    world.fake.imds().fail(Fault::new(Action::status(500)));
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(world.document("instancecrossaccount"), before);
    let status = world.status("instancecrossaccount");
    assert_eq!(
        (&status["state"], &status["last_error"]["disposition"]),
        (&"failing".into(), &"retry".into())
    );
    world.fake.imds().heal();
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert!(world.status("instancecrossaccount").get("last_error").is_none());
    assert_ne!(world.document("instancecrossaccount"), before);
}
