//! The order of the system calls of a rotation: what a power loss and a reader at any instant depend on, and no crash of
//! a process can show.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::host::{has_program, has_root, plant};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

const TEMPORARY: &str = ".rolekeeper-tmp";

/// The calls of a forced refresh that touch the file system, in order, with paths for descriptors.
fn calls(world: &World) -> Vec<String> {
    let described = world.command(&["refresh", "--force"]);
    let log = world.directory.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-s", "0", "-e"]);
    command
        .arg("trace=openat,fchmod,fchown,write,fsync,close,renameat,mkdirat")
        .arg("-o")
        .arg(&log)
        .env_clear();
    command.arg(described.get_program()).args(described.get_args());
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(command.status().unwrap().success());
    let text = fs::read_to_string(log).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, call)| call.trim_start().to_owned())
        .collect()
}

/// The name of the temporary that `call` is about, below the output directory.
fn temporary(world: &World, call: &str) -> Option<String> {
    let out = format!("{}/", world.out().display());
    // A descriptor shows its path; a name stands in quotes behind the path of its directory.
    let directory =
        call.split_once(&out).map_or("", |(_, rest)| rest.split(['>', '"']).next().unwrap_or_default());
    if directory.ends_with(TEMPORARY) {
        return Some(directory.to_owned());
    }
    let name = call.split('"').find(|part| part.ends_with(TEMPORARY))?;
    let above = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    Some(format!("{above}{name}"))
}

fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

fn assert_order(world: &World, is_given: bool) {
    world.run(&["refresh"]).assert_silent_success();
    let calls = calls(world);
    let mut steps: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for call in &calls {
        if let Some(temporary) = temporary(world, call) {
            if name(call) == "openat" {
                for flag in ["O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC", "0600"] {
                    assert!(call.contains(flag), "{flag}: {call}");
                }
            }
            steps.entry(temporary).or_default().push(name(call));
        }
    }
    let profile = "profiles/instancecrossaccount";
    let record = format!("state/.instancecrossaccount.json{TEMPORARY}");
    for file in ["credentials.json", "credentials", "env"] {
        let found = steps.remove(&format!("{profile}/.{file}{TEMPORARY}")).unwrap();
        let expected = ["openat", "fchmod", "fchown", "write", "fsync", "close", "renameat"];
        let expected: Vec<_> = expected.into_iter().filter(|step| is_given || *step != "fchown").collect();
        assert_eq!(found, expected, "{file}");
    }
    let plain = ["openat", "fchmod", "write", "fsync", "close", "renameat"];
    assert_eq!(steps.remove(&record).unwrap(), plain);
    // What the next run writes again anyway is not worth a wait for the disk.
    let renamed = ["openat", "fchmod", "write", "close", "renameat"];
    assert_eq!(steps.remove(&format!(".status.json{TEMPORARY}")).unwrap(), renamed);
    if !is_given {
        assert_eq!(steps.remove(&format!(".credentials{TEMPORARY}")).unwrap(), plain);
    }
    for (file, found) in &steps {
        assert_eq!(found, &plain, "{file}");
    }
    // A new name is on the disk before the work goes on, in each directory: after the last rename in it.
    let position = |wanted: &dyn Fn(&&String) -> bool| calls.iter().rposition(|call| wanted(&call));
    let mut directories =
        vec![format!("{}/{profile}", world.out().display()), world.out().join("state").display().to_string()];
    if !is_given {
        directories.push(world.out().display().to_string());
    }
    let mut synced = Vec::new();
    for directory in &directories {
        let is_of = |call: &&String| call.contains(&format!("<{directory}>"));
        let is_synced_name =
            |call: &&String| name(call) == "renameat" && is_of(call) && !call.contains("status.json");
        let last_name =
            position(&is_synced_name).unwrap_or_else(|| panic!("nothing is renamed in {directory}"));
        let sync = position(&|call| name(call) == "fsync" && is_of(call));
        let sync = sync.unwrap_or_else(|| panic!("{directory} is not brought to the disk"));
        assert!(sync > last_name, "{directory}");
        synced.push(sync);
    }
    assert!(synced[0] < synced[1], "the record says what is on the disk already");
}

#[test]
fn owner_and_mode_go_before_content_and_content_is_on_the_disk_before_its_name() {
    if has_program("strace") {
        assert_order(&World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0640\n")), false);
    }
}

#[test]
fn the_order_is_the_same_for_files_that_are_given_away() {
    if has_program("strace") && has_root() {
        assert_order(&World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_owner = 65534\n")), true);
    }
}

#[test]
fn a_file_of_others_is_replaced_in_the_same_order() {
    if !has_program("strace") {
        return;
    }
    let world = World::new("");
    let others = world.directory.join("others");
    let line = format!("rolekeeper_credentials_file = {}/credentials\n", others.display());
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}{line}"));
    fs::create_dir(&others).unwrap();
    plant(&others.join("credentials"), b"[mine]\nregion = eu-west-1\n");
    world.run(&["refresh"]).assert_silent_success();
    let (calls, directory) = (calls(&world), format!("<{}>", others.display()));
    let is_step = |call: &&String| {
        let is_synced = name(call) == "fsync" && call.contains(&directory);
        call.contains(&others.display().to_string()) && (call.contains(TEMPORARY) || is_synced)
    };
    let steps: Vec<&str> = calls.iter().filter(is_step).map(|call| name(call)).collect();
    assert_eq!(steps, ["openat", "fchmod", "fchown", "write", "fsync", "close", "renameat", "fsync"]);
}
