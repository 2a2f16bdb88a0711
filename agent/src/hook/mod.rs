//! A hook: a command of the operator's, run to completion in a process group of its own, with a deadline and with its
//! output kept in bounds. Which hook is due, and what its failure means, is nothing it knows.

mod guard;
mod output;

pub use guard::{is_second_half, second_half};
pub use output::{Secrets, lines};

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use log::debug;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, geteuid};
use zeroize::Zeroizing;

use self::guard::{GUARD_ANSWER, GUARD_EFFECT};
use crate::clock::Clock;
use crate::config::trust::{self, TrustError, Untrusted};
use crate::environment::Environment;

/// This very program, also after a package manager has replaced its file.
const OURSELVES: &str = "/proc/self/exe";
/// So much of the output is kept; the rest is read and dropped, so that the hook does not block on a full pipe.
const KEPT: usize = 64 * 1024;
const CHUNK: usize = 16 * 1024;
/// As many chunks are read after the hook has ended: more than a pipe holds, and an end to what somebody else writes.
const LAST_CHUNKS: usize = 64;
/// Between SIGTERM and SIGKILL, and between SIGKILL and giving up.
const GRACE: Duration = Duration::from_secs(2);

/// What a hook inherits of our environment: what programs need, and where AWS is, so that commands of ours that it
/// calls see the configuration that the agent sees. No keys, and no proxy, whose address may hold a password.
const INHERITED: [&str; 25] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "RUNTIME_DIRECTORY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_ROLESANYWHERE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_INSTANCE_PROFILE_NAME",
];
/// Where programs are looked for that are given by name, when nobody says.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command to run.
#[derive(Debug)]
pub struct Hook<'a> {
    /// The program and its arguments.
    pub words: &'a [String],
    /// Its whole environment, or what is added to ours.
    pub environment: &'a [(OsString, OsString)],
    /// How long it may take.
    pub timeout: Duration,
    /// What it is run for.
    pub purpose: Purpose,
}

/// What a command is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What it does: both its streams are kept as far as there is room, and its environment is all that it gets.
    Effect,
    /// What it prints: only standard output is kept, a command that prints too much is ended, and it gets our
    /// environment, as an SDK would give it.
    Answer,
}

/// What a hook wrote, both streams in the order of writing.
#[derive(Debug, Default)]
pub struct Output {
    /// The bytes, wiped when dropped. They may hold anything: see [`lines`].
    kept: Zeroizing<Vec<u8>>,
    /// How many more there were.
    dropped: usize,
}

/// Why a hook did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum HookError {
    /// Another user could replace the program, which root would run.
    Untrusted(Untrusted),
    /// It could not be started.
    Start(io::Error),
    /// It could not be waited for.
    Wait(io::Error),
    /// It ended with this exit code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It took longer than this, and was ended with all its processes.
    TimedOut(Duration),
}

/// What of our `environment` every hook gets.
#[must_use]
pub fn inherited(environment: &Environment) -> Vec<(OsString, OsString)> {
    let given = |name: &&str| Some((OsString::from(*name), environment.os(name)?.to_owned()));
    let mut inherited: Vec<_> = INHERITED.iter().filter_map(given).collect();
    if environment.os("PATH").is_none() {
        inherited.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    inherited
}

impl Hook<'_> {
    /// Runs it and waits for its end, but not for that of processes that it leaves behind in the background.
    ///
    /// Where it takes too long, its whole process group is asked to end, and two seconds later made to. Whatever of it is
    /// there when this process ends, ends too.
    pub fn run(&self, clock: &dyn Clock) -> (Output, Result<(), HookError>) {
        let mut output = Output { kept: Zeroizing::new(Vec::with_capacity(KEPT)), dropped: 0 };
        let started = self.check().and_then(|()| self.start().map_err(HookError::Start));
        let ended = started.and_then(|(child, reader)| {
            let running = Running::watch(child, reader).map_err(HookError::Wait)?;
            running.finish(self.timeout, self.purpose, clock, &mut output)
        });
        (output, ended)
    }

    /// Root runs no program that another user could replace. One that is not there is left to the start, which says so.
    fn check(&self) -> Result<(), HookError> {
        match self.program().map(|program| trust::check(&program)) {
            Some(Err(TrustError::Untrusted(who))) if geteuid().is_root() => Err(HookError::Untrusted(who)),
            _ => Ok(()),
        }
    }

    /// The file that will be run: the first word, looked for as the hook's own `PATH` says where it has no slash.
    fn program(&self) -> Option<PathBuf> {
        let word = self.words.first()?;
        if word.contains('/') {
            return Some(PathBuf::from(word));
        }
        let (_, path) = self.environment.iter().find(|(name, _)| name == "PATH")?;
        // Hooks start in `/`, so that this is where a relative entry leads.
        let candidates =
            std::env::split_paths(path).map(|directory| Path::new("/").join(directory).join(word));
        candidates.into_iter().find(|candidate| {
            candidate.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
        })
    }

    fn start(&self) -> io::Result<(Child, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        let environment = self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        // The command goes out of scope here, and with it our ends for writing.
        let mut command = Command::new(OURSELVES);
        match self.purpose {
            Purpose::Effect => command.env_clear().stderr(writer.try_clone()?).arg(GUARD_EFFECT),
            Purpose::Answer => command.stderr(Stdio::null()).arg(GUARD_ANSWER),
        };
        let child = command
            .arg(process::id().to_string())
            .args(self.words.iter().map(OsStr::new))
            .envs(environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(writer)
            .process_group(0)
            .spawn()?;
        Ok((child, reader))
    }
}

/// How far the end of a hook has been brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    None,
    Asked,
    Made,
}

/// A hook under way.
struct Running {
    child: Child,
    group: Pid,
    output: PipeReader,
    /// Closed by the other side when the hook has ended.
    ended: PipeReader,
}

impl Running {
    fn watch(mut child: Child, output: PipeReader) -> io::Result<Self> {
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let watched = io::pipe().and_then(|(ended, ends)| {
            // Not joined: where even SIGKILL does not end the hook, nothing waits for it. The process stays a zombie
            // until `finish`, so that its number, which is that of the group, cannot become another's before.
            thread::Builder::new().name("hook".to_owned()).spawn(move || {
                let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
                while waitid(Id::Pid(group), flags) == Err(Errno::EINTR) {}
                drop(ends);
            })?;
            Ok(ended)
        });
        match watched {
            Ok(ended) => Ok(Self { child, group, output, ended }),
            Err(cause) => {
                signal(group, Signal::SIGKILL);
                child.wait()?;
                Err(cause)
            }
        }
    }

    fn finish(
        mut self,
        timeout: Duration,
        purpose: Purpose,
        clock: &dyn Clock,
        output: &mut Output,
    ) -> Result<(), HookError> {
        let mut pressure = Pressure::None;
        let mut deadline = clock.uptime().saturating_add(timeout);
        let (mut is_open, mut has_ended) = (true, false);
        loop {
            let left = deadline.saturating_sub(clock.uptime());
            let (readable, ended) = self.wait(is_open, has_ended, left).map_err(HookError::Wait)?;
            if readable {
                is_open = output.take(&mut self.output);
                if purpose == Purpose::Answer && output.dropped > 0 && pressure == Pressure::None {
                    deadline = Duration::ZERO;
                }
            }
            has_ended = has_ended || ended;
            // Asked to end, the others of the group have the grace to do so; a closed pipe says that they have.
            if has_ended && (pressure != Pressure::Asked || !is_open) {
                break;
            }
            if clock.uptime() >= deadline {
                let (next, number) = match pressure {
                    Pressure::None => (Pressure::Asked, Signal::SIGTERM),
                    Pressure::Asked => (Pressure::Made, Signal::SIGKILL),
                    Pressure::Made => break,
                };
                signal(self.group, number);
                pressure = next;
                deadline = clock.uptime().saturating_add(GRACE);
            }
        }
        if pressure != Pressure::None {
            signal(self.group, Signal::SIGKILL);
        }
        for _ in 0..LAST_CHUNKS {
            if !is_open || !self.wait(true, true, Duration::ZERO).is_ok_and(|(readable, _)| readable) {
                break;
            }
            is_open = output.take(&mut self.output);
        }
        let status = self.child.try_wait().map_err(HookError::Wait)?;
        if pressure != Pressure::None { Err(HookError::TimedOut(timeout)) } else { judge(status) }
    }

    /// Waits for output, where the pipe `is_open`, and for the end, where it has not come.
    fn wait(&self, is_open: bool, has_ended: bool, left: Duration) -> io::Result<(bool, bool)> {
        let idle = PollFlags::empty();
        let wanted = |wanted| if wanted { PollFlags::POLLIN } else { idle };
        // A closed pipe would be reported for ever; one that is not looked at is not.
        let mut both = [
            PollFd::new(if is_open { self.output.as_fd() } else { self.ended.as_fd() }, wanted(is_open)),
            PollFd::new(if has_ended { self.output.as_fd() } else { self.ended.as_fd() }, wanted(!has_ended)),
        ];
        let milliseconds = left.as_millis().saturating_add(u128::from(!left.is_zero()));
        match poll(&mut both, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok((false, false)),
            Err(cause) => return Err(cause.into()),
        }
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let [output, ended] = &both;
        Ok((is_open && is_ready(output), !has_ended && is_ready(ended)))
    }
}

impl Output {
    /// Reads what there is; whether more can come.
    fn take(&mut self, reader: &mut PipeReader) -> bool {
        let mut chunk = Zeroizing::new([0_u8; CHUNK]);
        match reader.read(chunk.as_mut_slice()) {
            Ok(0) => false,
            Ok(count) => {
                let room = KEPT.saturating_sub(self.kept.len()).min(count);
                self.kept.extend(chunk.iter().take(room));
                self.dropped = self.dropped.saturating_add(count.saturating_sub(room));
                true
            }
            Err(cause) => cause.kind() == io::ErrorKind::Interrupted,
        }
    }

    /// How many bytes beyond the bound were dropped.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// What was kept.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }
}

fn signal(group: Pid, number: Signal) {
    if let Err(cause) = killpg(group, number) {
        debug!("{number} reached nobody: {cause}");
    }
}

fn judge(status: Option<ExitStatus>) -> Result<(), HookError> {
    let Some(status) = status else { return Err(HookError::Wait(io::ErrorKind::TimedOut.into())) };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(HookError::Code(code)),
        (None, number) => Err(HookError::Signal(number.unwrap_or_default())),
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted(who) => write!(f, "root does not run it: {who}; {}", who.advice()),
            Self::Start(_) => f.write_str("it cannot be started"),
            Self::Wait(_) => f.write_str("it cannot be waited for"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
            Self::TimedOut(timeout) => {
                write!(f, "not done after {} seconds, and ended", timeout.as_secs())
            }
        }
    }
}

impl Error for HookError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(cause) | Self::Wait(cause) => Some(cause),
            Self::Untrusted(_) | Self::Code(_) | Self::Signal(_) | Self::TimedOut(_) => None,
        }
    }
}
