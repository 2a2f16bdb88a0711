//! Another program's change that comes between our reading of the file and our rename: made by chance elsewhere, and
//! here at the very instant, at which strace holds ours still.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{read, rename, section, world_with, write};

use crate::daemon::{SOON, wait_until};
use crate::host::has_program;
use crate::support::World;

const BEFORE: &str = "[other]\naws_access_key_id = AKIABEFORE\n";
const AFTER: &str = "[other]\naws_access_key_id = AKIAAFTERWARDS\n";
/// Longer than a busy machine takes to make a change, in microseconds.
const HELD: u32 = 1_500_000;

/// A forced refresh whose first call of `call` that concerns `path` takes effect, and does not return for a while.
fn refresh_held_at(world: &World, call: &str, path: &Path) -> Child {
    let described = world.command(&["refresh", "--force"]);
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-P"]).arg(path);
    command.args(["-e", &format!("inject={call}:delay_exit={HELD}:when=1")]).env_clear();
    command.arg(described.get_program()).args(described.get_args());
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn assert_nothing_is_lost(world: &World, file: &Path, mut ours: Child) {
    assert!(ours.wait().unwrap().success());
    assert_eq!(read(file), format!("{AFTER}\n{}", section(world)));
    assert!(!file.with_file_name(".shared.rolekeeper-tmp").exists());
}

#[test]
fn what_replaces_the_file_before_the_last_look_is_merged() {
    if !has_program("strace") {
        return;
    }
    let (world, file) = world_with("shared", "");
    write(&file, BEFORE);
    let temporary = file.with_file_name(".shared.rolekeeper-tmp");
    let ours = refresh_held_at(&world, "fsync", &temporary);
    wait_until(SOON, "the temporary", || fs::metadata(&temporary).is_ok_and(|found| found.size() > 0));
    let theirs = world.directory.join("theirs");
    write(&theirs, AFTER);
    assert!(rename(&theirs, &file));
    assert_nothing_is_lost(&world, &file, ours);
}

#[test]
fn what_is_written_into_the_replaced_file_is_merged() {
    if !has_program("strace") {
        return;
    }
    let (world, file) = world_with("shared", "");
    write(&file, BEFORE);
    let number = fs::metadata(&file).unwrap().ino();
    let mut theirs = fs::File::options().write(true).open(&file).unwrap();
    let ours = refresh_held_at(&world, "/^renameat", &world.directory);
    wait_until(SOON, "the rename", || fs::metadata(&file).unwrap().ino() != number);
    theirs.write_all(AFTER.as_bytes()).unwrap();
    assert_nothing_is_lost(&world, &file, ours);
}
