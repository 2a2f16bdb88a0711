//! The processes that work for the daemon: what they know, what they outlive, and what outlives them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use fake_aws::scenario::{EFGH, LONG};
use fake_aws::{Action, Fault, Kind};
use nix::sys::signal::{Signal, kill, killpg};

use super::{Daemon, NAME, SOON, has_published, idle, key, let_pass, record, switching, wait_until, workers};
use crate::host::{as_nobody, give_away, has_mounts, has_program, has_root, open_to_others};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

fn generation(world: &World, profile: &str) -> u64 {
    let record: serde_json::Value = serde_json::from_str(&record(world, profile)).unwrap_or_default();
    record["published"]["generation"].as_u64().unwrap_or(0)
}

/// A world with sessions of seconds.
fn brief(config: &str) -> World {
    let world = World::new(config);
    world.fake.sts().session_lifetime(Some(Duration::from_secs(6)));
    world
}

fn wait_for_rotations(world: &World, profile: &str, rotations: u64) {
    let start = generation(world, profile);
    let enough = start.saturating_add(rotations);
    wait_until(SOON.saturating_mul(4), "rotations", || generation(world, profile) >= enough);
}

/// A daemon whose batch is held up at STS, and the process that does it.
fn held_up(world: &World) -> (Daemon, nix::unistd::Pid) {
    world.fake.sts().fail(Fault::new(Action::Hang).on(Kind::AssumeRole));
    let daemon = Daemon::start(world);
    wait_until(SOON, "the request", || world.fake.counts().requests(Kind::AssumeRole) > 0);
    let worker = workers(&daemon)[0];
    (daemon, worker)
}

fn is_alive(process: nix::unistd::Pid) -> bool {
    fs::read_to_string(format!("/proc/{process}/status")).is_ok_and(|status| !status.contains("State:\tZ"))
}

#[test]
fn a_worker_that_dies_is_a_failure_like_others() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let (mut daemon, worker) = held_up(&world);
    world.fake.sts().heal();
    kill(worker, Signal::SIGKILL).unwrap();
    daemon.wait_for_log(
        "cannot work in another process: the process that was to do it gave no answer: signal: 9",
    );
    wait_until(SOON, "the next try", || has_published(&world, NAME));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn no_worker_outlives_the_daemon() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let world = World::new(INSTANCE_CROSS_ACCOUNT);
        let (mut daemon, worker) = held_up(&world);
        daemon.signal(signal);
        daemon.end(SOON);
        wait_until(SOON, "the end of the worker", || !is_alive(worker));
    }
}

#[test]
fn a_signal_to_the_whole_group_of_processes_is_for_the_daemon() {
    use std::os::unix::process::CommandExt as _;
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.fake.sts().fail(Fault::new(Action::Hang).on(Kind::AssumeRole));
    let mut daemon = Daemon::of(&world, world.command(&["run"]).process_group(0));
    wait_until(SOON, "the request", || world.fake.counts().requests(Kind::AssumeRole) > 0);
    let before = workers(&daemon);
    killpg(daemon.pid, Signal::SIGHUP).unwrap();
    let_pass(Duration::from_millis(300));
    assert_eq!(workers(&daemon), before, "the batch goes on");
    killpg(daemon.pid, Signal::SIGINT).unwrap();
    assert!(daemon.end(SOON).success());
    assert!(!daemon.log().contains("cannot work"), "{}", daemon.log());
}

#[test]
fn what_is_in_force_stays_in_force_whatever_the_files_say() {
    let keys = "[keys]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
                aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n";
    let user = "[profile user]\nrole_arn = arn:aws:iam::222222222222:role/ProductionAccessRole\n\
                source_profile = keys\n";
    let world = brief(&format!("{}{user}", switching(NAME, EFGH)));
    world.write("credentials", keys);
    let mut daemon = Daemon::publishing(&world);
    wait_until(SOON, "the other profile", || has_published(&world, "user"));
    for changed in [switching(NAME, LONG), "[profile x\n".to_owned()] {
        world.write("config", changed);
        fs::remove_file(world.directory.join("credentials")).unwrap_or_default();
        wait_for_rotations(&world, NAME, 2);
        wait_for_rotations(&world, "user", 2);
    }
    fs::remove_file(world.directory.join("config")).unwrap();
    wait_for_rotations(&world, NAME, 1);
    assert!(world.assumptions().iter().all(|request| request.parameter("RoleArn") != Some(LONG)));
    assert!(!daemon.log().contains("warn") && !daemon.log().contains("error"), "{}", daemon.log());
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn an_upgrade_of_the_program_changes_nothing_for_the_daemon_that_runs() {
    let world = brief(INSTANCE_CROSS_ACCOUNT);
    let program = open_to_others(&world);
    let described = world.command(&["run"]);
    let mut command = Command::new(&program);
    command.args(described.get_args()).env_clear();
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(&world, &mut command);
    wait_until(SOON, "credentials", || has_published(&world, NAME));
    // As a package manager does it: another file under the same name.
    fs::remove_file(&program).unwrap();
    world.write("rolekeeper", "not even a program");
    wait_for_rotations(&world, NAME, 3);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the configuration was read again");
    let published = world.published("config");
    assert!(published.contains(&format!("credential_process = {} print", program.display())), "{published}");
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn without_proc_the_daemon_does_the_work_itself() {
    if !has_mounts() {
        return;
    }
    let world = brief(INSTANCE_CROSS_ACCOUNT);
    let described = world.command(&["run", "-v"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\""]);
    command.arg(described.get_program()).args(described.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(&world, &mut command);
    wait_until(SOON, "credentials", || has_published(&world, NAME));
    assert!(daemon.log().contains("debug: work is done within the daemon: No such file"), "{}", daemon.log());
    wait_for_rotations(&world, NAME, 2);
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}{}", switching("further", LONG)));
    daemon.signal(Signal::SIGHUP);
    wait_until(4 * SOON, "the further profile", || has_published(&world, "further"));
    world.write("config", "[profile x\n");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the configuration stays as it was");
    wait_for_rotations(&world, NAME, 1);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_reload_is_never_lost_however_it_meets_the_work() {
    let world = brief(&switching("p0", EFGH));
    let mut daemon = Daemon::start(&world);
    wait_until(SOON, "credentials", || has_published(&world, "p0"));
    for round in 1_u32..=12 {
        // Each one has something to say that only it can have said, at another moment of the rotation.
        world.write("config", format!("{}rolekeeper_round_{round} = 1\n", switching("p0", EFGH)));
        let_pass(Duration::from_millis(u64::from(round * 379 % 1000)));
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for_log(&format!("`rolekeeper_round_{round}`"));
    }
    let before = key(&world, "p0");
    wait_until(SOON, "a rotation", || key(&world, "p0") != before);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_reload_that_is_asked_for_while_a_configuration_is_read_is_not_lost() {
    if !has_program("strace") {
        return;
    }
    let world = World::new(&switching("p0", EFGH));
    // A worker answers and then takes its time to end, so that what it has read is of before the next signal.
    let slow = "inject=exit_group:delay_enter=700000";
    let described = world.command(&["run"]);
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=exit_group", "-e", slow]).env_clear();
    command.arg(described.get_program()).args(described.get_args());
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(&world, &mut command);
    wait_until(SOON, "credentials", || has_published(&world, "p0"));
    idle(&daemon);
    let reload = |config: &str| {
        world.write("config", config);
        daemon.signal(Signal::SIGHUP);
    };
    let good = switching("p0", EFGH);
    // Once while one is read that cannot be used, and once while one is that can.
    for (round, read) in ["[profile x\n", &good].into_iter().enumerate() {
        let mistake = format!("{good}rolekeeper_round_{round} = 1\n");
        reload(read);
        wait_until(SOON, "the worker", || !workers(&daemon).is_empty());
        let_pass(Duration::from_millis(350));
        assert!(!workers(&daemon).is_empty(), "it is about to end");
        reload(&mistake);
        daemon.wait_for_log(&format!("`rolekeeper_round_{round}`"));
        idle(&daemon);
    }
    daemon.signal(Signal::SIGTERM);
    daemon.end(SOON);
}

#[test]
fn a_hook_inherits_nothing_of_the_exchange_between_daemon_and_worker() {
    let hook = "rolekeeper_on_rotate = /bin/sh -c 'ls -l /proc/$$/fd'\n";
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{hook}"));
    let mut daemon = Daemon::start(&world);
    daemon.wait_for_log("the hook is done");
    idle(&daemon);
    let log = daemon.log();
    assert!(log.contains("hook: ") && log.contains("/dev/null"), "{log}");
    assert!(!log.contains("memfd:") && !log.contains("socket:"), "{log}");
    daemon.stop(Signal::SIGTERM);
}

/// How many processes the user of the daemon may have, as far as the daemon is concerned.
fn allow_processes(daemon: &Daemon, limit: &str) {
    let pid = daemon.pid.to_string();
    let mut command = Command::new("prlimit");
    // Somebody else's limits are root's to set only with a capability that containers seldom have.
    let status = as_nobody(command.args(["--pid", &pid, &format!("--nproc={limit}")])).status().unwrap();
    assert!(status.success());
}

#[test]
fn where_no_process_can_be_started_the_files_stay_and_it_is_tried_again() {
    if !(has_root() && has_program("setpriv") && has_program("prlimit")) {
        return;
    }
    let world = brief(INSTANCE_CROSS_ACCOUNT);
    let program = open_to_others(&world);
    fs::create_dir(world.out()).unwrap();
    give_away(&world.out());
    give_away(&world.directory.join("config"));
    let described = world.command(&["run"]);
    let mut command = Command::new(program);
    command.args(described.get_args());
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(&world, as_nobody(&command).env_remove("PATH"));
    wait_until(SOON, "credentials", || has_published(&world, NAME));
    allow_processes(&daemon, "1:");
    daemon.wait_for_log("Resource temporarily unavailable");
    let before = key(&world, NAME);
    // A reload is told off, and the configuration in force goes on.
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the configuration stays as it was: cannot work");
    let_pass(Duration::from_secs(2));
    assert!(daemon.is_running());
    assert_eq!(key(&world, NAME), before);
    allow_processes(&daemon, "4096:");
    wait_for_rotations(&world, NAME, 2);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn without_files_that_have_no_name_the_daemon_does_the_work_itself_until_a_reload_finds_them() {
    if !has_program("strace") {
        return;
    }
    let world = brief(INSTANCE_CROSS_ACCOUNT);
    let log = world.directory.join("strace");
    let described = world.command(&["run", "-v"]);
    let mut command = Command::new("strace");
    command.args([
        "-D",
        "-f",
        "-qq",
        "-e",
        "inject=memfd_create:error=EPERM:when=1",
        "-e",
        "trace=memfd_create",
        "-o",
    ]);
    command.arg(&log).env_clear();
    command.arg(described.get_program()).args(described.get_args());
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = Daemon::of(&world, &mut command);
    wait_until(SOON, "credentials", || has_published(&world, NAME));
    assert!(daemon.log().contains("debug: work is done within the daemon: Operation not permitted"));
    wait_for_rotations(&world, NAME, 2);
    assert!(workers(&daemon).is_empty());
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("the configuration was read again");
    wait_until(SOON, "a process that works for it", || !workers(&daemon).is_empty());
    wait_for_rotations(&world, NAME, 1);
    daemon.stop(Signal::SIGTERM);
}
