//! What a role's session is asked for beyond the role: policies that narrow it, tags, a source identity. The fake holds
//! every part of it against the rules, and to what it promises.

use std::time::Duration;

use fake_aws::scenario::{ABCD, EFGH, TAGGED};
use fake_aws::{Permission, Role, SessionTag, Trust, TrustStatement};

use super::PROFILE;
use crate::host::{has_root, set_mode};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// A policy that allows `action` on everything, of one line.
fn allow(action: &str) -> String {
    format!(
        "{{\"Version\": \"2012-10-17\", \"Statement\": [{{\"Effect\": \"Allow\", \"Action\": \"{action}\", \
         \"Resource\": \"*\"}}]}}"
    )
}

fn with_option(line: &str) -> World {
    World::new(&format!("{INSTANCE_CROSS_ACCOUNT}region = us-east-1\n{line}\n"))
}

/// Changes the configuration to one with `line` and refreshes; how many roles were assumed.
fn assumed_with(world: &World, line: &str) -> usize {
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}region = us-east-1\n{line}\n"));
    world.fake.clear_log();
    world.run(&["refresh"]).assert_silent_success();
    world.assumptions().len()
}

/// The session tags of what is published for `profile`, as `key=value`, with a star where they are handed down.
fn tags(world: &World, profile: &str) -> Vec<String> {
    let show =
        |tag: SessionTag| format!("{}={}{}", tag.key, tag.value, if tag.transitive { "*" } else { "" });
    world.fake.iam().session_tags(&access_key(world, profile)).into_iter().map(show).collect()
}

fn access_key(world: &World, profile: &str) -> String {
    world.document(profile)["AccessKeyId"].as_str().unwrap().to_owned()
}

#[test]
fn a_session_policy_narrows_what_the_role_may() {
    let world = with_option(&format!("rolekeeper_policy = {}", allow("s3:ListBucket")));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.list(PROFILE, "my-bucket-2"), 200);
    assert_eq!(assumed_with(&world, &format!("rolekeeper_policy = {}", allow("s3:GetObject"))), 1);
    assert_eq!(world.list(PROFILE, "my-bucket-2"), 403, "the role may, the session may not");
}

#[test]
fn managed_policies_narrow_what_the_role_may() {
    let own = "arn:aws:iam::222222222222:policy/teams/readers";
    let aws = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess";
    let world = with_option(&format!("rolekeeper_policy_arns = {own}"));
    world.fake.iam().add_policy(own, &[Permission::allow("s3:GetObject", "*")]);
    world.fake.iam().add_policy(aws, &[Permission::allow("s3:List*", "*")]);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.list(PROFILE, "my-bucket-2"), 403);
    assert_eq!(assumed_with(&world, &format!("rolekeeper_policy_arns = {own}, {aws}")), 1);
    assert_eq!(world.list(PROFILE, "my-bucket-2"), 200, "one that allows it is enough");
    let sent = &world.assumptions()[0];
    assert_eq!(sent.parameter("PolicyArns.member.1.arn"), Some(own));
    assert_eq!(sent.parameter("PolicyArns.member.2.arn"), Some(aws));
    assert_eq!(sent.parameter("Policy"), None);
}

#[test]
fn a_policy_file_is_read_for_every_refresh() {
    let world = with_option("");
    let path = world.write("policy.json", format!("{}\n", allow("s3:ListBucket")));
    let line = format!("rolekeeper_policy_file = {}", path.display());
    assert_eq!(assumed_with(&world, &line), 1);
    assert_eq!(world.assumptions()[0].parameter("Policy"), Some(allow("s3:ListBucket").as_str()));
    assert_eq!(assumed_with(&world, &line), 0, "nothing has changed");
    // The same in the configuration itself asks for the same session.
    assert_eq!(assumed_with(&world, &format!("rolekeeper_policy = {}", allow("s3:ListBucket"))), 0);

    world.write("policy.json", allow("s3:GetObject"));
    assert_eq!(assumed_with(&world, &line), 1, "the content has changed");
    assert_eq!(world.list(PROFILE, "my-bucket-2"), 403);

    let before = world.document(PROFILE);
    world.write("policy.json", "{");
    world.run(&["refresh"]).assert_failure(78, &["policy.json:1:", PROFILE, "not a JSON object"]);
    assert_eq!(world.document(PROFILE), before, "a policy that is none changes no file");
    let error = &world.status(PROFILE)["last_error"];
    assert!(error["message"].as_str().unwrap().contains("policy.json:1:"), "{error}");
    assert_eq!(error["disposition"], "local", "the daemon tries again, for the file may be mended");

    std::fs::remove_file(&path).unwrap();
    let fresh = with_option(&line);
    fresh.run(&["refresh"]).assert_failure(78, &["policy.json", PROFILE, "does not exist"]);
    assert!(fresh.assumptions().is_empty() && fresh.is_unpublished(PROFILE));
}

#[test]
fn root_believes_no_policy_file_that_others_can_change() {
    if !has_root() {
        return;
    }
    let world = with_option("");
    let path = world.write("policy.json", allow("s3:*"));
    set_mode(&path, 0o666);
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_policy_file = {}\n", path.display()));
    let parts = ["policy.json", "not trusted by root", "0666", "chmod go-w"];
    world.run(&["refresh"]).assert_failure(78, &parts);
    assert!(world.assumptions().is_empty());
}

#[test]
fn every_option_that_changes_asks_for_another_session_at_once() {
    let world = with_option("");
    world.fake.iam().add_policy("arn:aws:iam::aws:policy/A1", &[Permission::allow("s3:*", "*")]);
    let trust = TrustStatement::new(ABCD).action("sts:TagSession").action("sts:SetSourceIdentity");
    world.fake.iam().set_trust(EFGH, Trust::nobody().and(trust));
    for line in [
        "",
        "rolekeeper_policy_arns = arn:aws:iam::aws:policy/A1",
        "rolekeeper_tags = Team=blue",
        "rolekeeper_tags = Team=green",
        "rolekeeper_tags = Team=green\nrolekeeper_transitive_tags = Team",
        "rolekeeper_source_identity = alice",
        "rolekeeper_source_identity = bob",
    ] {
        assert_eq!(assumed_with(&world, line), 1, "{line}");
        assert_eq!(assumed_with(&world, line), 0, "{line}");
    }
}

#[test]
fn tags_and_source_identity_are_handed_down_the_chain() {
    let (first, second) = ("arn:aws:iam::222222222222:role/first", "arn:aws:iam::222222222222:role/second");
    let world = World::new(&format!(
        "[profile one]\nrole_arn = {first}\ncredential_source = Ec2InstanceMetadata\nregion = us-east-1\n\
         rolekeeper_tags = Team = blue green, cost\\=center = 4/2, Own=x\n\
         rolekeeper_transitive_tags = team, cost\\=center\nrolekeeper_source_identity = alice@example.com\n\
         [profile two]\nrole_arn = {second}\nsource_profile = one\nregion = us-east-1\n\
         rolekeeper_tags = Own=y\nrolekeeper_transitive_tags = TEAM, Own\n\
         rolekeeper_source_identity = alice@example.com\n\
         [profile three]\nrole_arn = {second}\nsource_profile = one\nregion = us-east-1\n"
    ));
    let switch = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let trusting = |principal| {
        let statement =
            TrustStatement::new(principal).action("sts:TagSession").action("sts:SetSourceIdentity");
        Trust::nobody().and(statement)
    };
    let may_switch =
        |role: Role| switch.iter().fold(role, |role, action| role.permission(Permission::allow(action, "*")));
    world.fake.iam().add_role(may_switch(Role::new(first).trust(trusting(ABCD))));
    world.fake.iam().add_role(Role::new(second).trust(trusting(first)));
    world.run(&["refresh"]).assert_silent_success();

    assert_eq!(tags(&world, "one"), ["Team=blue green*", "cost=center=4/2*", "Own=x"]);
    assert_eq!(tags(&world, "two"), ["Own=y*", "Team=blue green*", "cost=center=4/2*"]);
    assert_eq!(tags(&world, "three"), ["Team=blue green*", "cost=center=4/2*"]);
    for profile in ["one", "two", "three"] {
        let key = access_key(&world, profile);
        assert_eq!(world.fake.iam().source_identity(&key).as_deref(), Some("alice@example.com"), "{profile}");
    }
    let sent: Vec<_> = world
        .assumptions()
        .into_iter()
        .filter(|request| request.parameter("RoleArn") == Some(second))
        .map(|request| request.parameter("TransitiveTagKeys.member.1").map(str::to_owned))
        .collect();
    assert_eq!(sent.len(), 2);
    assert!(sent.contains(&Some("Own".to_owned())) && sent.contains(&None), "what is inherited is not sent");
}

#[test]
fn a_role_that_allows_no_tags_denies_them() {
    let world = with_option("rolekeeper_tags = a=b");
    world.run(&["refresh"]).assert_failure(77, &["sts:TagSession", EFGH]);
    let world = with_option("rolekeeper_source_identity = alice");
    world.run(&["refresh"]).assert_failure(77, &["sts:SetSourceIdentity", EFGH]);
    let world = World::new(&format!(
        "[profile tagged]\nrole_arn = {TAGGED}\ncredential_source = Ec2InstanceMetadata\nrolekeeper_tags = a=b\n"
    ));
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(tags(&world, "tagged"), ["a=b"]);
}

#[test]
fn the_daemon_reads_a_policy_file_for_every_refresh() {
    let world = with_option("");
    let path = world.write("policy.json", allow("s3:ListBucket"));
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_policy_file = {}\n", path.display()));
    world.fake.sts().session_lifetime(Some(Duration::from_secs(8)));
    let daemon = crate::daemon::Daemon::publishing(&world);
    let soon = Duration::from_secs(15);
    world.write("policy.json", "no policy");
    daemon.wait_for_log("policy.json:1: profile `instancecrossaccount`");
    world.write("policy.json", allow("s3:GetObject"));
    crate::daemon::wait_until(soon, "a session under the new policy", || {
        world.assumptions().iter().any(|request| request.parameter("Policy") == Some(&allow("s3:GetObject")))
    });
}
