//! What somebody else may have put where we write: links, pipes, directories, files of other owners.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;

use nix::sys::stat::Mode;

use super::{CROSS_ACCOUNT, FILES, Keys, listing};
use crate::host::{NOBODY, give_away, has_root, mode_of, plant, set_mode};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

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

#[test]
fn a_way_that_another_user_could_lead_elsewhere_is_refused() {
    if !has_root() {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    // What a link of theirs could lead to: nothing there may change, not even its mode.
    let (parent, victim) = (world.directory.join("parent"), world.directory.join("victim"));
    let out = parent.join("out");
    for (who, prepare) in [
        ("parent` belongs to user 65534", (|parent, _| give_away(parent)) as fn(&Path, &Path)),
        ("parent` belongs to user 65534", |parent, victim| {
            symlink(victim, parent.join("out")).unwrap();
            give_away(parent);
        }),
        ("parent` belongs to user 65534", |parent, _| {
            fs::create_dir(parent.join("out")).unwrap();
            give_away(parent);
        }),
        ("out` belongs to user 65534", |parent, victim| {
            let link = parent.join("out");
            symlink(victim, &link).unwrap();
            lchown(link, Some(NOBODY), Some(NOBODY)).unwrap();
            set_mode(parent, 0o1777);
        }),
        ("parent` has mode 0777, which lets others write", |parent, victim| {
            symlink(victim, parent.join("out")).unwrap();
            set_mode(parent, 0o777);
        }),
    ] {
        for directory in [&parent, &victim] {
            fs::create_dir(directory).unwrap();
            set_mode(directory, 0o755);
        }
        prepare(&parent, &victim);
        let before = listing(&parent);
        for command in ["refresh", "run"] {
            let run = Run::of(
                world
                    .bare_command(&[command, "--output-dir"])
                    .arg(&out)
                    .env("ROLEKEEPER_CONFIG", world.directory.join("config")),
            );
            run.assert_failure(73, &[who]);
            assert_eq!((listing(&victim), mode_of(&victim)), (Vec::new(), 0o755), "{who}");
            assert_eq!(listing(&parent), before, "{who}");
        }
        fs::remove_dir_all(&parent).unwrap();
        fs::remove_dir_all(&victim).unwrap();
    }
    assert!(world.assumptions().is_empty(), "nobody is asked for what cannot be published");
}

#[test]
fn a_volume_that_everybody_may_write_to_is_closed_and_used() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    fs::create_dir(world.out()).unwrap();
    set_mode(&world.out(), 0o777);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(mode_of(&world.out()), 0o700);
}
