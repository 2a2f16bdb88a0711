//! Web identity and SAML: a file's word for a role.

use std::fs;
use std::process::Command;

use fake_aws::scenario::{EFGH, LONG};
use fake_aws::{Action, Fault, Kind, Permission, Received, Trust, TrustStatement};
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
    let assertion = world.fake.sts().saml_assertion(LONG, SAML, "alice@example.com", Duration::minutes(5));
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
    let sts = world.fake.sts();
    let old = sts.saml_assertion(LONG, SAML, "alice", Duration::minutes(-1));
    world.write("assertion", old);
    refresh(&world).assert_failure(77, &["ExpiredToken", "whoever writes it has to renew it"]);
    world.write("assertion", sts.saml_assertion(EFGH, SAML, "alice", Duration::minutes(5)));
    refresh(&world).assert_failure(77, &["AccessDenied", "sts:AssumeRoleWithSAML"]);
    let good = sts.saml_assertion(LONG, SAML, "alice", Duration::minutes(5));
    // A character in the middle, of the name in the assertion or beside it.
    let (first, second) = good.split_at(good.len() / 2);
    let other = if second.starts_with('A') { "B" } else { "A" };
    world.write("assertion", format!("{first}{other}{}", second.split_at(1).1));
    refresh(&world).assert_failure(77, &["InvalidIdentityToken"]);
    world.write("assertion", "A".repeat(100_000));
    refresh(&world).assert_failure(77, &["InvalidIdentityToken"]);
    assert!(world.is_unpublished("a"));
}
