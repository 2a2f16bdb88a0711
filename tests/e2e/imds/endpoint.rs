//! Where the metadata service is, whether it may be asked, and what a service that cannot be reached looks like.

use std::net::TcpListener;
use std::time::Duration;

use fake_aws::{Action, Fault, Kind, Service};

use super::run_with;
use crate::observe::{INSTANCE, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// A URL on loopback where nothing listens.
fn closed_port() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
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
fn an_endpoint_with_tls_is_refused_before_the_network() {
    let world = World::new(INSTANCE);
    let endpoint = world.fake.imds_url().replace("http://", "https://");
    run_with(&world, &[(ENDPOINT, &endpoint)]).assert_failure(78, &[&endpoint, "write `http://HOST:PORT`"]);
    assert_eq!(world.fake.counts().connections(Service::Imds), 0);
}

#[test]
fn a_service_on_the_ipv6_loopback_is_reached() {
    let world = World::with_options(INSTANCE, |options| options.imds_address("[::1]:0".parse().unwrap()));
    world.run(&["refresh"]).assert_silent_success();
    assert!(world.received(Service::Imds)[0].host().unwrap().starts_with("[::1]:"));
}

#[test]
fn a_swallowed_answer_is_taken_for_the_hop_limit_within_ten_seconds() {
    let config = format!("{INSTANCE}{INSTANCE_CROSS_ACCOUNT}");
    let world = World::new(&config);
    world.fake.imds().fail(Fault::new(Action::Hang).on(Kind::Token));
    let (run, time) = timed(|| world.run(&["refresh"]));
    run.assert_failure(
        75,
        &[
            "profile `instance`",
            "profile `instancecrossaccount`",
            "no session token from the instance metadata service",
            "--http-put-response-hop-limit 2",
        ],
    );
    assert!(time < Duration::from_secs(10), "two profiles of one instance took {time:?}");
    assert_eq!(world.kinds(Service::Imds), [Kind::Token; 3]);
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
