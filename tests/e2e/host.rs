//! What a test needs of the host that it runs on. Where the host lacks it, the test says so and ends; on a build
//! machine, which is set up to have everything, it fails.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::World;

/// An account that owns nothing.
pub(crate) const NOBODY: u32 = 65534;

/// Whether the host has `what`; says so where it has not.
pub(crate) fn has(what: &str, present: bool) -> bool {
    if !present {
        assert!(!is_build_machine(), "this build machine lacks {what}");
        // Straight to the stream: the test harness swallows what a test that passes prints.
        writeln!(std::io::stderr(), "SKIPPED: this host lacks {what}").unwrap();
    }
    present
}

#[expect(clippy::disallowed_methods, reason = "a test asks for its own environment, not for the agent's")]
fn is_build_machine() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Whether this test is root, which some of them have to be.
pub(crate) fn has_root() -> bool {
    has("root", nix::unistd::geteuid().is_root())
}

/// Whether the program `name` is installed.
pub(crate) fn has_program(name: &str) -> bool {
    has(name, find(name).is_some())
}

/// Whether mounts can be tried in a mount namespace of their own.
pub(crate) fn has_mounts() -> bool {
    let private = || Command::new("unshare").args(["--mount", "true"]).output();
    has_root() && has("mount namespaces", private().is_ok_and(|output| output.status.success()))
}

fn find(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists())
}

/// `command`, run by [`NOBODY`]; the program has to be where that user can reach it.
pub(crate) fn as_nobody(command: &Command) -> Command {
    let mut switched = Command::new("setpriv");
    switched.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    switched.arg(command.get_program()).args(command.get_args()).env_clear();
    switched.env("PATH", "/usr/bin:/bin");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            switched.env(name, value);
        }
    }
    switched
}

/// Opens the world to other users, and puts a copy of the binary there that they can reach.
pub(crate) fn open_to_others(world: &World) -> PathBuf {
    set_mode(&world.directory, 0o711);
    let program = world.directory.join("rolekeeper");
    // By a process of its own: a file that this one wrote could be inherited, still open, by what another test starts
    // meanwhile, and could then not be executed.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_rolekeeper")).arg(&program).status().unwrap();
    assert!(copied.success());
    set_mode(&program, 0o755);
    set_mode(&world.directory.join("ca.pem"), 0o644);
    program
}

/// The permission bits of `path` itself.
pub(crate) fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// User, group and permission bits of `path` itself.
pub(crate) fn ownership(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

/// Sets the permission bits of `path`.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives `path` to [`NOBODY`].
pub(crate) fn give_away(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// Creates the file `path`, whatever was there.
pub(crate) fn plant(path: &Path, content: &[u8]) {
    fs::File::create(path).and_then(|mut file| file.write_all(content)).unwrap();
}

/// `text` in a form that a shell reads as one word.
pub(crate) fn quoted(text: impl AsRef<Path>) -> String {
    let mut word = String::new();
    write!(word, "'{}'", text.as_ref().display()).unwrap();
    word
}
