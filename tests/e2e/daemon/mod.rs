//! `rolekeeper run`: what it keeps, what it says to the service manager, how it ends, and how it gets along with others
//! in the same directory.

mod idle;
mod locks;
mod memory;
mod processes;
mod reload;
mod rotation;
mod serve;
mod service;
mod signals;
mod steps;
mod workers;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::observe::timed;
use crate::support::World;

/// The name of the cross-account profile.
const NAME: &str = "instancecrossaccount";

/// What is waited for a moment only, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Within it a reload has had its effect, half a minute of spreading included.
const RELOADED: Duration = Duration::from_secs(50);

/// The end of the daemon, promised within 200 ms on a host that does nothing else.
const END: Duration = Duration::from_secs(1);

/// A daemon of a test, which ends with it at the latest.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    /// Whom signals go to; the child itself, or what it started.
    pid: Pid,
    log: PathBuf,
}

impl Daemon {
    /// Starts it in `world`.
    pub(crate) fn start(world: &World) -> Self {
        Self::of(world, &mut world.command(&["run"]))
    }

    /// Starts `command` with its log in a file.
    pub(crate) fn of(world: &World, command: &mut Command) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let log = world.directory.join(format!("log-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        Self { child, pid, log }
    }

    /// Starts it and waits until the profile [`NAME`] is published.
    pub(crate) fn publishing(world: &World) -> Self {
        let daemon = Self::start(world);
        wait_until(SOON, "the first credentials", || has_published(world, NAME));
        daemon
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(SOON, &format!("`{text}` in the log"), || self.log().contains(text));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ends, within `limit`.
    #[track_caller]
    fn end(&mut self, limit: Duration) -> ExitStatus {
        wait_until(limit, "the end of the daemon", || !self.is_running());
        self.child.wait().unwrap()
    }

    /// Sends `signal`, and asserts that it ends well and in time; how long it took.
    #[track_caller]
    pub(crate) fn stop(&mut self, signal: Signal) -> Duration {
        assert!(self.is_running(), "{}", self.log());
        let (status, time) = timed(|| {
            self.signal(signal);
            self.child.wait().unwrap()
        });
        assert!(status.success(), "{status}: {}", self.log());
        assert!(time < END, "it took {time:?} to end: {}", self.log());
        time
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            // Where a program between us started it, that one ends with it.
            let killed = kill(self.pid, Signal::SIGKILL);
            self.child.wait().unwrap();
            killed.unwrap();
        }
        if std::thread::panicking() {
            eprintln!("the log of the daemon:\n{}", self.log());
        }
    }
}

/// Waits until `condition` holds, which has to be within `limit`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test waits for another process, which has its own clock")]
pub(crate) fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited for {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lets `time` pass, to see that something does not happen.
#[expect(clippy::disallowed_methods, reason = "a test waits for another process, which has its own clock")]
pub(crate) fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

fn has_published(world: &World, profile: &str) -> bool {
    !world.is_unpublished(profile) && record(world, profile).contains("\"access_key_id\"")
}

/// What the agent remembers of `profile`; empty where it remembers nothing.
fn record(world: &World, profile: &str) -> String {
    fs::read_to_string(world.out().join(format!("state/{profile}.json"))).unwrap_or_default()
}

/// The processes that work for the daemon at this moment.
fn workers(daemon: &Daemon) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid)).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| fs::read_to_string(task.path().join("children")));
    let number = |number: &str| Pid::from_raw(number.parse().unwrap());
    children.flat_map(|list| list.split_whitespace().map(number).collect::<Vec<_>>()).collect()
}

fn threads(process: Pid) -> usize {
    fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count)
}

/// Whether nothing is under way, and the daemon has put away what was.
fn is_idle(daemon: &Daemon) -> bool {
    threads(daemon.pid) == 1 && workers(daemon).is_empty() && sleeps(daemon.pid)
}

fn sleeps(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
}

/// Waits until nothing is under way.
fn idle(daemon: &Daemon) {
    wait_until(SOON, "an idle daemon", || is_idle(daemon));
}

/// The access key id that is published for `profile`.
fn key(world: &World, profile: &str) -> String {
    world.document(profile)["AccessKeyId"].as_str().unwrap().to_owned()
}

/// A profile that switches to `role` from the instance profile.
fn switching(name: &str, role: &str) -> String {
    format!("[profile {name}]\nrole_arn = {role}\ncredential_source = Ec2InstanceMetadata\n")
}

/// Says a figure that a test has found.
fn report(line: &str) {
    use std::io::Write as _;
    // Straight to the stream: the test harness swallows what a test that passes prints.
    writeln!(std::io::stderr(), "{line}").unwrap();
}
