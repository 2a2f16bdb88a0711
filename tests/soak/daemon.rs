//! A daemon as a process: started, signalled, killed, measured.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stage::{Stage, Which};

/// A daemon that may be another process later.
#[derive(Debug)]
pub(crate) struct Daemon {
    which: Which,
    child: Mutex<Child>,
    pub(crate) log: PathBuf,
}

/// What a process costs at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// The whole resident memory, in KiB.
    pub(crate) resident: u64,
    /// The part of it that was allocated, in KiB; the rest are pages of the program itself, which are there once the
    /// road that they hold has been taken.
    pub(crate) allocated: u64,
    pub(crate) threads: usize,
    /// What the descriptors lead to, sorted; shown to root alone.
    pub(crate) descriptors: Vec<String>,
    /// Processes that it has started, and not collected.
    pub(crate) children: usize,
}

impl Daemon {
    pub(crate) fn start(stage: &Stage, which: Which) -> Self {
        let log = stage.directory.join(format!("{which:?}.log"));
        File::create(&log).unwrap();
        let child = Mutex::new(spawn(stage, which, &log));
        Self { which, child, log }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child().id().try_into().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child().try_wait().unwrap().is_none()
    }

    /// Ends it without notice.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&self, stage: &Stage) {
        *self.child() = spawn(stage, self.which, &self.log);
    }

    /// Asks it to end; whether it did so well.
    pub(crate) fn stop(&self) -> bool {
        self.signal(Signal::SIGTERM);
        self.child().wait().unwrap().success()
    }

    pub(crate) fn cost(&self) -> Cost {
        let place = PathBuf::from(format!("/proc/{}", self.pid()));
        let status = fs::read_to_string(place.join("status")).unwrap();
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        // A descriptor may be closed between the listing and the look at it.
        let target = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
        let listing = fs::read_dir(place.join("fd")).into_iter().flatten();
        let mut descriptors: Vec<String> =
            listing.filter_map(target).map(|path| path.to_string_lossy().into_owned()).collect();
        descriptors.sort();
        let tasks = || fs::read_dir(place.join("task")).into_iter().flatten().flatten();
        let of_task =
            |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
        Cost {
            resident: figure("VmRSS:"),
            allocated: figure("RssAnon:"),
            threads: tasks().count(),
            descriptors,
            children: tasks().map(of_task).map(|children| children.split_whitespace().count()).sum(),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
    }
}

fn spawn(stage: &Stage, which: Which, log: &PathBuf) -> Child {
    let log = File::options().append(true).open(log).unwrap();
    stage.command(which, &["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}
