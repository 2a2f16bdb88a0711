//! Runs the binary under a wrong wall clock: with a program of our own, compiled when it is first needed, that answers
//! the binary's questions for the time. The clock of the machine is never touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Run, World};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/wrong-clock/wrong-clock.c");
/// Where the helper looks for the clocks, in the directory of a world.
const FILE: &str = "clock-offset";
/// How the helper says that it cannot do its work here.
const CANNOT: i32 = 125;

/// The helper; `None` where it does not work here, which is said loudly and is a failure in CI.
fn helper() -> Option<&'static Path> {
    static HELPER: OnceLock<Option<PathBuf>> = OnceLock::new();
    HELPER
        .get_or_init(|| match compile() {
            Ok(path) => Some(path),
            Err(reason) => {
                assert!(!is_ci(), "no wrong clock: {reason}");
                eprintln!("SKIPPED, no test under a wrong clock: {reason}");
                None
            }
        })
        .as_deref()
}

fn compile() -> Result<PathBuf, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the helper knows the registers of x86_64 Linux only".to_owned());
    }
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wrong-clock-{}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|cause| cause.to_string())?;
    let path = directory.join("wrong-clock");
    let compiled = Command::new("cc").args(["-O1", "-o"]).arg(&path).arg(SOURCE).output();
    let compiled = compiled.map_err(|cause| format!("cc: {cause}"))?;
    if !compiled.status.success() {
        return Err(String::from_utf8_lossy(&compiled.stderr).into_owned());
    }
    // A container may forbid to trace processes: the helper says so with its own exit code.
    let offset = directory.join("offset");
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    fs::write(&offset, "3600").map_err(|cause| cause.to_string())?;
    let tried = Command::new(&path).arg(&offset).arg("true").output().map_err(|cause| cause.to_string())?;
    match tried.status.code() {
        Some(0) => Ok(path),
        Some(CANNOT) => Err(String::from_utf8_lossy(&tried.stderr).into_owned()),
        code => Err(format!("the helper ended with {code:?}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "whether this is CI is no setting of the agent")]
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// A wall clock that is wrong by so much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrongClock {
    helper: &'static Path,
    offset: time::Duration,
}

impl WrongClock {
    /// A clock that is ahead by `offset`; `None` where no clock can be wrong here.
    pub(crate) fn ahead_by(offset: time::Duration) -> Option<Self> {
        helper().map(|helper| Self { helper, offset })
    }

    /// Sets the clocks of what runs in `world`: the wall clock is ahead by `offset`, and the host has slept for
    /// `asleep`.
    #[expect(clippy::disallowed_methods, reason = "the helper reads the file at any instant")]
    pub(crate) fn set(world: &World, offset: time::Duration, asleep: time::Duration) {
        let text = format!("{} {}", offset.whole_seconds(), asleep.whole_seconds());
        fs::rename(world.write("clock-offset.new", text), world.directory.join(FILE)).unwrap();
    }

    /// Runs `command` under this clock.
    pub(crate) fn run(self, world: &World, command: &Command) -> Run {
        Self::set(world, self.offset, time::Duration::ZERO);
        let run = Run::of(&mut self.wrap(world, command));
        assert_ne!(run.code, CANNOT, "{run:?}");
        run
    }

    /// `command` as it runs under the clocks that are [`set`](Self::set) in `world`.
    pub(crate) fn wrap(self, world: &World, command: &Command) -> Command {
        let mut wrapped = Command::new(self.helper);
        wrapped
            .arg(world.directory.join(FILE))
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                wrapped.env(name, value);
            }
        }
        wrapped
    }
}
