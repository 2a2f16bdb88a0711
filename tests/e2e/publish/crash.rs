//! SIGKILL at every system call that changes a file: a reader finds the old file or the new one, whole, and the next
//! run sweeps what is left.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use super::{CROSS_ACCOUNT, FILES, Keys, MARKER, listing};
use crate::host::{has_program, plant};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// Runs a forced refresh that is killed at its `count`th call of `call`; whether it came that far.
fn is_killed_at(world: &World, call: &str, count: usize) -> bool {
    let described = world.command(&["refresh", "--force"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=KILL:when={count}")]);
    command.arg(described.get_program()).args(described.get_args()).env_clear();
    for (name, value) in described.get_envs() {
        command.env(name, value.unwrap());
    }
    let status = command.status().unwrap();
    status.signal() == Some(9) || status.code() == Some(137)
}

/// Asserts that every file is whole, and that none but a temporary is new.
fn assert_whole(world: &World, when: &str) {
    let keys = Keys::of(world, CROSS_ACCOUNT);
    assert!(!keys.session_token.is_empty());
    let own = world.published(&format!("{CROSS_ACCOUNT}/credentials"));
    assert!(own.starts_with(MARKER) && own.ends_with('\n'), "{when}: {own}");
    assert_eq!(own.matches("\naws_session_token = ").count(), 2, "{when}: {own}");
    let env = world.published(&format!("{CROSS_ACCOUNT}/env"));
    assert!(env.ends_with("AWS_DEFAULT_REGION=us-east-1\n"), "{when}: {env}");
    assert_eq!(world.published("credentials").matches("\naws_session_token = ").count(), 1, "{when}");
    serde_json::from_str::<serde_json::Value>(&world.published("status.json")).unwrap();
}

fn leftovers(world: &World) -> Vec<String> {
    let paths = world.snapshot().into_iter().map(|(path, _)| path.display().to_string());
    paths.filter(|path| path.ends_with(".rolekeeper-tmp")).collect()
}

#[test]
fn a_crash_at_any_call_leaves_whole_files_and_nothing_for_ever() {
    if !has_program("strace") {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let mut crashes = 0;
    let mut unclean = 0;
    for call in ["renameat", "fsync", "fchmod", "write"] {
        for count in 1..=40 {
            if !is_killed_at(&world, call, count) {
                assert!(count > 3, "`{call}` was never killed");
                break;
            }
            crashes += 1;
            let when = format!("killed at {call} {count}");
            assert_whole(&world, &when);
            unclean += usize::from(!leftovers(&world).is_empty());
            world.run(&["refresh", "--force"]).assert_silent_success();
            assert_whole(&world, &when);
            assert_eq!(leftovers(&world), [""; 0], "{when}");
        }
    }
    assert!(crashes > 20 && unclean > 5, "{crashes} crashes, {unclean} with leftovers");
}

#[test]
fn temporaries_are_swept_even_where_nothing_is_due() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    for directory in ["", "state"] {
        plant(&world.out().join(directory).join(".credentials.rolekeeper-tmp"), b"half a secret");
    }
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(leftovers(&world), [""; 0]);
    for name in FILES {
        plant(&world.out().join(CROSS_ACCOUNT).join(format!(".{name}.rolekeeper-tmp")), b"half a secret");
    }
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_eq!(listing(&world.out().join(CROSS_ACCOUNT)).len(), FILES.len());
}
