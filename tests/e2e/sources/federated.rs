//! Web identity and SAML: a file's word for a role.

use std::fs;
use std::process::Command;

use fake_aws::scenario::{EFGH, LONG};
use fake_aws::{Action, Assertion, Fault, Kind, Permission, Received, Trust, TrustStatement};
use time::Duration;

use crate::host::{has_root, set_mode};
use crate::support::{Run, World};

const OIDC: &str = "arn:aws:iam::222222222222:oidc-provider/issuer.example/id";
const SAML: &str = "arn:aws:iam::222222222222:saml-provider/idp";

/// A world whose profile `a` is the role `LONG` by the token in the file `token`.
fn with_token(further: &str) -> World {
    let world = World::new("");
    let trust = TrustStatement::new(OIDC).action("sts:AssumeRoleWithWebIdentity");
    world.fake.iam().set_trust(LONG, Trust::nobody().and(trust));
    let file = world.path("token");
    world.write(
        "config",
        format!(
            "[profile a]\nrole_arn = {LONG}\nweb_identity_token_file = {}\nregion = us-east-1\n{further}",
            file.display()
        ),
    );
    world
}

fn token(world: &World, minutes: i64) -> String {
    let lifetime = Duration::minutes(minutes);
    world.fake.sts().web_identity_token("https://issuer.example/id", "pod-1", "sts.amazonaws.com", lifetime)
}

fn asked(world: &World) -> Vec<Received> {
    let kinds = [Kind::AssumeRoleWithWebIdentity, Kind::AssumeRoleWithSaml];
    world.fake.requests().into_iter().filter(|request| kinds.contains(&request.kind)).collect()
}

fn refresh(world: &World) -> Run {
    let run = world.run(&["refresh", "--force"]);
    assert!(!run.stderr.contains("eyJ"), "a token is shown: {run:?}");
    run
}

#[test]
fn a_token_is_sent_unsigned_trimmed_and_read_anew_each_time() {
    let world = with_token("duration_seconds = 7200\nrole_session_name = pod\n");
    for minutes in [5, 6] {
        let token = token(&world, minutes);
        world.write("token", format!("{token}\n"));
        // Keys in the environment have no say, and are not sent.
        let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "hidden")];
        world.run_in(&keys, &["refresh", "--force"]).assert_silent_success();
        let sent = asked(&world).pop().unwrap();
        assert_eq!(sent.parameter("WebIdentityToken"), Some(token.as_str()));
        assert_eq!(
            (sent.parameter("DurationSeconds"), sent.parameter("RoleSessionName")),
            (Some("7200"), Some("pod"))
        );
        for header in ["authorization", "x-amz-date", "x-amz-security-token"] {
            assert_eq!(sent.header(header), None, "{header}");
        }
    }
    assert!((Duration::minutes(119)..Duration::minutes(121)).contains(&world.life("a")));
    assert_eq!(world.document("a")["AccountId"], "222222222222");
    assert_eq!(world.status("a")["source"], format!("web identity as {LONG}"));
    world.assert_no_imds();
}

#[test]
fn roles_are_assumed_from_a_web_identity_that_is_asked_for_once() {
    let chained =
        |name: &str| format!("[profile {name}]\nrole_arn = {EFGH}\nsource_profile = a\nregion = us-east-1\n");
    let world = with_token(&format!("{}{}", chained("b"), chained("c")));
    world.fake.iam().permit(LONG, Permission::allow("sts:AssumeRole", EFGH));
    world.fake.iam().set_trust(EFGH, Trust::of(LONG));
    world.write("token", token(&world, 5));
    refresh(&world).assert_silent_success();
    assert_eq!((asked(&world).len(), world.assumptions().len()), (1, 2));
}

#[test]
fn without_any_file_the_environment_s_identity_is_enough() {
    let world = with_token("");
    let file = world.write("token", token(&world, 5));
    let command = |arguments: &[&str]| {
        let mut command = world.bare_command(arguments);
        command.env("AWS_WEB_IDENTITY_TOKEN_FILE", &file).env("AWS_ROLE_ARN", LONG);
        command.env("AWS_REGION", "us-east-1").env("AWS_ROLE_SESSION_NAME", "pod-1");
        command.arg("--output-dir").arg(world.out());
        command
    };
    Run::of(&mut command(&["refresh"])).assert_silent_success();
    assert_eq!(asked(&world)[0].parameter("RoleSessionName"), Some("pod-1"));
    let printed = Run::of(&mut command(&["print"]));
    assert_eq!(
        (printed.code, printed.stdout.as_str()),
        (0, world.published("profiles/default/credentials.json").as_str())
    );
    let named = Run::of(&mut command(&["print", "--profile-name", "pod", "--duration-seconds", "900"]));
    assert_eq!((named.code, asked(&world)[1].parameter("DurationSeconds")), (0, Some("900")), "{named:?}");
    let identity = Run::of(&mut command(&["whoami"]));
    assert!(identity.stdout.contains("assumed-role/twelve-hours/pod-1"), "{identity:?}");
}

#[test]
fn what_a_token_file_cannot_be_is_said_and_nothing_is_sent() {
    let world = with_token("");
    for (text, says) in [
        ("", "holds no identity token"),
        (" \n", "holds no identity token"),
        ("eyJ a", "something else than one identity token"),
        (&"x".repeat(20_001), "more than the 20000 characters"),
        (&"x".repeat(1_100_000), "larger than"),
    ] {
        world.write("token", text);
        refresh(&world).assert_failure(75, &["profile `a`", "token", says]);
    }
    fs::remove_file(world.path("token")).unwrap();
    refresh(&world).assert_failure(75, &["token", "does not exist"]);
    fs::create_dir(world.path("token")).unwrap();
    refresh(&world).assert_failure(75, &["token", "a directory, not a file"]);
    fs::remove_dir(world.path("token")).unwrap();
    assert!(Command::new("mkfifo").arg(world.path("token")).status().unwrap().success());
    refresh(&world).assert_failure(75, &["token", "a pipe, not a file"]);
    fs::remove_file(world.path("token")).unwrap();
    if has_root() {
        world.write("token", "eyJ");
        set_mode(&world.path("token"), 0o666);
        refresh(&world).assert_failure(75, &["not trusted by root", "chmod go-w"]);
        fs::remove_file(world.path("token")).unwrap();
    }
    assert!(asked(&world).is_empty() && world.is_unpublished("a"));

    world.write("token", "x".repeat(20_000));
    refresh(&world).assert_failure(77, &["InvalidIdentityToken"]);
    assert_eq!(asked(&world).len(), 1, "as long as STS allows");
}

#[test]
fn what_sts_says_of_a_token_is_named_with_advice() {
    let world = with_token("");
    world.write("token", token(&world, -5));
    refresh(&world).assert_failure(77, &[LONG, "ExpiredToken", "whoever writes it has to renew it"]);
    let good = token(&world, 5);
    world.write("token", good.replace("eyJ", "eyK"));
    assert_eq!(world.run(&["refresh"]).code, 77);
    let forged = good.rsplit_once('.').unwrap().0;
    world.write("token", format!("{forged}.{}", token(&world, 6).rsplit_once('.').unwrap().1));
    refresh(&world).assert_failure(77, &["InvalidIdentityToken", "signature", "check the file's issuer"]);
    world.write("token", &good);
    world.fake.iam().set_trust(LONG, Trust::nobody());
    refresh(&world).assert_failure(77, &["AccessDenied", "sts:AssumeRoleWithWebIdentity"]);
}

#[test]
fn an_identity_provider_out_of_reach_is_tried_again() {
    let world = with_token("");
    world.write("token", token(&world, 5));
    let fault = Fault::new(Action::error(400, "IDPCommunicationError"));
    world.fake.sts().fail(fault.on(Kind::AssumeRoleWithWebIdentity).times(2));
    refresh(&world).assert_silent_success();
    assert_eq!(asked(&world).len(), 3);
}

/// A world whose profile `a` is the role `LONG` by the assertion in the file `assertion`.
fn with_assertion() -> World {
    let world = World::new("");
    let trust = TrustStatement::new(SAML).action("sts:AssumeRoleWithSAML");
    world.fake.iam().set_trust(LONG, Trust::nobody().and(trust));
    let file = world.path("assertion");
    world.write(
        "config",
        format!(
            "[profile a]\nrole_arn = {LONG}\nrolekeeper_saml_principal_arn = {SAML}\nregion = us-east-1\n\
             rolekeeper_saml_assertion_file = {}\nduration_seconds = 1800\nrole_session_name = ignored\n",
            file.display()
        ),
    );
    world
}

#[test]
fn a_saml_assertion_is_sent_unsigned_however_its_lines_are_broken() {
    let world = with_assertion();
    let assertion = world.fake.sts().saml_response(&Assertion::new(LONG, SAML, "alice@example.com"));
    let (first, second) = assertion.split_at(64);
    world.write("assertion", format!("{first}\r\n{second}\n"));
    refresh(&world).assert_silent_success();
    let sent = asked(&world).pop().unwrap();
    assert_eq!(sent.parameter("SAMLAssertion"), Some(assertion.as_str()));
    assert_eq!(
        (
            sent.parameter("PrincipalArn"),
            sent.parameter("RoleSessionName"),
            sent.parameter("DurationSeconds")
        ),
        (Some(SAML), None, Some("1800"))
    );
    assert_eq!(sent.header("authorization"), None);
    assert_eq!(world.status("a")["source"], format!("SAML as {LONG}"));
    world.assert_no_imds();
}

#[test]
fn what_is_no_valid_assertion_is_named() {
    let world = with_assertion();
    for (text, says) in [
        ("", "holds no SAML response"),
        ("<samlp:Response/>", "holds XML"),
        ("not/base64%3D", "something else than a SAML response in base64"),
        (&"A".repeat(100_001), "more than the 100000 characters"),
    ] {
        world.write("assertion", text);
        refresh(&world).assert_failure(75, &["assertion", says]);
    }
    assert!(asked(&world).is_empty());
    world.write("assertion", "A".repeat(100_000));
    refresh(&world).assert_failure(77, &["InvalidIdentityToken"]);
    assert_eq!(asked(&world).len(), 1, "as long as STS allows");
    assert!(world.is_unpublished("a"));
}

#[test]
fn what_sts_says_of_a_response_is_named_with_advice() {
    let world = with_assertion();
    let good = || Assertion::new(LONG, SAML, "alice");
    let bad = "check the file's issuer and audience";
    for (assertion, code, advice) in [
        (
            Assertion { not_on_or_after: Duration::minutes(-1), not_before: Duration::minutes(-9), ..good() },
            "ExpiredToken",
            "whoever writes it has to renew it",
        ),
        (Assertion { not_before: Duration::minutes(2), ..good() }, "not valid yet", bad),
        (Assertion { audience: "https://other.example", ..good() }, "Audience", bad),
        (Assertion { recipient: "https://other.example", ..good() }, "Invalid recipient", bad),
        (Assertion { role: EFGH, ..good() }, "AccessDenied", "sts:AssumeRoleWithSAML"),
        (
            Assertion { provider: "arn:aws:iam::222222222222:saml-provider/other", ..good() },
            "AccessDenied",
            "sts:AssumeRoleWithSAML",
        ),
        (Assertion { session_name: "a b", ..good() }, "ValidationError", ""),
    ] {
        world.write("assertion", world.fake.sts().saml_response(&assertion));
        let run = world.run(&["refresh", "--force"]);
        assert!(matches!(run.code, 77 | 78), "{run:?}");
        run.assert_failure(run.code, &[code, advice, LONG]);
        assert!(world.is_unpublished("a"));
    }
}

/// The verifier is one: whatever was changed after the signature, and whatever is not what was signed, is refused.
#[test]
fn a_response_that_was_changed_on_its_way_is_refused() {
    type Change = fn(String) -> String;
    let second = |response: String| {
        let (start, rest) = response.split_once("<Assertion").unwrap();
        let (assertion, end) = rest.split_once("</Assertion>").unwrap();
        let forged = assertion.replace("_0f2e1d3c", "_forged").replace("alice", "mallory");
        format!("{start}<Assertion{forged}</Assertion><Assertion{assertion}</Assertion>{end}")
    };
    let wrapped = |response: String| {
        let (start, rest) = response.split_once("<Assertion").unwrap();
        let (assertion, end) = rest.split_once("</Assertion>").unwrap();
        let forged = assertion.replace("_0f2e1d3c", "_forged").replace("alice", "mallory");
        format!("{start}<Assertion{forged}<Old><Assertion{assertion}</Assertion></Old></Assertion>{end}")
    };
    let changes: [(&str, Change); 12] = [
        ("another name", |response| response.replace("alice", "mallory")),
        ("a longer life", |response| response.replacen("NotOnOrAfter=\"2", "NotOnOrAfter=\"3", 9)),
        ("another role", |response| response.replace("role/twelve-hours", "role/efgh")),
        ("a further attribute", |response| {
            response.replace("<AttributeStatement>", "<AttributeStatement><Attribute Name=\"x\"/>")
        }),
        ("another signature", |response| response.replace("<ds:SignatureValue>", "<ds:SignatureValue>AAAA")),
        ("no signature", |response| {
            let (start, rest) = response.split_once("<ds:Signature ").unwrap();
            format!("{start}{}", rest.split_once("</ds:Signature>").unwrap().1)
        }),
        ("another digest", |response| response.replace("<ds:DigestValue>", "<ds:DigestValue>AAAA")),
        ("a weaker algorithm", |response| {
            response.replace("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1")
        }),
        ("another reference", |response| response.replace("URI=\"#_0f2e1d3c\"", "URI=\"#_response\"")),
        ("the same name twice", |response| response.replace("ID=\"_response\"", "ID=\"_0f2e1d3c\"")),
        ("a second assertion", second),
        ("an assertion around it", wrapped),
    ];
    let world = with_assertion();
    for (name, changed) in changes {
        let assertion = Assertion { changed, ..Assertion::new(LONG, SAML, "alice") };
        world.write("assertion", world.fake.sts().saml_response(&assertion));
        refresh(&world).assert_failure(77, &["InvalidIdentityToken", "check the file's issuer"]);
        assert!(world.is_unpublished("a"), "{name}");
    }
    // What is not part of the canonical form, or not of the assertion, may change.
    let changes: [Change; 3] = [
        |response| response.replace("Destination=", "Consent=\"none\" Destination="),
        |response| response.replace("Version=\"2.0\" ID=\"_0f2e1d3c\"", "ID='_0f2e1d3c'   Version='2.0'"),
        |response| response.replace("alice</NameID>", "ali<!-- a comment -->ce</NameID>"),
    ];
    for changed in changes {
        let assertion = Assertion { changed, ..Assertion::new(LONG, SAML, "alice") };
        world.write("assertion", world.fake.sts().saml_response(&assertion));
        refresh(&world).assert_silent_success();
    }
}

/// Policies are what these calls take beside the proof; the session may then do less than its role.
#[test]
fn session_policies_narrow_the_session_of_an_identity() {
    const OWN: &str = "arn:aws:iam::222222222222:policy/readers";
    let allow = |action: &str| {
        format!(
            "{{\"Version\": \"2012-10-17\", \"Statement\": [{{\"Effect\": \"Allow\", \"Action\": \"{action}\", \"Resource\": \"*\"}}]}}"
        )
    };
    for is_saml in [false, true] {
        let world = if is_saml { with_assertion() } else { with_token("") };
        world.fake.iam().permit(LONG, Permission::allow("s3:*", "*"));
        world.fake.iam().add_policy(OWN, &[Permission::allow("s3:GetObject", "*")]);
        if is_saml {
            world.write("assertion", world.fake.sts().saml_response(&Assertion::new(LONG, SAML, "alice")));
        } else {
            world.write("token", token(&world, 5));
        }
        let plain = world.text("config");
        let file = world.write("policy.json", allow("s3:ListBucket"));
        let file = format!("rolekeeper_policy_file = {}\n", file.display());
        for (lines, policy, arn, status) in [
            (String::new(), None, None, 200),
            (format!("rolekeeper_policy = {}\n", allow("s3:ListBucket")), Some("s3:ListBucket"), None, 200),
            (format!("rolekeeper_policy = {}\n", allow("s3:GetObject")), Some("s3:GetObject"), None, 403),
            (file, Some("s3:ListBucket"), None, 200),
            (format!("rolekeeper_policy_arns = {OWN}\n"), None, Some(OWN), 403),
            (
                format!("rolekeeper_policy_arns = {OWN}\nrolekeeper_policy = {}\n", allow("s3:ListBucket")),
                Some("s3:ListBucket"),
                Some(OWN),
                200,
            ),
        ] {
            world.write("config", format!("{plain}{lines}"));
            // Without force: another policy asks for another session.
            world.run(&["refresh"]).assert_silent_success();
            let sent = asked(&world).pop().unwrap();
            assert_eq!(sent.parameter("Policy").is_some(), policy.is_some(), "{lines}");
            assert!(sent.parameter("Policy").unwrap_or_default().contains(policy.unwrap_or_default()));
            assert_eq!(sent.parameter("PolicyArns.member.1.arn"), arn, "{lines}");
            for never in [
                "Tags.member.1.Key",
                "TransitiveTagKeys.member.1",
                "SourceIdentity",
                "ExternalId",
                "SerialNumber",
            ] {
                assert_eq!(sent.parameter(never), None);
            }
            assert_eq!(world.list("a", "my-bucket-2"), status, "saml {is_saml}: {lines}");
        }
        assert_eq!(asked(&world).len(), 6);
    }
}

/// What the AWS CLI passes over is passed over here as well, and said with `-v`.
#[test]
fn what_an_identity_does_not_take_is_not_sent() {
    let world = with_token(
        "external_id = ab\nmfa_serial = arn:aws:iam::222222222222:mfa/me\ncredential_source = Ec2InstanceMetadata\n",
    );
    world.write("token", token(&world, 5));
    let run = world.run(&["refresh", "-v"]);
    assert_eq!(run.code, 0, "{run:?}");
    for key in ["external_id", "mfa_serial", "credential_source"] {
        assert!(run.stderr.contains(&format!("profile `a`: `{key}` is ignored")), "{run:?}");
    }
    let sent = asked(&world).pop().unwrap();
    assert_eq!((sent.parameter("ExternalId"), sent.parameter("SerialNumber")), (None, None));
    world.assert_no_imds();
    let shown = world.run(&["status", "--json"]).stdout;
    assert!(shown.contains("`external_id` is ignored"), "{shown}");
}
