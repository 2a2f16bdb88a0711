//! Hosts outside AWS that have a certificate: AWS IoT's credentials provider, with which the handshake is the proof, and
//! Roles Anywhere, with which the signature is. The fake verifies both with libraries of its own.

use std::fs;

use fake_aws::scenario::{ANYWHERE_PROFILE, BEHIND_EDGE, EDGE, ROLE_ALIAS, THING, TRUST_ANCHOR};
use fake_aws::{Action, Fault, Order, Received, Service, Validity};
use serde_json::Value;
use time::Duration;

use crate::observe::connections;
use crate::support::wrong_clock::WrongClock;
use crate::support::{Run, World};

const P256: &str = include_str!("../../x509/p256.pkcs8.pem");
const P384: &str = include_str!("../../x509/p384.pkcs8.pem");
const RSA: &str = include_str!("../../x509/rsa-2048.pkcs8.pem");

/// The same keys in their other forms.
const FORMS: [(&str, &[u8]); 9] = [
    (P256, include_bytes!("../../x509/p256.pkcs8.pem")),
    (P256, include_bytes!("../../x509/p256.sec1.pem")),
    (P256, include_bytes!("../../x509/p256.sec1.der")),
    (P384, include_bytes!("../../x509/p384.pkcs8.der")),
    (P384, include_bytes!("../../x509/p384.sec1.pem")),
    (RSA, include_bytes!("../../x509/rsa-2048.pkcs8.pem")),
    (RSA, include_bytes!("../../x509/rsa-2048.pkcs1.pem")),
    (RSA, include_bytes!("../../x509/rsa-2048.pkcs1.der")),
    (P384, include_bytes!("../../x509/p384.pkcs8.pem")),
];

/// A world with a device of AWS IoT, profile `iot`, and a host of Roles Anywhere, profile `anywhere`, which share a
/// certificate and a key; both are published.
fn world() -> World {
    world_of(World::new(""))
}

pub(super) fn world_of(world: World) -> World {
    let (cert, key) = (world.path("cert"), world.path("key"));
    let (cert, key) = (cert.display(), key.display());
    let (iot, anywhere) = (world.fake.iot_endpoint(), world.fake.roles_anywhere_url());
    world.write(
        "config",
        format!(
            "[profile iot]\nrolekeeper_publish = true\nrolekeeper_iot_endpoint = {iot}\n\
             rolekeeper_iot_role_alias = {ROLE_ALIAS}\nrolekeeper_iot_thing_name = {THING}\n\
             rolekeeper_iot_certificate_file = {cert}\nrolekeeper_iot_private_key_file = {key}\n\
             [profile anywhere]\nrolekeeper_publish = true\nrolekeeper_roles_anywhere_endpoint = {anywhere}\n\
             rolekeeper_roles_anywhere_trust_anchor_arn = {TRUST_ANCHOR}\n\
             rolekeeper_roles_anywhere_profile_arn = {ANYWHERE_PROFILE}\n\
             rolekeeper_roles_anywhere_role_arn = {EDGE}\n\
             rolekeeper_roles_anywhere_certificate_file = {cert}\n\
             rolekeeper_roles_anywhere_private_key_file = {key}\n"
        ),
    );
    world.holds(&Order::new(P256), P256);
    world
}

impl World {
    /// Writes the certificate of `order` and, as its key, `key`.
    fn holds(&self, order: &Order<'_>, key: impl AsRef<[u8]>) {
        let certificate = self.fake.issue(order).unwrap();
        self.write("cert", format!("{}{}", certificate.pem, certificate.chain_pem));
        self.write("key", key);
    }

    /// Adds lines to the profile named.
    pub(super) fn say(&self, profile: &str, lines: &str) {
        let header = format!("[profile {profile}]\n");
        self.write("config", self.text("config").replace(&header, &format!("{header}{lines}")));
    }

    fn force(&self, profiles: &[&str]) -> Run {
        let run = self.run(&[&["refresh", "--force"], profiles].concat());
        assert!(!run.stderr.contains("MII"), "key or certificate is shown: {run:?}");
        run
    }

    pub(super) fn asked(&self) -> Vec<Received> {
        let services = [Service::Iot, Service::RolesAnywhere];
        self.fake.requests().into_iter().filter(|request| services.contains(&request.service)).collect()
    }
}

#[test]
fn every_form_of_key_is_accepted_by_both_services() {
    let world = world();
    for (certified, form) in FORMS {
        world.holds(&Order::new(certified), form);
        world.force(&[]).assert_silent_success();
    }
    assert_eq!(world.received(Service::Iot).len(), FORMS.len());
    assert_eq!(world.received(Service::RolesAnywhere).len(), FORMS.len());
    world.assert_no_imds();
    assert!(world.received(Service::Sts).is_empty(), "STS was asked");
    for (profile, name) in [("iot", THING), ("anywhere", "66")] {
        let whoami = world.run_in(&[("AWS_REGION", "us-east-1")], &["whoami", profile]);
        let session = format!("arn:aws:sts::111111111111:assumed-role/edge/{name}");
        assert!(whoami.stdout.contains(&session), "{whoami:?}");
    }
}

#[test]
fn a_device_asks_as_the_service_wants_it() {
    let world = world();
    world.force(&["iot"]).assert_silent_success();
    let asked = world.received(Service::Iot);
    let [request] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/role-aliases/edge%3D1%2C%40home/credentials");
    assert_eq!(request.server_name.as_deref(), Some("localhost"));
    assert_eq!(request.header("x-amzn-iot-thingname"), Some(THING));
    assert_eq!(request.header("authorization"), None);
    assert!((Duration::minutes(59)..=Duration::minutes(60)).contains(&world.life("iot")));
    assert_eq!(world.status("iot")["source"], "AWS IoT role alias edge=1,@home");
}

#[test]
fn a_host_signs_as_roles_anywhere_wants_it() {
    let world = world();
    world.say(
        "anywhere",
        "rolekeeper_roles_anywhere_duration_seconds = 43200\nrolekeeper_roles_anywhere_session_name = host+1\n",
    );
    // 2^120 + 7, and the longest that there are: 159 bits and the sign.
    let mut serial = vec![0; 16];
    (serial[0], serial[15]) = (1, 7);
    for (serial, decimal) in [
        (serial, "1329227995784915872903807060280344583"),
        ([vec![0x7f], vec![0xff; 19]].concat(), "730750818665451459101842416358141509827966271487"),
        (vec![0x80], "128"),
    ] {
        world.holds(&Order { serial_number: serial, intermediate: true, ..Order::new(P384) }, P384);
        world.force(&["anywhere"]).assert_silent_success();
        let request = world.received(Service::RolesAnywhere).pop().unwrap();
        let authorization = request.header("authorization").unwrap();
        let start = format!("AWS4-X509-ECDSA-SHA256 Credential={decimal}/");
        assert!(authorization.starts_with(&start), "{authorization}");
        assert!(authorization.contains("/eu-west-1/rolesanywhere/aws4_request, "), "{authorization}");
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-x509;x-amz-x509-chain, ";
        assert!(authorization.contains(signed), "{authorization}");
        assert_eq!(
            request.target.split('?').nth(1).unwrap(),
            "profileArn=arn%3Aaws%3Arolesanywhere%3Aeu-west-1%3A111111111111%3Aprofile%2F0f-2\
             &roleArn=arn%3Aaws%3Aiam%3A%3A111111111111%3Arole%2Fedge\
             &trustAnchorArn=arn%3Aaws%3Arolesanywhere%3Aeu-west-1%3A111111111111%3Atrust-anchor%2F0f-1"
        );
        assert_eq!(request.body, br#"{"durationSeconds":43200,"roleSessionName":"host+1"}"#);
    }
    assert!(world.life("anywhere") > Duration::hours(11));
    assert_eq!(world.document("anywhere")["AccountId"], "111111111111");
}

/// By the SDKs' settings for the service, and by the key of our own before them.
#[test]
fn a_host_asks_where_its_settings_say() {
    let world = world();
    let url = world.fake.roles_anywhere_url();
    let ours = format!("rolekeeper_roles_anywhere_endpoint = {url}\n");
    let plain = world.text("config").replace(&ours, "");
    let elsewhere = "https://elsewhere.invalid";
    let services = format!("[services s]\nrolesanywhere =\n  endpoint_url = {url}\n");
    let at = |line: &str| plain.replace("[profile anywhere]\n", &format!("[profile anywhere]\n{line}"));
    for (config, variables) in [
        (
            plain.clone(),
            vec![("AWS_ENDPOINT_URL_ROLESANYWHERE", url.as_str()), ("AWS_ENDPOINT_URL", elsewhere)],
        ),
        (at(&format!("endpoint_url = {elsewhere}\n")), vec![("AWS_ENDPOINT_URL", url.as_str())]),
        (at(&format!("services = s\nendpoint_url = {elsewhere}\n")) + &services, vec![]),
        (at(&format!("endpoint_url = {url}\n")), vec![]),
        (at(&ours), vec![("AWS_ENDPOINT_URL_ROLESANYWHERE", elsewhere)]),
        (at(&ours), vec![("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"), ("AWS_ENDPOINT_URL", elsewhere)]),
    ] {
        world.write("config", &config);
        world.fake.clear_log();
        world.run_in(&variables, &["refresh", "--force", "anywhere"]).assert_silent_success();
        assert_eq!(world.asked().len(), 1, "{config}");
    }
}

#[test]
fn a_role_on_top_is_assumed_with_the_session_and_for_an_hour() {
    let world = world();
    for source in ["iot", "anywhere"] {
        world.write(
            "config",
            format!(
                "{}[profile on-{source}]\nrole_arn = {BEHIND_EDGE}\nsource_profile = {source}\nregion = us-east-1\n\
                 duration_seconds = 7200\n",
                world.text("config")
            ),
        );
        let name = format!("on-{source}");
        let run = world.force(&[&name]);
        assert_eq!(run.code, 0, "{run:?}");
        let assumed = world.assumptions().pop().unwrap();
        assert!(assumed.caller.unwrap().contains(":assumed-role/edge/"));
        let left = world.life(&name);
        assert!((Duration::minutes(59)..=Duration::minutes(60)).contains(&left), "{left}");
    }
    world.assert_no_imds();
}

#[test]
fn a_renewed_certificate_is_picked_up_and_a_fresh_session_outlives_the_old_one() {
    let world = world();
    world.force(&[]).assert_silent_success();
    let before = world.snapshot();
    // The certificate is not looked at before it is needed.
    world.holds(&Order { validity: Validity::EXPIRED, ..Order::new(P256) }, P256);
    world.run(&["refresh"]).assert_silent_success();
    assert!(world.changed(&before).is_empty());
    assert_eq!(world.force(&[]).code, 0, "more than the margin is left");
    assert_eq!(world.asked().len(), 2);
    world.holds(&Order { serial_number: vec![0x43], ..Order::new(RSA) }, RSA);
    world.force(&[]).assert_silent_success();
    let last = world.received(Service::RolesAnywhere).pop().unwrap();
    assert!(last.header("authorization").unwrap().contains("Credential=67/"));
}

/// What is wrong with the files is said before anybody is asked, and changes no published file.
#[test]
fn bad_files_are_named_and_leave_the_published_ones_alone() {
    let world = world();
    world.force(&[]).assert_silent_success();
    world.fake.clear_log();
    let good = world.fake.issue(&Order::new(P256)).unwrap().pem;
    let issued = |order: Order<'_>| world.fake.issue(&order).unwrap().pem;
    let expired = issued(Order { validity: Validity::EXPIRED, ..Order::new(P256) });
    let early = issued(Order { validity: Validity::NOT_YET, ..Order::new(P256) });
    let encrypted: &[u8] = include_bytes!("../../x509/rsa-2048.encrypted.pem");
    let old_encrypted: &[u8] = include_bytes!("../../x509/rsa-2048.proc-type.pem");
    let p521: &[u8] = include_bytes!("../../x509/p521.sec1.pem");
    let huge = vec![b'x'; 20 * 1024 * 1024];
    for (certificate, key, words) in [
        (expired.as_bytes(), P256.as_bytes(), "cert`: the certificate expired at"),
        (early.as_bytes(), P256.as_bytes(), "cert`: the certificate is not valid before"),
        (good.as_bytes(), RSA.as_bytes(), "key`: the private key does not belong to the certificate"),
        (good.as_bytes(), encrypted, "key`: the private key is encrypted"),
        (good.as_bytes(), old_encrypted, "key`: the private key is encrypted"),
        (good.as_bytes(), p521, "P-521"),
        (P256.as_bytes(), P256.as_bytes(), "cert`: holds `PRIVATE KEY`, not a certificate"),
        (good.as_bytes(), good.as_bytes(), "key`: holds `CERTIFICATE`, not a private key"),
        (b"", P256.as_bytes(), "cert`: the file is empty"),
        (good.as_bytes(), b"garbage", "key`: holds no private key that can be read"),
        (&good.as_bytes()[..200], P256.as_bytes(), "cert`: holds a damaged certificate"),
        (good.as_bytes(), &huge, "key`: the file is larger than 65536 bytes"),
    ] {
        world.write("cert", certificate);
        world.write("key", key);
        check(&world, words);
    }
    world.write("cert", &good);
    fs::remove_file(world.path("key")).unwrap();
    check(&world, "key`: the file does not exist");
    fs::create_dir(world.path("key")).unwrap();
    check(&world, "key`: a directory, not a file");
    assert!(world.asked().is_empty(), "nobody is asked with files that cannot work");
}

#[track_caller]
fn check(world: &World, words: &str) {
    for profile in ["iot", "anywhere"] {
        let before = world.document(profile);
        let run = world.run(&["refresh", "--force", "-v", profile]);
        // More than the margin is left, so that cron need not wake anybody.
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains(words), "`{words}` is missing in: {}", run.stderr);
        assert_eq!(world.document(profile), before);
        let error = world.status(profile)["last_error"].to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn refusals_are_repeated_with_what_to_do_and_asked_once() {
    let world = world();
    world.fake.devices().permit(false);
    let run = world.run(&["refresh", "iot"]);
    run.assert_failure(77, &["AccessDeniedException: Access Denied", "iot:AssumeRoleWithCertificate"]);
    world.fake.devices().permit(true);
    world.say("iot", "rolekeeper_iot_role_alias = another\n");
    let config = world.text("config").replace(&format!("rolekeeper_iot_role_alias = {ROLE_ALIAS}\n"), "");
    world.write("config", config.replace(THING, "not-mine"));
    world.run(&["refresh", "iot"]).assert_failure(77, &["Invalid thing name passed"]);
    world.write("config", config);
    world.run(&["refresh", "iot"]).assert_failure(77, &["Role alias does not exist", "role alias"]);
    assert_eq!(world.asked().len(), 3, "asked once each");

    world.fake.devices().accept_session_name(false);
    world.say("anywhere", "rolekeeper_roles_anywhere_session_name = mine\n");
    let run = world.run(&["refresh", "anywhere"]);
    run.assert_failure(77, &["AccessDeniedException: The profile does not accept", "sts:SetSourceIdentity"]);
    assert!(world.is_unpublished("iot") && world.is_unpublished("anywhere"));
}

#[test]
fn a_certificate_that_nobody_believes_is_refused_by_either_service() {
    let world = world();
    world.holds(&Order { foreign: true, ..Order::new(P256) }, P256);
    world.run(&["refresh", "anywhere"]).assert_failure(77, &["Untrusted certificate", "trust anchor"]);
    let run = world.run(&["refresh", "iot"]);
    assert_ne!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("no answer from the AWS IoT credentials provider"), "{run:?}");
    assert!(world.is_unpublished("iot") && world.is_unpublished("anywhere"));
}

#[test]
fn a_chain_may_stand_in_a_file_of_its_own() {
    let world = world();
    let certificate = world.fake.issue(&Order { intermediate: true, ..Order::new(RSA) }).unwrap();
    world.write("cert", &certificate.pem);
    world.write("key", RSA);
    world.run(&["refresh", "anywhere"]).assert_failure(77, &["Untrusted certificate"]);
    let chain = world.write("chain", &certificate.chain_pem);
    world.say("anywhere", &format!("rolekeeper_roles_anywhere_chain_file = {}\n", chain.display()));
    world.run(&["refresh", "anywhere"]).assert_silent_success();
    assert_eq!(connections(&world.received(Service::RolesAnywhere)), 2);
}

/// A chain whose header is longer than the usual buffer arrives whole.
#[test]
fn a_long_chain_is_sent_whole() {
    let world = world();
    let certificate = world.fake.issue(&Order { intermediate: true, ..Order::new(RSA) }).unwrap();
    world.write("cert", format!("{}{}", certificate.pem, certificate.chain_pem.repeat(30)));
    world.write("key", RSA);
    world.run(&["refresh", "anywhere"]).assert_failure(77, &["Untrusted certificate"]);
    let request = world.received(Service::RolesAnywhere).pop().unwrap();
    let chain = request.header("x-amz-x509-chain").unwrap();
    assert!(chain.len() > 10_000, "only {} characters", chain.len());
    assert_eq!(chain.split(',').count(), 30);
}

#[test]
fn a_device_believes_its_own_roots_before_those_of_the_bundle() {
    let world = world();
    let refresh = |world: &World| {
        let mut command = world.command(&["refresh", "--force", "iot"]);
        Run::of(command.env_remove("AWS_CA_BUNDLE"))
    };
    refresh(&world).assert_failure(75, &["the TLS handshake failed"]);
    world.say("iot", &format!("rolekeeper_iot_ca_file = {}\n", world.fake.ca_file().unwrap().display()));
    refresh(&world).assert_silent_success();
    let other = World::new("");
    let config = world.text("config").replace(
        world.fake.ca_file().unwrap().to_str().unwrap(),
        other.fake.ca_file().unwrap().to_str().unwrap(),
    );
    world.write("config", config);
    // Although the bundle would do.
    let run = world.run(&["refresh", "--force", "-v", "iot"]);
    assert!(run.stderr.contains("the TLS handshake failed"), "{run:?}");
}

#[test]
fn what_passes_is_asked_again_and_what_is_no_answer_is_none() {
    for service in [Service::Iot, Service::RolesAnywhere] {
        let profile = if service == Service::Iot { "iot" } else { "anywhere" };
        let world = world();
        world.fake.devices().fail(service, Fault::new(Action::error(503, "Unavailable")).times(2));
        world.run(&["refresh", profile]).assert_silent_success();
        assert_eq!(world.asked().len(), 3);
        for (action, words) in [
            (Action::EmptyBody, "no JSON object"),
            (Action::Truncate, "no answer from"),
            (Action::Oversized(1 << 30), "longer than"),
            (Action::NotUtf8, "answered with"),
        ] {
            world.fake.devices().fail(service, Fault::new(action));
            let before = world.document(profile);
            let run = world.run(&["refresh", "--force", "-v", profile]);
            assert!(run.code == 0 && run.stderr.contains(words), "{words}: {run:?}");
            assert!(!run.stderr.contains("secretAccessKey"), "{run:?}");
            assert_eq!(world.document(profile), before);
            world.fake.devices().heal(service);
        }
    }
}

/// Two hours behind: the handshake holds, the signature does not, and the expiration would seem two hours later.
#[test]
fn a_wrong_clock_is_learnt_from_the_answer() {
    let Some(clock) = WrongClock::ahead_by(Duration::hours(-2)) else { return };
    let validity = Validity { not_before: Duration::hours(-3), not_after: Duration::days(9) };
    for (profile, attempts) in [("iot", 1), ("anywhere", 2)] {
        let world = world_of(World::with_options("", |options| options.validity(validity)));
        world.holds(&Order { validity, ..Order::new(P256) }, P256);
        clock.run(&world, &world.command(&["refresh", profile])).assert_silent_success();
        assert_eq!(world.asked().len(), attempts, "{profile}");
        let status = clock.run(&world, &world.command(&["status", "--json"])).stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        let offset = status["clock_offset_seconds"].as_i64().unwrap();
        assert!((7190..=7210).contains(&offset), "{status}");
        let mut profiles = status["profiles"].as_array().unwrap().iter();
        let entry = profiles.find(|entry| entry["profile"] == profile).unwrap();
        let left = entry["expires_in_seconds"].as_i64().unwrap();
        assert!((3540..=3605).contains(&left), "{status}");
    }
}

/// The certificate is held against the true time, where it is known.
#[test]
fn a_certificate_is_judged_by_the_time_that_was_told() {
    let Some(clock) = WrongClock::ahead_by(Duration::hours(2)) else { return };
    let world = world_of(World::with_options("", |options| {
        options.validity(Validity { not_before: Duration::days(-9), not_after: Duration::days(9) })
    }));
    clock.run(&world, &world.command(&["refresh", "iot"])).assert_silent_success();
    // Still valid for an hour, and expired an hour ago by the clock of this host.
    let validity = Validity { not_before: Duration::hours(-3), not_after: Duration::hours(1) };
    world.holds(&Order { validity, ..Order::new(RSA) }, RSA);
    clock.run(&world, &world.command(&["refresh", "--force", "iot"])).assert_silent_success();
    assert_eq!(world.asked().len(), 2);
}

#[test]
fn root_believes_no_key_that_others_can_change() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root is so strict");
        return;
    }
    let world = world();
    crate::host::set_mode(&world.path("key"), 0o606);
    world.run(&["refresh", "iot"]).assert_failure(75, &["not trusted by root", "chmod go-w"]);
    crate::host::set_mode(&world.path("key"), 0o604);
    let run = world.run(&["refresh", "-v", "iot"]);
    assert!(run.code == 0 && run.stderr.contains("every user can read this private key"), "{run:?}");
}
