//! Many at once: writers that wait for each other, and readers that never see half a file.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fake_aws::scenario;

use super::{CROSS_ACCOUNT, Keys, assumed, switching};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

fn start(world: &World, arguments: &[&str]) -> Vec<Child> {
    let one = |_| world.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    (0..8).map(one).collect()
}

fn wait_for_all(children: Vec<Child>) -> Vec<String> {
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    outputs
        .map(|output| {
            assert!(output.status.success(), "{output:?}");
            assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect()
}

#[test]
fn eight_refreshes_at_once_ask_sts_once() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    wait_for_all(start(&world, &["refresh"]));
    assert_eq!(assumed(&world), 1);
}

#[test]
fn eight_prints_at_once_ask_sts_once_and_agree() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let documents = wait_for_all(start(&world, &["print", "instancecrossaccount"]));
    assert_eq!(assumed(&world), 1);
    let published = Keys::of(&world, CROSS_ACCOUNT);
    assert!(documents.iter().all(|document| Keys::parse(document) == published));
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the other process has read its configuration by then, and waits"
)]
fn a_profile_that_was_added_during_a_splay_stays() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let children = start(&world, &["refresh", "--splay", "3"]);
    thread::sleep(Duration::from_millis(500));
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}{}", switching("later", &scenario::hop(1))));
    world.run(&["refresh", "later"]).assert_silent_success();
    let published = Keys::of(&world, "profiles/later");
    wait_for_all(children);
    assert_eq!(Keys::of(&world, "profiles/later"), published);
}

#[test]
fn readers_see_whole_files_while_eight_write() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(&world, &done));
        for _ in 0..2 {
            wait_for_all(start(&world, &["refresh", "--force"]));
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert_eq!(assumed(&world), 17);
    assert!(seen > 1, "the reader saw a rotation happen");
}

/// Reads all forms again and again; counts how many sets of credentials were seen.
fn read_until(world: &World, done: &AtomicBool) -> usize {
    let mut seen = std::collections::BTreeSet::new();
    while !done.load(Ordering::Relaxed) {
        seen.insert(Keys::of(world, CROSS_ACCOUNT).access_key_id);
        let own = world.published(&format!("{CROSS_ACCOUNT}/credentials"));
        assert_eq!(own.matches("\naws_session_token = ").count(), 2, "{own}");
        assert!(own.ends_with('\n'));
        let env = world.published(&format!("{CROSS_ACCOUNT}/env"));
        assert!(
            env.starts_with("AWS_ACCESS_KEY_ID=") && env.ends_with("AWS_DEFAULT_REGION=us-east-1\n"),
            "{env}"
        );
        let all = world.published("credentials");
        assert_eq!(all.matches("\naws_session_token = ").count(), 1, "{all}");
        serde_json::from_str::<serde_json::Value>(&world.published("status.json")).unwrap();
    }
    seen.len()
}
