//! What somebody else may have put where we write: links, pipes, directories, files of other owners.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;

use super::{CROSS_ACCOUNT, FILES, Keys, listing};
use crate::host::{give_away, has_root, mode_of, plant};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// Lets the agent forget what it has published, so that it has nothing to fall back on and says what is wrong.
fn forget(world: &World) {
    fs::remove_file(world.out().join("state/instancecrossaccount.json")).unwrap();
}

/// A world with something published, and a file outside that must not change.
fn world_and_victim() -> (World, std::path::PathBuf) {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let victim = world.write("victim", "precious");
    (world, victim)
}

#[test]
fn links_in_place_of_files_are_replaced_and_never_followed() {
    let (world, victim) = world_and_victim();
    let targets = FILES.map(|name| format!("{CROSS_ACCOUNT}/{name}"));
    let top = ["credentials", "config", "status.json", "state/instancecrossaccount.json"].map(str::to_owned);
    for name in targets.iter().chain(&top) {
        let path = world.out().join(name);
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        world.run(&["refresh"]).assert_silent_success();
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "{name}");
    }
    Keys::of(&world, CROSS_ACCOUNT);
}

#[test]
fn a_link_in_place_of_a_temporary_is_not_written_through() {
    let (world, victim) = world_and_victim();
    for name in FILES {
        let temporary = world.out().join(CROSS_ACCOUNT).join(format!(".{name}.rolekeeper-tmp"));
        symlink(&victim, temporary).unwrap();
    }
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(listing(&world.out().join(CROSS_ACCOUNT)).len(), FILES.len());
}

#[test]
fn a_link_in_place_of_a_subdirectory_is_refused() {
    for name in [CROSS_ACCOUNT, "profiles", "state"] {
        let (world, _) = world_and_victim();
        forget(&world);
        let elsewhere = world.directory.join("elsewhere");
        let moved = std::process::Command::new("mv").arg(world.out().join(name)).arg(&elsewhere).status();
        assert!(moved.unwrap().success());
        symlink(&elsewhere, world.out().join(name)).unwrap();
        let before = listing(&elsewhere);
        world.run(&["refresh"]).assert_failure(73, &["cannot open", name]);
        assert_eq!(listing(&elsewhere), before);
    }
}

#[test]
fn a_pipe_in_place_of_a_file_holds_nobody_up() {
    let (world, _) = world_and_victim();
    let places = ["credentials", "state/key", "state/instancecrossaccount.json"].map(str::to_owned);
    for name in FILES.map(|name| format!("{CROSS_ACCOUNT}/{name}")).iter().chain(&places) {
        let path = world.out().join(name);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        world.run(&["refresh"]).assert_silent_success();
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
        assert_eq!(mode_of(&path), 0o600);
    }
    let document = world.out().join(CROSS_ACCOUNT).join("credentials.json");
    fs::remove_file(&document).unwrap();
    nix::unistd::mkfifo(&document, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let printed = world.run(&["print", "instancecrossaccount"]);
    assert_eq!(printed.code, 0, "{printed:?}");
}

#[test]
fn a_directory_in_place_of_a_file_is_an_error_that_names_it() {
    let (world, _) = world_and_victim();
    let path = world.out().join(CROSS_ACCOUNT).join("env");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    plant(&path.join("inside"), b"kept");
    forget(&world);
    world.run(&["refresh"]).assert_failure(73, &["cannot rename the new file to", "/env`"]);
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
    let leftovers = listing(&world.out().join(CROSS_ACCOUNT));
    assert!(leftovers.iter().all(|name| !name.ends_with("-tmp")), "{leftovers:?}");
}

#[test]
fn directories_of_other_users_are_refused() {
    if !has_root() {
        return;
    }
    for name in ["", "profiles", "state", CROSS_ACCOUNT] {
        let (world, _) = world_and_victim();
        forget(&world);
        give_away(&world.out().join(name));
        let before = Keys::of(&world, CROSS_ACCOUNT);
        let run = world.run(&["refresh"]);
        run.assert_failure(
            73,
            &["belongs to user 65534", name, "its owner could swap what is written there"],
        );
        assert_eq!(Keys::of(&world, CROSS_ACCOUNT), before, "{name}");
    }
}
