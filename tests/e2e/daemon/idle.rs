//! What a daemon costs: threads, descriptors, memory and wake-ups while it waits, threads and connections while it
//! works.

use std::fs;
use std::process::Command;
use std::time::Duration;

use fake_aws::{Kind, Service};
use nix::sys::signal::Signal;

use super::{
    Daemon, NAME, SOON, has_published, idle, is_idle, let_pass, record, report, threads, wait_until, workers,
};
use crate::host::{has_program, has_root};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// What /proc tells of a process: what its descriptors are, and its resident memory in KiB.
#[derive(Debug)]
struct Cost {
    descriptors: Vec<String>,
    resident: u64,
}

impl Cost {
    fn of(daemon: &Daemon) -> Self {
        let place = format!("/proc/{}", daemon.pid);
        let status = fs::read_to_string(format!("{place}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        // A descriptor may be closed between the listing and the look at it.
        let target = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.unwrap().path()).ok();
        let listing = fs::read_dir(format!("{place}/fd")).unwrap();
        let mut descriptors: Vec<String> =
            listing.filter_map(target).map(|path| path.to_string_lossy().into_owned()).collect();
        descriptors.sort();
        Self { descriptors, resident: resident.trim().trim_end_matches(" kB").parse().unwrap() }
    }
}

/// The cost between two batches: no other one has begun while it was read.
fn idle_cost(daemon: &Daemon, world: &World) -> Cost {
    let mut cost = None;
    wait_until(SOON.saturating_mul(4), "an undisturbed look", || {
        idle(daemon);
        let before = generation(world);
        cost = Some(Cost::of(daemon));
        is_idle(daemon) && generation(world) == before
    });
    cost.unwrap()
}

fn generation(world: &World) -> u64 {
    let record: serde_json::Value = serde_json::from_str(&record(world, NAME)).unwrap_or_default();
    record["published"]["generation"].as_u64().unwrap_or(0)
}

#[test]
fn between_rotations_it_is_one_thread_without_a_socket_and_it_does_not_grow() {
    // Descriptors of a process that cannot be dumped are shown to root alone.
    if !has_root() {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().session_lifetime(Some(Duration::from_secs(6)));
    let mut daemon = Daemon::publishing(&world);
    // The first rotations fill what the allocator keeps.
    wait_until(4 * SOON, "four rotations", || generation(&world) > 4);
    let first = idle_cost(&daemon, &world);
    assert!(first.descriptors.iter().all(|target| !target.starts_with("socket:")), "{first:?}");
    let start = generation(&world);
    wait_until(12 * SOON, "twenty rotations", || generation(&world) >= start + 20);
    let last = idle_cost(&daemon, &world);
    report(&format!(
        "figure: idle with {} descriptors, {} KiB, after twenty rotations {} KiB",
        first.descriptors.len(),
        first.resident,
        last.resident
    ));
    assert_eq!(last.descriptors, first.descriptors);
    assert!(last.resident <= first.resident + first.resident / 10, "{first:?} {last:?}");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn two_hundred_profiles_take_few_threads_few_connections_and_the_base_credentials_once() {
    let config: String = (1..=200)
        .map(|number| INSTANCE_CROSS_ACCOUNT.replace("account]", &format!("account-{number}]")))
        .collect();
    let world = World::new(&config);
    let mut daemon = Daemon::start(&world);
    let mut most = 0;
    wait_until(4 * SOON, "all profiles", || {
        most = most.max(threads(daemon.pid) + workers(&daemon).into_iter().map(threads).sum::<usize>());
        fs::read_to_string(world.out().join("status.json"))
            .is_ok_and(|status| status.matches("\"access_key_id\"").count() == 200)
    });
    idle(&daemon);
    let counts = world.fake.counts();
    report(&format!(
        "figure: 200 profiles with {most} threads and {} connections to STS",
        counts.connections(Service::Sts)
    ));
    assert_eq!(counts.requests(Kind::AssumeRole), 200);
    assert!(counts.connections(Service::Sts) <= 8 && counts.handshakes(Service::Sts) <= 8, "{counts:?}");
    assert!(
        most <= 8 + 3,
        "eight for the chains, one for the batch, and the daemon with who waits for it: {most}"
    );
    assert_eq!(counts.requests(Kind::ExtendedDocument), 1);
    assert_eq!(counts.requests(Kind::Token), 1);
    daemon.stop(Signal::SIGTERM);
}

/// The timeout of a call of `poll` as strace writes it, where it is one.
fn timeout(line: &str) -> Option<i64> {
    let arguments = line.split_once("poll(")?.1.split_once("], ")?.1;
    let timeout = arguments.split_once(", ")?.1;
    timeout.split(|end: char| end != '-' && !end.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn an_idle_daemon_sleeps_for_half_a_minute_at_least() {
    if !has_program("strace") {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let log = world.directory.join("strace");
    let described = world.command(&["run"]);
    let mut command = Command::new("strace");
    // As a grandchild, the tracer leaves the daemon the process that we started.
    command.args(["-D", "-f", "-qq", "-o"]).arg(&log).env_clear();
    command.arg(described.get_program()).args(described.get_args());
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(&world, &mut command);
    daemon.wait_for_log("keeping 1 profiles");
    wait_until(SOON, "a daemon that waits", || {
        fs::read_to_string(&log).unwrap().lines().last().and_then(timeout).is_some_and(|time| time >= 30_000)
    });
    let before = fs::read_to_string(&log).unwrap().len();
    let_pass(Duration::from_secs(35));
    let calls = fs::read_to_string(&log).unwrap().split_off(before);
    let woken = calls.lines().filter(|line| timeout(line).is_some()).count();
    assert!(woken <= 1, "{calls}");
    assert!(calls.lines().filter_map(timeout).all(|time| time >= 30_000), "{calls}");
    assert!(calls.lines().count() < 20, "{calls}");
    assert!(has_published(&world, NAME));
    daemon.stop(Signal::SIGTERM);
}
