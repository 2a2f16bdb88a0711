//! Every file that a source or a role reads, and what may stand in its place: clear words, little time and memory, and
//! what is published stays as it is.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fake_aws::scenario::{LONG, POD};
use fake_aws::{Assertion, Order};

use super::certificates::world_of;
use crate::observe::{at_once, timed};
use crate::support::{Run, World};

const SAML: &str = "arn:aws:iam::222222222222:saml-provider/idp";

/// A file that a profile needs: the profile, and the file's name in the world's directory.
type Needed = (&'static str, &'static str);

const NEEDED: [Needed; 13] = [
    ("pod", "token"),
    ("saml", "assertion"),
    ("iot", "cert"),
    ("iot", "key"),
    ("iot", "roots"),
    ("anywhere", "cert"),
    ("anywhere", "key"),
    ("anywhere", "chain"),
    ("container", "authorization"),
    ("narrow", "policy"),
    ("bundled", "bundle"),
    ("pod", "bundle"),
    ("anywhere", "bundle"),
];

/// A world with a profile for each kind of source that reads a file, all of them published.
fn world() -> World {
    let world = world_of(World::new(""));
    let path = |name: &str| world.path(name).display().to_string();
    let ca = world.fake.ca_file().unwrap();
    world.write("roots", fs::read(ca).unwrap());
    world.write("bundle", fs::read(ca).unwrap());
    world.say("iot", &format!("rolekeeper_iot_ca_file = {}\n", path("roots")));
    let chain = format!("rolekeeper_roles_anywhere_chain_file = {}\n", path("chain"));
    world.say("anywhere", &format!("{chain}ca_bundle = {}\n", path("bundle")));
    let p384 = include_str!("../../x509/p384.pkcs8.pem");
    let certificate = world.fake.issue(&Order { intermediate: true, ..Order::new(p384) }).unwrap();
    world.write("cert", format!("{}{}", certificate.pem, certificate.chain_pem));
    world.write("chain", &certificate.chain_pem);
    world.write("key", p384);
    world.write(
        "token",
        world.fake.sts().web_identity_token(
            "https://issuer.example",
            "pod",
            "sts.amazonaws.com",
            time::Duration::minutes(5),
        ),
    );
    world.write("assertion", world.fake.sts().saml_response(&Assertion::new(POD, SAML, "alice")));
    world.write("authorization", "of-this-task");
    world.write("policy", r#"{"Version": "2012-10-17", "Statement": []}"#);
    let in_region = format!("region = us-east-1\nca_bundle = {}\n", path("bundle"));
    let further = [
        format!("[profile pod]\nrole_arn = {POD}\nweb_identity_token_file = {}\n{in_region}", path("token")),
        format!(
            "[profile saml]\nrole_arn = {POD}\nrolekeeper_saml_principal_arn = {SAML}\n\
             rolekeeper_saml_assertion_file = {}\n{in_region}",
            path("assertion")
        ),
        "[profile container]\ncredential_source = EcsContainer\nrolekeeper_publish = true\n".to_owned(),
        format!(
            "[profile narrow]\nrole_arn = {LONG}\ncredential_source = Ec2InstanceMetadata\n\
             rolekeeper_policy_file = {}\n{in_region}",
            path("policy")
        ),
        format!("[profile bundled]\nrole_arn = {LONG}\ncredential_source = Ec2InstanceMetadata\n{in_region}"),
    ];
    world.write("config", format!("{}{}", world.text("config"), further.concat()));
    world
}

/// Refreshes `profile` with little memory, whatever it costs.
fn refresh(world: &World, profile: &str) -> (Run, Duration) {
    let described = world.command(&["refresh", "--force", "-v", profile]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -v 200000; exec \"$@\"", "sh"]).arg(described.get_program());
    command.args(described.get_args()).env_clear();
    command.envs(described.get_envs().map(|(name, value)| (name, value.unwrap())));
    command.env_remove("AWS_CA_BUNDLE");
    command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", world.fake.container_url());
    command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", world.path("authorization"));
    timed(|| Run::of(&mut command))
}

fn documents(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let is_of_profile = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "profiles");
    world.snapshot().into_iter().filter(|(path, _)| is_of_profile(path)).collect()
}

#[test]
fn what_stands_in_the_place_of_a_file_harms_nothing() {
    type Plant = fn(&World, &PathBuf);
    let kinds: [(&str, Plant, &str); 6] = [
        ("nothing", |_, _| {}, "the file does not exist"),
        ("a directory", |_, path| fs::create_dir(path).unwrap(), "a directory, not a file"),
        (
            "a pipe",
            |_, path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            "a pipe, not a file",
        ),
        (
            "a device",
            |_, path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
            "a device, not a file",
        ),
        (
            "a gigabyte",
            |_, path| File::create(path).unwrap().set_len(1 << 30).unwrap(),
            "the file is larger than",
        ),
        (
            "a loop of links",
            |_, path| std::os::unix::fs::symlink(path, path).unwrap(),
            "the file cannot be read",
        ),
    ];
    at_once(kinds, |(kind, plant, says)| {
        let world = world();
        for profile in ["pod", "saml", "iot", "anywhere", "container", "narrow", "bundled"] {
            let (run, _) = refresh(&world, profile);
            assert_eq!(run.code, 0, "{profile}: {run:?}");
        }
        for (profile, name) in NEEDED {
            let path = world.path(name);
            let kept = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            let before = documents(&world);
            plant(&world, &path);
            let (run, time) = refresh(&world, profile);
            let case = format!("{kind} for `{name}` of {profile}: {run:?}");
            assert!(time < Duration::from_secs(10), "{time:?}: {case}");
            // Root does not even look at what everybody may write to.
            let says = if run.stderr.contains("not trusted by root") && kind == "a device" {
                "`/dev/zero` has mode 0666"
            } else {
                says
            };
            assert!(run.stderr.contains(says) && run.stderr.contains(path.to_str().unwrap()), "{case}");
            assert!(!run.stderr.contains("MII") && !run.stderr.contains("eyJ"), "a secret: {case}");
            assert_eq!(documents(&world), before, "{case}");
            let error = world.status(profile)["last_error"]["message"].to_string();
            assert!(error.contains(says), "{error}: {case}");
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir(&path).unwrap();
            } else if kind != "nothing" {
                fs::remove_file(&path).unwrap();
            }
            world.write(name, kept);
        }
        // And nothing of it lasts.
        for profile in ["pod", "saml", "iot", "anywhere", "container", "narrow", "bundled"] {
            let (run, _) = refresh(&world, profile);
            assert_eq!(run.code, 0, "{profile}: {run:?}");
            assert!(world.status(profile)["last_error"].is_null(), "{profile}");
        }
    });
}

/// Roots and intermediate certificates that are none.
#[test]
fn what_is_no_certificate_is_no_root_and_no_link_of_a_chain() {
    let world = world();
    for profile in ["iot", "anywhere", "bundled"] {
        let (run, _) = refresh(&world, profile);
        assert_eq!(run.code, 0, "{profile}: {run:?}");
    }
    let key = world.text("key");
    let certificate = world.text("chain");
    let half = certificate.split_at(certificate.len() / 2).0;
    for (profile, name, content, says) in [
        ("iot", "roots", "", "holds no PEM certificate"),
        ("iot", "roots", key.as_str(), "holds no PEM certificate"),
        ("iot", "roots", half, "holds no PEM certificate"),
        ("bundled", "bundle", "garbage", "holds no PEM certificate"),
        ("bundled", "bundle", key.as_str(), "holds no PEM certificate"),
        ("anywhere", "chain", "", "the file is empty"),
        ("anywhere", "chain", key.as_str(), "`PRIVATE KEY`, not a certificate"),
        ("anywhere", "chain", half, "holds a damaged certificate"),
    ] {
        let good = world.text(name);
        let before = world.document(profile);
        world.write(name, content);
        let (run, _) = refresh(&world, profile);
        assert!(run.stderr.contains(says) && run.stderr.contains(name), "{name} {content:?}: {run:?}");
        assert_eq!(world.document(profile), before);
        world.write(name, good);
    }
}
