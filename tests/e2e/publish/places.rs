//! Where files are published, and where readers look.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CROSS_ACCOUNT, Keys};
use crate::host::{
    as_nobody, give_away, has_mounts, has_program, has_root, mode_of, open_to_others, plant, quoted,
};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

/// `refresh` without `--output-dir`.
fn refresh(world: &World, variables: &[(&str, PathBuf)]) -> Command {
    let mut command = world.bare_command(&["refresh"]);
    command.env("ROLEKEEPER_CONFIG", world.directory.join("config"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

fn is_published_in(directory: &Path) -> bool {
    directory.join(CROSS_ACCOUNT).join("credentials.json").is_file()
}

#[test]
fn option_beats_setting_beats_runtime_directory() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let place = |name: &str| world.directory.join(name);
    let runtime = ("RUNTIME_DIRECTORY", PathBuf::from(format!("{}:/elsewhere", place("runtime").display())));
    let ignored = ("XDG_RUNTIME_DIR", place("xdg"));
    Run::of(&mut refresh(&world, &[runtime.clone(), ignored])).assert_silent_success();
    assert!(is_published_in(&place("runtime")), "systemd's first directory is the unit's own");
    assert!(!place("xdg").exists());

    let setting =
        format!("[rolekeeper]\noutput_dir = {}\n{INSTANCE_CROSS_ACCOUNT}", place("setting").display());
    world.write("config", setting);
    Run::of(&mut refresh(&world, std::slice::from_ref(&runtime))).assert_silent_success();
    assert!(is_published_in(&place("setting")));

    Run::of(refresh(&world, &[runtime]).arg("--output-dir").arg(place("option"))).assert_silent_success();
    assert!(is_published_in(&place("option")));
}

#[test]
fn a_relative_directory_is_published_as_an_absolute_one() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let mut command = refresh(&world, &[]);
    command.current_dir(&world.directory).args(["--output-dir", "here/below"]);
    Run::of(&mut command).assert_silent_success();
    let directory = world.directory.join("here/below");
    let config = fs::read_to_string(directory.join("config")).unwrap();
    assert!(config.contains(&format!(" --output-dir {} ", directory.display())), "{config}");
    assert_eq!(mode_of(&directory), 0o700);
}

#[test]
fn a_relative_output_dir_in_the_configuration_is_refused() {
    let world = World::new(&format!("[rolekeeper]\noutput_dir = out\n{INSTANCE_CROSS_ACCOUNT}"));
    let run = Run::of(&mut refresh(&world, &[]));
    run.assert_failure(78, &["config:2", "output_dir", "`out`", "write the path from `/` on"]);
}

#[test]
fn the_default_of_an_ordinary_user_is_below_the_runtime_directory() {
    if !(has_root() && has_program("setpriv")) {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let program = open_to_others(&world);
    let runtime = world.directory.join("xdg");
    fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
    give_away(&runtime);
    give_away(&world.directory.join("config"));
    let agent = |variables: &[(&str, PathBuf)]| {
        let described = refresh(&world, variables);
        let mut command = Command::new(&program);
        command.args(described.get_args());
        for (name, value) in described.get_envs() {
            command.env(name, value.unwrap());
        }
        Run::of(&mut as_nobody(&command))
    };
    agent(&[]).assert_failure(73, &["no directory to publish files in", "XDG_RUNTIME_DIR"]);
    agent(&[("XDG_RUNTIME_DIR", runtime.clone())]).assert_silent_success();
    assert!(is_published_in(&runtime.join("rolekeeper")));
    assert_eq!(mode_of(&runtime.join("rolekeeper")), 0o700);
}

/// Runs `script` where `/run` is an empty directory that nobody else sees.
fn with_empty_run(world: &World, script: &str) -> Run {
    let described = refresh(world, &[]);
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    for (name, value) in described.get_envs() {
        command.env(name, value.unwrap());
    }
    let script = format!("set -e; mount -t tmpfs -o mode=755 tmpfs /run\n{script}");
    Run::of(command.args(["--mount", "/bin/sh", "-c", &script]))
}

#[test]
fn root_publishes_in_run_and_readers_look_there_last() {
    if !(has_mounts() && has_program("setpriv")) {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0644\n"));
    let program = open_to_others(&world);
    let reader = "setpriv --reuid=65534 --regid=65534 --clear-groups -- env -i";
    let run = with_empty_run(
        &world,
        &format!(
            "{program} refresh; stat -c %a /run/rolekeeper
             {reader} XDG_RUNTIME_DIR=/nonexistent {program} print instancecrossaccount",
            program = quoted(&program)
        ),
    );
    assert_eq!(run.code, 0, "{run:?}");
    let (mode, document) = run.stdout.split_once('\n').unwrap();
    assert_eq!(mode, "711");
    Keys::parse(document);
}

#[test]
fn a_file_in_place_of_the_directory_is_named() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    plant(&world.out(), b"not a directory");
    world.run(&["refresh"]).assert_failure(73, &["/out` is not a directory", "--output-dir"]);
    assert_eq!(fs::read(world.out()).unwrap(), b"not a directory");
}

#[test]
fn the_configuration_that_was_read_is_not_replaced_by_what_is_published() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    for _ in 0..2 {
        let run = Run::of(refresh(&world, &[]).arg("--output-dir").arg(&world.directory));
        run.assert_failure(73, &["config` was not published by rolekeeper, and stays as it is"]);
        assert_eq!(fs::read_to_string(world.directory.join("config")).unwrap(), INSTANCE_CROSS_ACCOUNT);
    }
    assert!(world.assumptions().is_empty(), "nobody is asked for what cannot be published");
}
