//! Credentials that are always fresh: short sessions, services that go away and come back, roles that change.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fake_aws::scenario::{EFGH, PRODUCTION};
use fake_aws::{Action, Fault, Kind, Permission, Role, Trust, TrustStatement};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{Daemon, NAME, RELOADED, SOON, has_published, key, let_pass, record, wait_until};
use crate::observe::{INSTANCE, at_once, instant, now};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// So short that several of them fit into a test, so long that a busy machine does not let them expire.
const SHORT: Duration = Duration::from_secs(8);

/// Content and mode of one open file, which a replacement meanwhile does not change.
fn read(path: &Path) -> (String, u32) {
    let mut file = File::open(path).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    (text, file.metadata().unwrap().permissions().mode() & 0o7777)
}

/// Reads every form until `done`, asserting that each is whole, valid and of mode 0640; how many sets were seen.
fn read_until(world: &World, done: &AtomicBool) -> usize {
    let directory = world.out().join("profiles").join(NAME);
    let mut seen = BTreeSet::new();
    while !done.load(Ordering::Relaxed) {
        let (document, mode) = read(&directory.join("credentials.json"));
        let parsed: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert!(instant(&parsed["Expiration"]) > now(), "{}", parsed["Expiration"]);
        assert_eq!(mode, 0o640);
        seen.insert(parsed["AccessKeyId"].as_str().unwrap().to_owned());
        let (own, mode) = read(&directory.join("credentials"));
        assert!(own.ends_with('\n') && own.matches("\naws_session_token = ").count() == 2, "{own}");
        assert_eq!(mode, 0o640);
        let (env, mode) = read(&directory.join("env"));
        assert!(env.starts_with("AWS_ACCESS_KEY_ID=") && env.ends_with("AWS_DEFAULT_REGION=us-east-1\n"));
        assert_eq!(mode, 0o640);
        let (all, mode) = read(&world.out().join("credentials"));
        assert!(all.ends_with('\n') && all.matches("\naws_session_token = ").count() == 1, "{all}");
        assert_eq!(mode, 0o600);
        let (status, _) = read(&world.out().join("status.json"));
        serde_json::from_str::<serde_json::Value>(&status).unwrap();
    }
    seen.len()
}

#[test]
fn readers_never_see_a_torn_an_expired_or_a_wrongly_moded_file() {
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0640\n"));
    world.fake.sts().session_lifetime(Some(SHORT));
    let mut daemon = Daemon::publishing(&world);
    wait_until(SOON, "the common files", || world.out().join("status.json").exists());
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read_until(&world, &done))).collect();
        let_pass(3 * SHORT);
        done.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).min().unwrap()
    });
    assert!(seen >= 5, "{seen} sets in three lifetimes");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn rotation_goes_on_though_nobody_reads_the_log() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(SHORT));
    let (reader, writer) = std::io::pipe().unwrap();
    let blocks = |blocks| {
        let flags = if blocks { OFlag::empty() } else { OFlag::O_NONBLOCK };
        fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
    };
    blocks(false);
    while (&writer).write(&[b'\n'; 512]).is_ok() {}
    blocks(true);
    let log = world.write("log", "");
    let child = world.command(&["run"]).stderr(writer).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let mut daemon = Daemon { child, pid, log };
    wait_until(SOON, "the first credentials", || has_published(&world, NAME));
    let first = key(&world, NAME);
    wait_until(2 * SHORT, "a rotation", || key(&world, NAME) != first);
    // Whoever reads again hears again.
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("published, generation")));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn the_files_stay_during_an_outage_of_sts_and_rotation_goes_on_after_it() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(SHORT));
    let mut daemon = Daemon::publishing(&world);
    world.fake.sts().fail(Fault::new(Action::ResetBefore));
    wait_until(SOON, "a failure", || record(&world, NAME).contains("\"disposition\":\"retry\""));
    let before = key(&world, NAME);
    let_pass(SHORT);
    assert_eq!(key(&world, NAME), before, "even though they have expired");
    assert!(world.published("credentials").contains(&before));
    assert!(daemon.log().contains("warn: profile `instancecrossaccount`"), "{}", daemon.log());
    world.fake.sts().heal();
    wait_until(Duration::from_secs(65), "new credentials", || key(&world, NAME) != before);
    wait_until(SOON, "the end of the failure", || record(&world, NAME).contains("\"failure\":null"));
    assert_eq!(daemon.log().matches("warn: ").count(), 1, "the same failure is said once: {}", daemon.log());
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_role_that_is_attached_after_the_boot_is_found() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let role = fake_aws::scenario::ABCD;
    world.fake.imds().attach_role(None);
    let mut daemon = Daemon::start(&world);
    daemon.wait_for_log("warn: profile `instancecrossaccount`");
    let_pass(Duration::from_secs(3));
    assert!(daemon.is_running() && world.is_unpublished(NAME));
    world.fake.imds().attach_role(Some(role));
    wait_until(Duration::from_secs(65), "credentials", || has_published(&world, NAME));
    daemon.stop(Signal::SIGTERM);
}

/// Starts the daemon in `world`, where IMDS gives less than the profile needs, and mends that once it has failed.
fn recovers(world: &World, mend: impl FnOnce()) {
    let mut daemon = Daemon::start(world);
    daemon.wait_for_log("warn: profile `instancecrossaccount`");
    mend();
    wait_until(Duration::from_secs(65), "credentials", || has_published(world, NAME));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn whatever_the_metadata_service_refuses_is_asked_for_again() {
    at_once([400, 403, 404, 405], |status| {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        world.fake.imds().fail(Fault::new(Action::status(status)).on(Kind::Token));
        recovers(&world, || world.fake.imds().heal());
    });
}

#[test]
fn a_region_that_the_metadata_service_does_not_tell_yet_is_asked_for_again() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    for kind in [Kind::IdentityDocument, Kind::OtherMetadata] {
        world.fake.imds().fail(Fault::new(Action::status(404)).on(kind));
    }
    // A custom endpoint would be found without a region; AWS's own is not asked as long as nobody tells one.
    let mut command = world.command(&["run"]);
    let mut daemon = Daemon::of(&world, command.env_remove("AWS_ENDPOINT_URL_STS"));
    daemon.wait_for_log("no region is known");
    wait_until(SOON, "another try", || world.fake.counts().requests(Kind::Token) >= 2);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn an_instance_profile_that_is_configured_by_name_may_come_later() {
    const LATER: &str = "arn:aws:iam::111111111111:role/later";
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}ec2_instance_profile_name = later\n"));
    recovers(&world, || {
        let every_role = Permission::allow("sts:AssumeRole", "*");
        world
            .fake
            .iam()
            .add_role(Role::new(LATER).trust(Trust::of("ec2.amazonaws.com")).permission(every_role));
        world.fake.iam().set_trust(EFGH, Trust::of(LATER));
        world.fake.imds().attach_role(Some(LATER));
    });
}

#[test]
fn a_role_that_is_swapped_is_followed() {
    let world = World::new(INSTANCE);
    world.fake.imds().credential_lifetime(SHORT);
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "the first credentials", || has_published(&world, "instance"));
    let who = || world.run(&["whoami", "instance"]).stdout;
    assert!(who().contains("assumed-role/abcd/"), "{}", who());
    world.fake.iam().set_trust(PRODUCTION, Trust::of("ec2.amazonaws.com"));
    world.fake.imds().attach_role(Some(PRODUCTION));
    wait_until(2 * SHORT, "the other role", || who().contains("assumed-role/ProductionAccessRole/"));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn what_was_denied_and_is_allowed_is_published_after_a_reload() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.iam().set_trust(EFGH, Trust::nobody());
    let mut daemon = Daemon::start(&world);
    daemon.wait_for_log("is not authorized to perform: sts:AssumeRole");
    let_pass(Duration::from_secs(4));
    assert_eq!(world.assumptions().len(), 1, "a refusal is not asked about again at once");
    let trust = Trust::nobody().and(TrustStatement::new(fake_aws::scenario::ABCD));
    world.fake.iam().set_trust(EFGH, trust);
    daemon.signal(Signal::SIGHUP);
    wait_until(RELOADED, "credentials", || has_published(&world, NAME));
    daemon.stop(Signal::SIGTERM);
}

/// As the only program of a container has it, with nothing but its own words.
#[test]
fn a_profile_on_the_command_line_is_kept_fresh_without_any_file() {
    let world = World::new("");
    world.fake.sts().session_lifetime(Some(SHORT));
    let words =
        ["run", "--role-arn", EFGH, "--credential-source", "Ec2InstanceMetadata", "--profile-name", NAME];
    let mut command = world.bare_command(&words);
    let mut daemon = Daemon::of(&world, command.arg("--output-dir").arg(world.out()));
    wait_until(SOON, "the first credentials", || has_published(&world, NAME));
    daemon.signal(Signal::SIGHUP);
    for _ in 0..2 {
        let first = key(&world, NAME);
        wait_until(2 * SHORT, "other credentials", || key(&world, NAME) != first);
    }
    daemon.stop(Signal::SIGTERM);
}
