//! Roles are assumed where both sides allow it, and permissions are switched, not added.

use fake_aws::{Permission, Role, Trust, TrustStatement, scenario};

use crate::client::{S3, assume, form, get, instance_keys, list, start, whoami};

#[test]
fn permissions_are_switched_not_added() {
    let fake = start();
    let instance = instance_keys(&fake, "abcd");
    assert_eq!(list(&fake, &instance, "my-bucket-1").status, 200);
    assert_eq!(list(&fake, &instance, "my-bucket-2").error(), (403, "AccessDenied".into()));
    let efgh = assume(&fake, &instance, scenario::EFGH, &[]).keys();
    assert!(list(&fake, &efgh, "my-bucket-2").text().contains("<Key>hello.txt</Key>"));
    assert_eq!(list(&fake, &efgh, "my-bucket-1").error(), (403, "AccessDenied".into()));
    assert_eq!(list(&fake, &efgh, "no-such-bucket").error(), (404, "NoSuchBucket".into()));
    fake.iam().permit(scenario::ABCD, Permission::allow("s3:*", "*"));
    let foreign = list(&fake, &instance, "my-bucket-2");
    assert_eq!(foreign.error(), (403, "AccessDenied".into()), "another account's bucket stays closed");
}

#[test]
fn both_sides_must_allow_across_accounts() {
    let fake = start();
    let instance = instance_keys(&fake, "abcd");
    let denied = "User: arn:aws:sts::111111111111:assumed-role/abcd/i-0123456789abcdef0 is not authorized to \
                  perform: sts:AssumeRole on resource: arn:aws:iam::222222222222:role/efgh";

    fake.iam().set_trust(scenario::EFGH, Trust::of(scenario::BOB));
    let answer = assume(&fake, &instance, scenario::EFGH, &[]);
    assert_eq!((answer.error(), answer.message()), ((403, "AccessDenied".into()), denied.into()));

    fake.iam().set_trust(scenario::EFGH, Trust::of(scenario::ABCD));
    assert_eq!(assume(&fake, &instance, scenario::EFGH, &[]).status, 200, "trust that is mended works");

    fake.iam().revoke_permissions(scenario::ABCD);
    assert_eq!(assume(&fake, &instance, scenario::EFGH, &[]).message(), denied);

    fake.iam().permit(scenario::ABCD, Permission::allow("sts:*", "*"));
    assert_eq!(assume(&fake, &instance, scenario::EFGH, &[]).status, 200);
    fake.iam().permit(scenario::ABCD, Permission::deny("sts:AssumeRole", scenario::EFGH));
    assert_eq!(assume(&fake, &instance, scenario::EFGH, &[]).message(), denied, "a denial wins");
}

#[test]
fn trust_in_an_account_needs_the_callers_permission() {
    let fake = start();
    assert_eq!(assume(&fake, &scenario::alice(), scenario::PRODUCTION, &[]).status, 200);
    assert_eq!(assume(&fake, &scenario::bob(), scenario::PRODUCTION, &[]).error().1, "AccessDenied");

    let role = "arn:aws:iam::111111111111:role/local";
    fake.iam().add_role(Role::new(role).trust(Trust::of(scenario::ROOT)));
    assert_eq!(assume(&fake, &scenario::bob(), role, &[]).error().1, "AccessDenied");
    fake.iam().set_trust(role, Trust::of(scenario::BOB));
    assert_eq!(assume(&fake, &scenario::bob(), role, &[]).status, 200, "named in the same account");
    fake.iam().permit(scenario::BOB, Permission::deny("sts:AssumeRole", role));
    assert_eq!(
        assume(&fake, &scenario::bob(), role, &[]).error().1,
        "AccessDenied",
        "a denial wins here too"
    );
}

#[test]
fn a_role_that_is_missing_is_denied_like_one_that_does_not_trust() {
    let fake = start();
    let missing = "arn:aws:iam::222222222222:role/no-such-role";
    let answer = assume(&fake, &scenario::alice(), missing, &[]);
    assert_eq!(answer.error(), (403, "AccessDenied".into()));
    assert!(answer.message().ends_with(missing));
    assert_eq!(assume(&fake, &scenario::alice(), scenario::EFGH, &[]).error(), (403, "AccessDenied".into()));
}

#[test]
fn the_root_user_assumes_nothing() {
    let fake = start();
    assert_eq!(whoami(&fake, &scenario::root()).element("Arn"), scenario::ROOT);
    let answer = assume(&fake, &scenario::root(), scenario::PRODUCTION, &[]);
    assert_eq!(answer.error(), (403, "AccessDenied".into()));
    assert_eq!(answer.message(), "Roles may not be assumed by root accounts.");
}

#[test]
fn an_external_id_must_be_the_right_one() {
    let fake = start();
    let with = |more: &[(&str, &str)]| assume(&fake, &scenario::alice(), scenario::GUARDED, more);
    assert_eq!(with(&[]).error(), (403, "AccessDenied".into()));
    assert_eq!(with(&[("ExternalId", "customer-43/prod:eu")]).error(), (403, "AccessDenied".into()));
    assert_eq!(with(&[("ExternalId", scenario::EXTERNAL_ID)]).status, 200);
}

#[test]
fn a_second_factor_is_wanted_where_the_trust_says_so() {
    let fake = start();
    let trust = Trust::nobody().and(TrustStatement::new(scenario::ALICE).mfa());
    fake.iam().set_trust(scenario::LONG, trust);
    let serial = ("SerialNumber", "arn:aws:iam::111111111111:mfa/alice");
    let with = |more: &[(&str, &str)]| assume(&fake, &scenario::alice(), scenario::LONG, more);
    assert_eq!(with(&[]).error(), (403, "AccessDenied".into()));
    assert!(with(&[serial, ("TokenCode", "654321")]).message().contains("invalid MFA one time pass code"));
    assert_eq!(with(&[serial]).error(), (400, "ValidationError".into()));
    assert_eq!(with(&[serial, ("TokenCode", "123456")]).status, 200);
}

#[test]
fn a_bucket_is_found_by_host_name_too() {
    let fake = start();
    let port = fake.s3_url().rsplit(':').next().unwrap().to_owned();
    let listed = |bucket: &str| {
        get(&format!("https://{bucket}.localhost:{port}"), "/?list-type=2")
            .signed(&instance_keys(&fake, "abcd"), S3)
            .send(&fake)
    };
    assert_eq!(listed("my-bucket-1").element("Name"), "my-bucket-1");
    assert_eq!(listed("my-bucket-2").error(), (403, "AccessDenied".into()));
}

#[test]
fn chains_go_hop_by_hop_and_skip_none() {
    let fake = start();
    let mut keys = instance_keys(&fake, "abcd");
    assert_eq!(assume(&fake, &keys, &scenario::hop(2), &[]).error(), (403, "AccessDenied".into()));
    for number in 1..=5 {
        keys = assume(&fake, &keys, &scenario::hop(number), &[]).keys();
    }
    assert_eq!(whoami(&fake, &keys).element("Arn"), "arn:aws:sts::222222222222:assumed-role/hop5/tester");
}

#[test]
fn durations_are_capped_by_the_role_and_by_chaining() {
    let fake = start();
    let instance = instance_keys(&fake, "abcd");
    let long = &[("DurationSeconds", "43200")];
    assert_eq!(assume(&fake, &scenario::alice(), scenario::LONG, long).status, 200);
    let capped = assume(&fake, &scenario::alice(), scenario::SHORT, &[("DurationSeconds", "3601")]);
    assert_eq!(capped.error(), (400, "ValidationError".into()));
    assert_eq!(
        capped.message(),
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    );
    let chained = assume(&fake, &instance, scenario::LONG, &[("DurationSeconds", "3601")]);
    assert_eq!(chained.error(), (400, "ValidationError".into()));
    assert_eq!(
        chained.message(),
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    );
    assert_eq!(assume(&fake, &instance, scenario::LONG, &[("DurationSeconds", "3600")]).status, 200);
}

#[test]
fn tags_and_source_identities_need_their_own_permission() {
    let fake = start();
    let tags = &[("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "blue")];
    let denied = assume(&fake, &scenario::alice(), scenario::LONG, tags);
    assert!(denied.message().contains("perform: sts:TagSession"), "{}", denied.message());
    let tagged = assume(&fake, &scenario::alice(), scenario::TAGGED, tags);
    assert_eq!(tagged.element("Arn"), "arn:aws:sts::222222222222:assumed-role/tagged/tester", "no path");

    let source = &[("SourceIdentity", "alice")];
    let denied = assume(&fake, &scenario::alice(), scenario::LONG, source);
    assert!(denied.message().contains("perform: sts:SetSourceIdentity"), "{}", denied.message());
    let keys = assume(&fake, &scenario::alice(), scenario::TAGGED, source).keys();

    let next = "arn:aws:iam::222222222222:role/next";
    fake.iam().add_role(Role::new(next).trust(Trust::of(scenario::TAGGED)));
    fake.iam().permit(scenario::TAGGED, Permission::allow("sts:*", next));
    assert!(assume(&fake, &keys, next, &[]).message().contains("sts:SetSourceIdentity"), "it is passed on");
    let trust = TrustStatement::new(scenario::TAGGED).action("sts:SetSourceIdentity");
    fake.iam().set_trust(next, Trust::nobody().and(trust));
    assert_eq!(assume(&fake, &keys, next, &[]).element("SourceIdentity"), "alice");
    assert_eq!(assume(&fake, &keys, next, &[("SourceIdentity", "bob")]).error().1, "AccessDenied");
}

#[test]
fn a_session_policy_narrows_and_never_widens() {
    let fake = start();
    let instance = instance_keys(&fake, "abcd");
    let narrowed = |policy: &str| assume(&fake, &instance, scenario::EFGH, &[("Policy", policy)]);
    let other = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::other"}}"#;
    assert_eq!(list(&fake, &narrowed(other).keys(), "my-bucket-2").error().1, "AccessDenied");
    let all =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["*"]}]}"#;
    let keys = narrowed(all).keys();
    assert_eq!(list(&fake, &keys, "my-bucket-2").status, 200);
    assert_eq!(list(&fake, &keys, "my-bucket-1").error().1, "AccessDenied");
    assert_eq!(narrowed("{}").error(), (400, "MalformedPolicyDocument".into()));
}

#[test]
fn an_identity_token_speaks_for_its_bearer_without_a_signature() {
    let fake = start();
    let action = "sts:AssumeRoleWithWebIdentity";
    let provider = "arn:aws:iam::222222222222:oidc-provider/issuer.example/id";
    fake.iam().set_trust(scenario::EFGH, Trust::nobody().and(TrustStatement::new(provider).action(action)));
    let send = |role: &str, token: &str| {
        let parameters = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", role),
            ("RoleSessionName", "pod"),
            ("WebIdentityToken", token),
        ];
        form(&fake, &parameters).send(&fake)
    };
    let mint = |issuer: &str, audience: &str, minutes| {
        fake.sts().web_identity_token(issuer, "pod-1", audience, time::Duration::minutes(minutes))
    };
    let good = mint("https://issuer.example/id", "sts.amazonaws.com", 5);
    let answer = send(scenario::EFGH, &good);
    assert_eq!(answer.element("SubjectFromWebIdentityToken"), "pod-1");
    assert_eq!(list(&fake, &answer.keys(), "my-bucket-2").status, 200);
    assert_eq!(fake.requests()[0].access_key_id, None);

    assert_eq!(send(scenario::LONG, &good).error(), (403, "AccessDenied".into()));
    assert_eq!(send(scenario::EFGH, &format!("{good}\n")).error(), (400, "InvalidIdentityToken".into()));
    let stale = mint("https://issuer.example/id", "sts.amazonaws.com", -1);
    assert_eq!(send(scenario::EFGH, &stale).error(), (400, "ExpiredTokenException".into()));
    let other = mint("https://other.example", "sts.amazonaws.com", 5);
    assert_eq!(send(scenario::EFGH, &other).error(), (403, "AccessDenied".into()));
    let audience = mint("https://issuer.example/id", "elsewhere", 5);
    assert_eq!(send(scenario::EFGH, &audience).error(), (400, "InvalidIdentityToken".into()));

    fake.iam().permit(scenario::EFGH, Permission::allow("sts:AssumeRole", scenario::LONG));
    fake.iam().set_trust(scenario::LONG, Trust::of(scenario::EFGH));
    let keys = send(scenario::EFGH, &good).keys();
    let chained = assume(&fake, &keys, scenario::LONG, &[("DurationSeconds", "3601")]);
    assert!(chained.message().contains("role chaining"), "its session is a role session like any other");
}
