//! Storage that refuses: read-only and full file systems. Both take a mount namespace of the test's own.

use std::process::Command;

use crate::host::{has_mounts, quoted};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

/// Runs `script` with `$OUT` and the function `agent` in a mount namespace of its own.
fn in_namespace(world: &World, script: &str) -> Run {
    let described = world.command(&[]);
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("OUT", world.out());
    for (name, value) in described.get_envs() {
        command.env(name, value.unwrap());
    }
    let program = quoted(env!("CARGO_BIN_EXE_rolekeeper"));
    let script = format!(
        "set -e; mkdir -p \"$OUT\"
         agent() {{ {program} --output-dir \"$OUT\" \"$@\"; }}
         sums() {{ find \"$OUT\" -type f ! -name status.json -exec sha256sum {{}} + | sort; }}
         {script}"
    );
    Run::of(command.args(["--mount", "/bin/sh", "-c", &script]))
}

#[test]
fn a_read_only_file_system_is_named_and_nothing_is_lost() {
    if !has_mounts() {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let run = in_namespace(
        &world,
        "mount --bind \"$OUT\" \"$OUT\"; agent refresh; sums > \"$OUT/../before\"
         mount -o remount,ro,bind \"$OUT\"
         if agent refresh --force; then code=0; else code=$?; fi
         sums | cmp - \"$OUT/../before\"
         agent print instancecrossaccount > /dev/null
         exit $code",
    );
    run.assert_failure(73, &["ead-only file system", "mount a writable directory there"]);
}

#[test]
fn a_full_file_system_is_named_and_nothing_is_lost() {
    if !has_mounts() {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let run = in_namespace(
        &world,
        "mount -t tmpfs -o size=96k,mode=700 tmpfs \"$OUT\"; agent refresh; sums > \"$OUT/../before\"
         dd if=/dev/zero of=\"$OUT/../filler\" bs=1k count=1 2>/dev/null
         dd if=/dev/zero of=\"$OUT/status.json\" bs=1k count=1024 2>/dev/null || :
         if agent refresh --force; then code=0; else code=$?; fi
         sums | cmp - \"$OUT/../before\"
         test -z \"$(find \"$OUT\" -name '*-tmp')\"
         agent print instancecrossaccount > /dev/null
         rm \"$OUT/status.json\"; agent refresh --force
         exit $code",
    );
    run.assert_failure(73, &["cannot write", "o space left on device", "free some space where"]);
}
