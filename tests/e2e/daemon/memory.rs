//! What an idle daemon holds in memory: little, and no secret.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::process::Command;
use std::time::Duration;

use fake_aws::scenario::{EFGH, PRODUCTION, alice};
use nix::sys::signal::Signal;

use super::{Daemon, SOON, idle, let_pass, report, switching, wait_until};
use crate::budget::program;
use crate::host::has_root;
use crate::support::World;

/// The daemon of the program that the budgets are for.
fn start(world: &World) -> Daemon {
    let described = world.command(&["run"]);
    let mut command = Command::new(program().0);
    command.args(described.get_args()).env_clear();
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Daemon::of(world, &mut command)
}

fn wait_for(world: &World, profiles: usize) {
    wait_until(SOON.saturating_mul(4), "all profiles", || {
        fs::read_to_string(world.out().join("status.json"))
            .is_ok_and(|status| status.matches("\"access_key_id\"").count() == profiles)
    });
}

/// A figure of /proc, in KiB.
fn figure(daemon: &Daemon, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/{file}", daemon.pid)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

#[test]
fn an_idle_daemon_keeps_to_its_budget_of_memory() {
    // The pages of a program that was linked a moment ago count as changed until they are on the disk.
    let (program, allowance) = program();
    File::open(program).unwrap().sync_all().unwrap();
    // 1.7 MB and 6 MB; below, 200 kB.
    for (profiles, most) in [(1, 1660), (1000, 5859)] {
        let config: String = (1..=profiles).map(|number| switching(&format!("p{number}"), EFGH)).collect();
        let world = World::new(&config);
        let mut daemon = start(&world);
        wait_for(&world, profiles);
        idle(&daemon);
        let resident = figure(&daemon, "status", "VmRSS:");
        let dirty = figure(&daemon, "smaps_rollup", "Private_Dirty:");
        report(&format!(
            "budget: an idle daemon with {profiles} profiles has {resident} of {most} KiB, {dirty} of them changed"
        ));
        // The debug build has five times the code.
        if allowance == 0 {
            assert!(resident <= most, "{resident}");
            assert!(dirty <= 195 || profiles > 1, "{dirty}");
        }
        daemon.stop(Signal::SIGTERM);
    }
}

/// Everything that the process could read of itself.
fn memory(daemon: &Daemon) -> Vec<u8> {
    let mut memory = Vec::new();
    let mut file = File::open(format!("/proc/{}/mem", daemon.pid)).unwrap();
    for line in fs::read_to_string(format!("/proc/{}/maps", daemon.pid)).unwrap().lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        // What the kernel shows of itself cannot be read this way.
        if !rights.starts_with('r') || line.contains("[v") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end.checked_sub(start).unwrap()).unwrap()];
        file.seek(SeekFrom::Start(start)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        memory.append(&mut bytes);
    }
    memory
}

fn holds(memory: &[u8], text: &str) -> bool {
    memory.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The pieces of each secret that a reused allocation would leave of it.
fn pieces(secret: &str) -> Vec<&str> {
    secret
        .as_bytes()
        .chunks(16)
        .filter(|chunk| chunk.len() == 16)
        .map(|chunk| str::from_utf8(chunk).unwrap())
        .collect()
}

#[test]
fn no_secret_is_in_the_memory_of_an_idle_daemon() {
    // The memory of a process that cannot be dumped is shown to root alone.
    if !has_root() {
        return;
    }
    let (keys, published) = (alice(), "long-term/keys+that+are/published/themselves");
    let config = format!(
        "[profile base]\ncredential_source = Ec2InstanceMetadata\nrolekeeper_publish = true\n\
         {}[profile own]\naws_access_key_id = AKIDOWN\naws_secret_access_key = {published}\n\
         rolekeeper_publish = true\n\
         [profile user]\nrole_arn = {PRODUCTION}\nsource_profile = keys\n\
         rolekeeper_on_rotate = /bin/sh -c 'cat $ROLEKEEPER_ENV_FILE'\n",
        switching("role", EFGH)
    );
    let world = World::new(&config);
    world.write(
        "credentials",
        format!(
            "[keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            keys.access_key_id, keys.secret_access_key
        ),
    );
    world.fake.sts().session_lifetime(Some(Duration::from_secs(16)));
    let mut daemon = start(&world);
    wait_for(&world, 4);
    let mut secrets = vec![keys.secret_access_key.clone(), published.to_owned()];
    for round in 0..2 {
        daemon.wait_for_log("the hook is done");
        for profile in ["base", "role", "user"] {
            let document = world.document(profile);
            for name in ["SecretAccessKey", "SessionToken"] {
                secrets.push(document[name].as_str().unwrap().to_owned());
            }
        }
        idle(&daemon);
        let memory = memory(&daemon);
        assert!(holds(&memory, &world.out().display().to_string()), "what is there is found");
        for piece in secrets.iter().flat_map(|secret| pieces(secret)) {
            assert!(!holds(&memory, piece), "round {round}: `{piece}` of a secret is in memory");
        }
        // Rotations and a reload later there are others.
        let known = daemon.log().len();
        daemon.signal(Signal::SIGHUP);
        wait_until(SOON, "the reload", || daemon.log().split_off(known).contains("was read again"));
        let_pass(Duration::from_secs(6));
    }
    daemon.stop(Signal::SIGTERM);
}
