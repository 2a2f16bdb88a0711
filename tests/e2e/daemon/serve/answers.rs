//! What is answered: the published set, the newest at once, never one that has expired, never what a consumer wrote.

use std::fs;
use std::process::Command;
use std::time::Duration;

use fake_aws::{Action, Fault, Trust, scenario};
use nix::sys::signal::Signal;

use super::super::{key, let_pass};
use super::{
    Daemon, INSTANCE_CROSS_ACCOUNT, NAME, SOON, World, ask, endpoint, free_address, get, has_other_token,
    has_published, has_token, serving, token, wait_until,
};
use crate::host::{NOBODY, has_program, has_root, ownership, plant};
use crate::support::wrong_clock::WrongClock;

#[test]
fn it_answers_with_what_is_published_and_asks_nobody() {
    let (world, mut daemon, address) = endpoint();
    let before = world.fake.counts().all_requests();
    let reply = ask(&world, address, NAME);
    assert_eq!(reply.status, 200);
    for field in ["Content-Type: application/json", "Cache-Control: no-store", "Connection: close"] {
        assert!(reply.head.contains(&format!("\r\n{field}")), "{reply:?}");
    }
    let (given, published) = (reply.json(), world.document(NAME));
    for (theirs, ours) in [
        ("AccessKeyId", "AccessKeyId"),
        ("SecretAccessKey", "SecretAccessKey"),
        ("Token", "SessionToken"),
        ("Expiration", "Expiration"),
        ("AccountId", "AccountId"),
    ] {
        assert_eq!(given[theirs], published[ours], "{theirs}");
    }
    assert_eq!(given.as_object().unwrap().len(), published.as_object().unwrap().len() - 1, "{given}");
    for _ in 0..20 {
        assert_eq!(ask(&world, address, NAME).status, 200);
    }
    assert_eq!(world.fake.counts().all_requests(), before);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn the_token_is_a_line_without_an_end_for_the_readers_of_the_profile() {
    let address = free_address();
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0640\n", serving(address)));
    let mut daemon = Daemon::publishing(&world);
    let token = token(&world, NAME);
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let path = world.out().join("profiles").join(NAME);
    assert_eq!(ownership(&path.join("token")), ownership(&path.join("credentials.json")));
    assert!(!daemon.log().contains(&token) && !world.published("status.json").contains(&token));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_new_set_is_answered_at_once_whoever_obtained_it() {
    let (world, mut daemon, address) = endpoint();
    for _ in 0..3 {
        let before = key(&world, NAME);
        world.run(&["refresh", "--force"]).assert_silent_success();
        let given = ask(&world, address, NAME).json();
        assert_eq!(given["AccessKeyId"], key(&world, NAME));
        assert_ne!(given["AccessKeyId"], before);
    }
    world.fake.sts().session_lifetime(Some(Duration::from_secs(4)));
    world.run(&["refresh", "--force"]).assert_silent_success();
    daemon.signal(Signal::SIGHUP);
    let forced = key(&world, NAME);
    wait_until(2 * SOON, "the daemon's own set", || {
        let reply = ask(&world, address, NAME);
        // A set of four seconds may run out on a busy machine; an answer with it must not be given.
        reply.status == 503 || (reply.status == 200 && reply.json()["AccessKeyId"] != forced)
    });
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn what_has_expired_is_not_answered_until_there_is_more() {
    let address = free_address();
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(address)));
    world.fake.sts().session_lifetime(Some(Duration::from_secs(4)));
    let mut daemon = Daemon::publishing(&world);
    world.fake.sts().fail(Fault::new(Action::ResetBefore));
    let expired = || ask(&world, address, NAME);
    wait_until(SOON, "the end of the session", || expired().status == 503);
    assert_eq!(expired().code(), "Expired");
    assert!(!world.is_unpublished(NAME), "the files stay");
    world.fake.sts().session_lifetime(None);
    world.fake.sts().heal();
    wait_until(Duration::from_secs(65), "new credentials", || expired().status == 200);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn before_the_first_set_there_is_a_token_and_no_answer() {
    let address = free_address();
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(address)));
    world.fake.iam().set_trust(scenario::EFGH, Trust::nobody());
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "the token", || has_token(&world, NAME));
    wait_until(SOON, "an answer", || super::is_open(address));
    let reply = ask(&world, address, NAME);
    assert_eq!((reply.status, reply.code().as_str()), (503, "NotPublished"));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn expiry_is_judged_by_the_true_time() {
    for hours in [-3, 3] {
        let Some(clock) = WrongClock::ahead_by(time::Duration::hours(hours)) else { return };
        let address = free_address();
        let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}", serving(address)));
        world.fake.sts().session_lifetime(Some(Duration::from_secs(20)));
        WrongClock::set(&world, time::Duration::hours(hours), time::Duration::ZERO);
        let mut daemon = Daemon::of(&world, &mut clock.wrap(&world, &world.command(&["run"])));
        wait_until(SOON, "credentials", || has_published(&world, NAME));
        wait_until(SOON, "an answer", || ask(&world, address, NAME).status == 200);
        world.fake.sts().fail(Fault::new(Action::ResetBefore));
        wait_until(2 * SOON, "the end of the session", || ask(&world, address, NAME).status == 503);
        daemon.stop(Signal::SIGTERM);
    }
}

#[test]
fn long_term_keys_have_no_form_there() {
    let address = free_address();
    let keys = "[profile keys]\nrolekeeper_publish = true\nregion = us-east-1\n";
    let world = World::new(&format!("{}{keys}", serving(address)));
    let alice = scenario::alice();
    let secret = &alice.secret_access_key;
    world.write(
        "credentials",
        format!("[keys]\naws_access_key_id = {}\naws_secret_access_key = {secret}\n", alice.access_key_id),
    );
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "the keys", || has_published(&world, "keys"));
    let reply = ask(&world, address, "keys");
    assert_eq!((reply.status, reply.code().as_str()), (404, "LongTermKeys"));
    assert!(!reply.body.contains(secret));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn names_travel_percent_encoded() {
    let address = free_address();
    let role = scenario::EFGH;
    let config = format!("[profile a/b:c]\nrole_arn = {role}\ncredential_source = Ec2InstanceMetadata\n");
    let world = World::new(&format!("{}{config}", serving(address)));
    let mut daemon = Daemon::start(&world);
    let place = "a%2Fb%3Ac";
    wait_until(SOON, "credentials", || has_published(&world, place));
    for path in [place, "a%2fb%3ac", "%61%2Fb:c"] {
        assert_eq!(get(address, path, &token(&world, place)).status, 200, "{path}");
    }
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn what_the_owner_of_a_file_writes_is_not_answered() {
    if !has_root() {
        return;
    }
    let address = free_address();
    let given = "rolekeeper_owner = 65534\nrolekeeper_group = 65534\nrolekeeper_mode = 0400\n";
    let world = World::new(&format!("{}{INSTANCE_CROSS_ACCOUNT}{given}", serving(address)));
    let mut daemon = Daemon::publishing(&world);
    let path = world.out().join("profiles").join(NAME);
    assert_eq!(ownership(&path.join("token")), (NOBODY, NOBODY, 0o400));
    assert_eq!(ask(&world, address, NAME).status, 200);
    let good = fs::read_to_string(path.join("credentials.json")).unwrap();
    // Root writes through any mode, and the file stays its owner's.
    let published = key(&world, NAME);
    for forged in [good.replace("ASIA", "FAKE"), good.replace('2', "3"), String::new(), "{}".to_owned()] {
        plant(&path.join("credentials.json"), forged.as_bytes());
        let reply = ask(&world, address, NAME);
        assert_eq!((reply.status, reply.json()["AccessKeyId"].as_str()), (200, Some(published.as_str())));
        assert!(good.contains(reply.json()["SecretAccessKey"].as_str().unwrap()), "{forged}");
    }
    // A token that the owner wrote is none.
    plant(&path.join("token"), "0".repeat(64).as_bytes());
    assert_eq!(ask(&world, address, NAME).status, 403);
    plant(&path.join("credentials.json"), good.as_bytes());
    daemon.signal(Signal::SIGHUP);
    wait_until(SOON, "a token of the agent's", || has_other_token(&world, NAME, &"0".repeat(64)));
    wait_until(SOON, "an answer", || ask(&world, address, NAME).status == 200);
    // Neither while its files are replaced nor afterwards is there a moment without an answer.
    let token = token(&world, NAME);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            for _ in 0..300 {
                assert_eq!(get(address, NAME, &token).status, 200);
                let_pass(Duration::from_millis(2));
            }
        });
        for _ in 0..20 {
            world.run(&["refresh", "--force"]).assert_silent_success();
        }
        asking.join().unwrap();
    });
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}{given}"));
    daemon.signal(Signal::SIGHUP);
    let copy = world.out().join("state").join(format!("{NAME}.document"));
    assert_eq!(ownership(&copy), (0, 0, 0o600));
    wait_until(SOON, "the end of the copy", || !copy.exists());
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn what_is_given_away_is_answered_by_an_agent_that_cannot_read_it() {
    if !has_root() || !has_program("setpriv") {
        return;
    }
    let address = free_address();
    let given = "rolekeeper_owner = 65534\nrolekeeper_group = 65534\nrolekeeper_mode = 0400\n";
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{given}"));
    // Published before anybody asked for the endpoint.
    world.run(&["refresh"]).assert_silent_success();
    world.write("config", format!("{}{INSTANCE_CROSS_ACCOUNT}{given}", serving(address)));
    let described = world.command(&["run"]);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+chown", "--inh-caps=-all", "--"]).env_clear();
    command.arg(described.get_program()).args(described.get_args());
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(&world, &mut command);
    wait_until(SOON, "the endpoint", || has_token(&world, NAME) && super::is_open(address));
    wait_until(SOON, "an answer", || ask(&world, address, NAME).status == 200);
    assert_eq!(ask(&world, address, NAME).json()["AccessKeyId"], key(&world, NAME));
    let kept = token(&world, NAME);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("was read again");
    let_pass(Duration::from_millis(500));
    assert_eq!((token(&world, NAME), ask(&world, address, NAME).status), (kept, 200));
    daemon.stop(Signal::SIGTERM);
    assert!(!has_token(&world, NAME));
}
