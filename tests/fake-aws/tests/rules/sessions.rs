//! What sessions carry: managed policies that narrow them, tags that later ones inherit, codes that count once.

use fake_aws::{FakeAws, Permission, Role, Trust, TrustStatement, scenario};

use crate::client::{Answer, assume, list, start};

const NEXT: &str = "arn:aws:iam::222222222222:role/next";

/// A role after `TAGGED`, which may be tagged by it.
fn with_next() -> FakeAws {
    let fake = start();
    let trust = TrustStatement::new(scenario::TAGGED).action("sts:TagSession");
    fake.iam().add_role(Role::new(NEXT).trust(Trust::nobody().and(trust)));
    for action in ["sts:AssumeRole", "sts:TagSession"] {
        fake.iam().permit(scenario::TAGGED, Permission::allow(action, NEXT));
    }
    fake
}

fn tagged(fake: &FakeAws, more: &[(&str, &str)]) -> Answer {
    assume(fake, &scenario::alice(), scenario::TAGGED, more)
}

fn tags(fake: &FakeAws, answer: &Answer) -> Vec<(String, String, bool)> {
    let tags = fake.iam().session_tags(&answer.keys().access_key_id);
    tags.into_iter().map(|tag| (tag.key, tag.value, tag.transitive)).collect()
}

#[test]
fn transitive_tags_are_inherited_and_cannot_be_set_again() {
    let fake = with_next();
    let first = tagged(
        &fake,
        &[
            ("Tags.member.1.Key", "Team"),
            ("Tags.member.1.Value", "blue"),
            ("Tags.member.2.Key", "Own"),
            ("Tags.member.2.Value", ""),
            ("TransitiveTagKeys.member.1", "team"),
        ],
    );
    assert_eq!(
        tags(&fake, &first),
        [("Team".into(), "blue".into(), true), ("Own".into(), String::new(), false)]
    );
    let second = assume(&fake, &first.keys(), NEXT, &[]);
    assert_eq!(tags(&fake, &second), [("Team".into(), "blue".into(), true)]);
    for conflict in [
        &[("Tags.member.1.Key", "TEAM"), ("Tags.member.1.Value", "red")][..],
        &[("TransitiveTagKeys.member.1", "Team")],
    ] {
        let answer = assume(&fake, &first.keys(), NEXT, conflict);
        assert_eq!(answer.error(), (400, "InvalidParameterValue".into()));
        assert!(answer.message().contains("conflicts with a transitive tag"), "{}", answer.message());
    }
    let own = [("Tags.member.1.Key", "Own"), ("Tags.member.1.Value", "y")];
    assert_eq!(assume(&fake, &first.keys(), NEXT, &own).status, 200, "what is not handed down is free");
}

#[test]
fn tags_are_held_against_the_rules() {
    let fake = start();
    for (more, part) in [
        (vec![("Tags.member.1.Key", "AWS:x"), ("Tags.member.1.Value", "")], "reserved"),
        (
            vec![
                ("Tags.member.1.Key", "a"),
                ("Tags.member.1.Value", ""),
                ("Tags.member.2.Key", "A"),
                ("Tags.member.2.Value", ""),
            ],
            "occurs twice",
        ),
        (vec![("TransitiveTagKeys.member.1", "a")], "is no key of the tags"),
    ] {
        let answer = tagged(&fake, &more);
        assert_eq!(answer.error(), (400, "InvalidParameterValue".into()), "{more:?}");
        assert!(answer.message().contains(part), "{}", answer.message());
    }
}

#[test]
fn managed_policies_narrow_together_and_are_bounded_together() {
    let fake = start();
    let (reads, lists) = ("arn:aws:iam::aws:policy/reads", "arn:aws:iam::aws:policy/lists");
    fake.iam().add_policy(reads, &[Permission::allow("s3:GetObject", "*")]);
    fake.iam().add_policy(lists, &[Permission::allow("s3:ListBucket", "*")]);
    let with = |more: &[(&str, &str)]| assume(&fake, &scenario::alice(), scenario::PRODUCTION, more);
    let narrowed = with(&[("PolicyArns.member.1.arn", reads)]).keys();
    assert_eq!(list(&fake, &narrowed, "my-bucket-2").error(), (403, "AccessDenied".into()));
    let both = with(&[("PolicyArns.member.1.arn", reads), ("PolicyArns.member.2.arn", lists)]).keys();
    assert_eq!(list(&fake, &both, "my-bucket-2").status, 200);
    let unknown = with(&[("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/unknown")]);
    assert_eq!(unknown.error(), (400, "InvalidParameterValue".into()));
    let long = format!("{{\"Statement\": []{}}}", " ".repeat(2048 - 17));
    assert_eq!(with(&[("Policy", &long)]).status, 200, "{}", long.len());
    let too_long = with(&[("Policy", &long), ("PolicyArns.member.1.arn", reads)]);
    assert_eq!(too_long.error(), (400, "PackedPolicyTooLarge".into()));
}

#[test]
fn a_code_of_a_device_counts_once() {
    let fake = start();
    fake.sts().mfa_codes(&["111111"]);
    let role = "arn:aws:iam::222222222222:role/guarded-by-mfa";
    let trust = TrustStatement::new(scenario::ALICE).mfa();
    fake.iam().add_role(Role::new(role).trust(Trust::nobody().and(trust)));
    let with = |code: &str| {
        let device = ("SerialNumber", "arn:aws:iam::111111111111:mfa/alice");
        assume(&fake, &scenario::alice(), role, &[device, ("TokenCode", code)]).status
    };
    assert_eq!((with("123456"), with("111111"), with("111111")), (403, 200, 403));
}
