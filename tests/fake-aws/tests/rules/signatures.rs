//! Nothing unsigned, tampered with, stale or meant for elsewhere is believed.

use fake_aws::scenario;
use time::Duration;

use crate::client::{S3, STS, Scope, assume, form, get, instance_keys, start, whoami};
use crate::clock::outlive;

const WHOAMI: &[(&str, &str)] = &[("Action", "GetCallerIdentity")];
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided.";

#[test]
fn a_good_signature_is_believed() {
    let fake = start();
    let answer = whoami(&fake, &scenario::alice());
    assert_eq!(answer.status, 200);
    assert_eq!(answer.element("Arn"), scenario::ALICE);
    assert_eq!(answer.element("Account"), scenario::ACCOUNT);
    assert_eq!(answer.header("x-amzn-requestid"), Some(answer.element("RequestId").as_str()));
    assert_eq!(fake.requests()[0].caller.as_deref(), Some(scenario::ALICE));
}

#[test]
fn a_wrong_secret_is_refused() {
    let fake = start();
    let mut keys = scenario::alice();
    keys.secret_access_key.push('x');
    let answer = whoami(&fake, &keys);
    assert_eq!(answer.error(), (403, "SignatureDoesNotMatch".into()));
    assert!(answer.message().starts_with(MISMATCH), "{}", answer.message());
    assert_eq!(fake.requests()[0].caller, None);
}

#[test]
fn a_tampered_body_path_or_signed_header_is_refused() {
    let fake = start();
    let signed = form(&fake, WHOAMI).signed(&scenario::alice(), STS);

    let mut body = signed.clone();
    body.body.push_str("&More=1");
    assert_eq!(body.send(&fake).error(), (403, "SignatureDoesNotMatch".into()));

    let mut query = signed.clone();
    query.target = "/?a=b".into();
    assert_eq!(query.send(&fake).error(), (403, "SignatureDoesNotMatch".into()));

    let kind = signed.clone().change("content-type", "utf-8", "UTF-8");
    assert_eq!(kind.send(&fake).error(), (403, "SignatureDoesNotMatch".into()));

    assert_eq!(signed.send(&fake).status, 200, "the untouched request is good");
}

#[test]
fn a_changed_host_is_refused() {
    let fake = start();
    let signed = form(&fake, WHOAMI).signed(&scenario::alice(), STS);
    let answer = signed.change("host", "localhost", "127.0.0.1").send(&fake);
    assert_eq!(answer.error(), (403, "SignatureDoesNotMatch".into()));
}

#[test]
fn headers_that_must_be_signed_are() {
    let fake = start();
    let keys = instance_keys(&fake, "abcd");
    let signed = form(&fake, WHOAMI).signed(&keys, STS);
    for name in ["x-amz-security-token", "x-amz-date", "content-type", "host"] {
        let listed = format!("{name};");
        let listed = if name == "x-amz-security-token" { format!(";{name}") } else { listed };
        let answer = signed.clone().change("authorization", &listed, "").send(&fake);
        assert_eq!(answer.error(), (403, "SignatureDoesNotMatch".into()), "{name}");
        assert!(answer.message().contains(name), "{}", answer.message());
    }
}

#[test]
fn the_list_of_signed_headers_is_taken_at_its_word() {
    let fake = start();
    let signed = form(&fake, WHOAMI).signed(&scenario::alice(), STS);
    for (from, to) in [
        ("content-type;host", "host;content-type"),
        ("content-type", "Content-Type"),
        ("x-amz-date", "x-amz-date;x-not-there"),
        ("host;", "host;host;"),
    ] {
        let answer = signed.clone().change("authorization", from, to).send(&fake);
        assert_eq!(answer.error(), (403, "SignatureDoesNotMatch".into()), "{to}");
    }
}

#[test]
fn a_token_that_was_added_after_signing_is_refused() {
    let fake = start();
    let keys = instance_keys(&fake, "abcd");
    let mut tokenless = keys.clone();
    tokenless.session_token = None;
    let signed = form(&fake, WHOAMI).signed(&tokenless, STS);
    assert_eq!(signed.clone().send(&fake).error(), (403, "InvalidClientTokenId".into()), "no token");
    let answer = signed.with("x-amz-security-token", &keys.session_token.unwrap()).send(&fake);
    assert_eq!(answer.error(), (403, "SignatureDoesNotMatch".into()), "unsigned token");
}

#[test]
fn a_token_of_other_keys_is_refused() {
    let fake = start();
    let mut keys = instance_keys(&fake, "abcd");
    fake.imds().rotate();
    keys.session_token = instance_keys(&fake, "abcd").session_token;
    assert_eq!(whoami(&fake, &keys).error(), (403, "InvalidClientTokenId".into()));
    let mut keys = scenario::alice();
    keys.session_token = Some("made-up".into());
    assert_eq!(whoami(&fake, &keys).error(), (403, "InvalidClientTokenId".into()));
}

#[test]
fn a_date_over_five_minutes_off_is_refused_and_said_so() {
    let fake = start();
    let at = |shift| form(&fake, WHOAMI).signed(&scenario::alice(), Scope { shift, ..STS }).send(&fake);
    assert_eq!(at(-290).status, 200);
    assert_eq!(at(290).status, 200);
    let old = at(-310);
    assert_eq!(old.error(), (403, "SignatureDoesNotMatch".into()));
    assert!(old.message().starts_with("Signature expired: ") && old.message().ends_with(" - 5 min.)"));
    let new = at(310);
    assert_eq!(new.error(), (403, "SignatureDoesNotMatch".into()));
    assert!(
        new.message().starts_with("Signature not yet current: ") && new.message().contains("still later")
    );
}

#[test]
fn the_clock_of_the_service_decides() {
    let fake = start();
    fake.sts().clock_offset(Duration::minutes(40));
    let answer = whoami(&fake, &scenario::alice());
    assert!(answer.message().starts_with("Signature expired: "), "{}", answer.message());
    let signed = form(&fake, WHOAMI).signed(&scenario::alice(), Scope { shift: 2400, ..STS });
    assert_eq!(signed.send(&fake).status, 200);
}

#[test]
fn a_scope_for_elsewhere_is_refused() {
    let fake = start();
    let scoped = |region, service| {
        form(&fake, WHOAMI).signed(&scenario::alice(), Scope { region, service, shift: 0 }).send(&fake)
    };
    assert_eq!(scoped("eu-west-1", "sts").status, 200);
    assert!(scoped("nowhere", "sts").message().starts_with("Credential should be scoped to a valid region"));
    assert!(scoped("us-east-1", "iam").message().contains("correct service: 'sts'"));
    fake.sts().require_region(Some("eu-west-1"));
    assert_eq!(scoped("us-east-1", "sts").error(), (403, "SignatureDoesNotMatch".into()));
    let other_day = form(&fake, WHOAMI)
        .signed(&scenario::alice(), Scope { region: "eu-west-1", ..STS })
        .change("authorization", "/eu-west-1/", "0/eu-west-1/");
    assert!(other_day.send(&fake).message().starts_with("Date in Credential scope does not match"));
}

#[test]
fn the_name_of_a_regional_endpoint_fixes_the_region() {
    let fake = start();
    let mut request = form(&fake, WHOAMI);
    let port = fake.sts_url().rsplit(':').next().unwrap().to_owned();
    request.headers[0].1 = format!("sts.eu-central-1.amazonaws.com:{port}");
    let wrong = request.clone().signed(&scenario::alice(), STS).send(&fake);
    assert_eq!(wrong.error(), (403, "SignatureDoesNotMatch".into()));
    let right = request.signed(&scenario::alice(), Scope { region: "eu-central-1", ..STS }).send(&fake);
    assert_eq!(right.status, 200);
}

#[test]
fn unsigned_and_unknown_callers_are_told_apart() {
    let fake = start();
    let unsigned = form(&fake, WHOAMI).send(&fake);
    assert_eq!(unsigned.error(), (403, "MissingAuthenticationToken".into()));
    let mut keys = scenario::alice();
    keys.access_key_id = "AKIANOSUCHKEY0000000".into();
    assert_eq!(whoami(&fake, &keys).error(), (403, "InvalidClientTokenId".into()));
    let half =
        form(&fake, WHOAMI).signed(&scenario::alice(), STS).change("authorization", "Signature=", "Sig=");
    assert_eq!(half.send(&fake).error(), (400, "IncompleteSignature".into()));
    let undated = form(&fake, WHOAMI).signed(&scenario::alice(), STS).without("x-amz-date");
    assert_eq!(undated.send(&fake).error(), (400, "IncompleteSignature".into()));
}

#[test]
fn an_ended_session_is_refused() {
    let fake = start();
    let lifetime = std::time::Duration::from_secs(1);
    fake.sts().session_lifetime(Some(lifetime));
    let keys = assume(&fake, &scenario::alice(), scenario::LONG, &[]).keys();
    assert_eq!(whoami(&fake, &keys).status, 200);
    outlive(lifetime);
    assert_eq!(whoami(&fake, &keys).error(), (403, "ExpiredToken".into()));
}

#[test]
fn s3_wants_the_hash_of_what_came() {
    let fake = start();
    let keys = instance_keys(&fake, "abcd");
    let signed = get(&fake.s3_url(), "/my-bucket-1?list-type=2").signed(&keys, S3);
    assert_eq!(signed.send(&fake).status, 200);
    let mut tampered = signed.clone();
    tampered.body = "unhashed".into();
    assert_eq!(tampered.send(&fake).error(), (400, "XAmzContentSHA256Mismatch".into()));
    let unhashed = signed.clone().without("x-amz-content-sha256");
    assert_eq!(unhashed.send(&fake).error(), (400, "InvalidRequest".into()));
    let added = signed.clone().with("x-amz-request-payer", "requester");
    assert_eq!(added.send(&fake).error(), (403, "AccessDenied".into()), "an unsigned header");
    let mut elsewhere = signed;
    elsewhere.target = "/my-bucket-2?list-type=2".into();
    assert_eq!(elsewhere.send(&fake).error(), (403, "SignatureDoesNotMatch".into()));
}
