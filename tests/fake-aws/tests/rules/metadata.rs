//! IMDS gives nothing without a token, and nothing to whom the role does not trust.

use std::time::Duration;

use fake_aws::{ExpirationForm, Kind, Refusal, Trust, scenario};

use crate::client::{get, imds_token, instance_keys, metadata, start, whoami};
use crate::clock::outlive;

const EXTENDED: &str = "/latest/meta-data/iam/security-credentials-extended/";
const LEGACY: &str = "/latest/meta-data/iam/security-credentials/";

#[test]
fn tokens_are_granted_within_bounds() {
    let fake = start();
    for seconds in ["1", "21600"] {
        let answer = imds_token(&fake, seconds);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-aws-ec2-metadata-token-ttl-seconds"), Some(seconds));
        assert!(answer.header("date").is_some());
    }
    for seconds in ["0", "21601", "-1", "abc", "", "1.5", "+5"] {
        assert_eq!(imds_token(&fake, seconds).status, 400, "`{seconds}`");
    }
    let mut request = get(&fake.imds_url(), "/latest/api/token");
    assert_eq!(request.send(&fake).status, 405, "GET of a token");
    request.method = "PUT".into();
    assert_eq!(request.send(&fake).status, 400, "no lifetime");
    let forwarded =
        request.with("x-aws-ec2-metadata-token-ttl-seconds", "60").with("X-Forwarded-For", "10.0.0.1");
    assert_eq!(forwarded.send(&fake).status, 403);
}

#[test]
fn nothing_is_told_without_a_good_token() {
    let fake = start();
    let request = get(&fake.imds_url(), "/latest/meta-data/instance-id");
    assert_eq!(request.send(&fake).status, 401);
    let invented = request.clone().with("x-aws-ec2-metadata-token", "invented").send(&fake);
    assert_eq!(invented.status, 401);
    assert!(invented.text().contains("xhtml"), "{}", invented.text());

    let token = imds_token(&fake, "1").text();
    let request = request.with("x-aws-ec2-metadata-token", &token);
    assert_eq!(request.send(&fake).text(), scenario::INSTANCE_ID);
    outlive(Duration::from_secs(1));
    assert_eq!(request.send(&fake).status, 401, "the token has expired");

    let token = imds_token(&fake, "60").text();
    fake.imds().forget_tokens();
    let forgotten =
        get(&fake.imds_url(), "/latest/meta-data/instance-id").with("x-aws-ec2-metadata-token", &token);
    assert_eq!(forgotten.send(&fake).status, 401);
}

#[test]
fn the_extended_path_alone_tells_the_account_and_can_be_absent() {
    let fake = start();
    assert_eq!(metadata(&fake, EXTENDED).text(), "abcd");
    assert!(metadata(&fake, &format!("{EXTENDED}abcd")).text().contains("\"AccountId\" : \"111111111111\""));
    let legacy = metadata(&fake, &format!("{LEGACY}abcd")).text();
    assert!(!legacy.contains("AccountId"), "{legacy}");
    fake.imds().extended(false);
    assert_eq!(metadata(&fake, EXTENDED).status, 404);
    assert_eq!(metadata(&fake, &format!("{EXTENDED}abcd")).status, 404);
    assert_eq!(metadata(&fake, LEGACY).text(), "abcd");
    assert_eq!(fake.counts().requests(Kind::ExtendedListing), 2);
    assert_eq!(fake.counts().requests(Kind::LegacyListing), 1);
}

#[test]
fn the_listing_follows_the_attached_role() {
    let fake = start();
    fake.imds().trailing_newline(true);
    assert_eq!(metadata(&fake, LEGACY).text(), "abcd\n");
    assert_eq!(
        metadata(&fake, &format!("{LEGACY}abcd%0A")).status,
        404,
        "the newline is not part of the name"
    );
    let role = "arn:aws:iam::111111111111:role/team/other";
    fake.iam().add_role(fake_aws::Role::new(role).trust(Trust::of("ec2.amazonaws.com")));
    fake.imds().attach_role(Some(role));
    assert_eq!(metadata(&fake, LEGACY).text(), "other\n");
    assert_eq!(metadata(&fake, &format!("{LEGACY}abcd")).status, 404);
    let arn = whoami(&fake, &instance_keys(&fake, "other")).element("Arn");
    assert_eq!(arn, "arn:aws:sts::111111111111:assumed-role/other/i-0123456789abcdef0");
    fake.imds().attach_role(None);
    assert_eq!(metadata(&fake, LEGACY).status, 404);
}

#[test]
fn credentials_stay_until_they_are_rotated() {
    let fake = start();
    let first = instance_keys(&fake, "abcd");
    assert_eq!(instance_keys(&fake, "abcd"), first);
    assert!(first.secret_access_key.contains('/') && first.secret_access_key.contains('+'));
    fake.imds().rotate();
    let second = instance_keys(&fake, "abcd");
    assert_ne!(second.access_key_id, first.access_key_id);
    assert_eq!(whoami(&fake, &first).status, 200, "the old ones live on");
    assert_eq!(whoami(&fake, &second).status, 200);
}

#[test]
fn expirations_and_unknown_members_are_as_ordered() {
    let fake = start();
    let expiration = || {
        let answer = metadata(&fake, &format!("{LEGACY}abcd"));
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        document["Expiration"].as_str().unwrap().to_owned()
    };
    assert!(expiration().ends_with('Z') && !expiration().contains('.'));
    fake.imds().unknown_members(true);
    fake.imds().expiration_form(ExpirationForm::Fractional);
    assert!(expiration().contains('.'));
    fake.imds().expiration_form(ExpirationForm::Offset);
    assert!(expiration().ends_with("+00:00"));
    fake.imds().show_expiration(Some("2020-01-01T00:00:00Z"));
    assert_eq!(expiration(), "2020-01-01T00:00:00Z");
    assert_eq!(whoami(&fake, &instance_keys(&fake, "abcd")).status, 200, "the keys are good all the same");
}

#[test]
fn a_role_that_does_not_trust_ec2_gives_a_reason_and_no_keys() {
    let fake = start();
    fake.iam().set_trust(scenario::ABCD, Trust::of(scenario::ALICE));
    let answer = metadata(&fake, &format!("{EXTENDED}abcd"));
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\"Code\" : \"AssumeRoleUnauthorizedAccess\""), "{}", answer.text());
    assert!(!answer.text().contains("AccessKeyId"));
    let refusal = Refusal { code: "Failed".into(), message: "a \"reason\"".into() };
    fake.imds().refuse_credentials(Some(refusal));
    assert!(metadata(&fake, &format!("{EXTENDED}abcd")).text().contains("a \\\"reason\\\""));
}
