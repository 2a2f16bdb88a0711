//! `credential_source = Environment`: the agent's own variables.

use fake_aws::scenario::{self, PRODUCTION};

use crate::support::World;

fn assumed() -> String {
    format!("[profile a]\nrole_arn = {PRODUCTION}\ncredential_source = Environment\nregion = us-east-1\n")
}

#[test]
fn the_keys_of_the_environment_sign_for_the_role() {
    let world = World::new(&assumed());
    let keys = scenario::alice();
    let variables = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key),
    ];
    world.run_in(&variables, &["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions()[0].access_key_id, Some(keys.access_key_id.clone()));
    assert_eq!(world.assumptions()[0].caller.as_deref(), Some(scenario::ALICE));
    assert_eq!(world.status("a")["source"], "Environment");
    world.assert_no_imds();

    world.run_in(&variables, &["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), 1, "fresh credentials of the same keys are kept");
    let keys = scenario::bob();
    let others = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key),
    ];
    world.run_in(&others, &["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), 2, "other keys are another configuration");
    world.run(&["refresh"]).assert_failure(78, &["profile `a`", "has no `AWS_ACCESS_KEY_ID`"]);
}

#[test]
fn temporary_keys_are_published_with_their_end_and_refused_after_it() {
    let world = World::new("[profile a]\ncredential_source = Environment\nrolekeeper_publish = true\n");
    let with_end = |end: &str| {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "hidden-secret"),
            ("AWS_SESSION_TOKEN", "hidden-session"),
            ("AWS_ACCOUNT_ID", "111111111111"),
            ("AWS_CREDENTIAL_EXPIRATION", end),
        ];
        world.run_in(&variables, &["refresh", "--force", "-vv"])
    };
    assert_eq!(with_end("2099-01-31T12:00:00Z").code, 0);
    let document = world.document("a");
    assert_eq!(
        (&document["SessionToken"], &document["Expiration"], &document["AccountId"]),
        (&"hidden-session".into(), &"2099-01-31T12:00:00Z".into(), &"111111111111".into())
    );
    let before = world.document("a");
    let run = with_end("2020-01-31T12:00:00Z");
    assert!(run.stderr.contains("the credentials expired at 2020-01-31T12:00:00Z"), "{run:?}");
    assert!(!run.stderr.contains("hidden-"), "{run:?}");
    assert_eq!(world.document("a"), before);
    world.assert_no_imds();
}
