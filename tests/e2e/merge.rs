//! A credentials file that others own too gets one section of ours, and loses nothing.

mod window;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const NAME: &str = "instancecrossaccount";

/// A world whose profile is merged into `FILE`, below the world's directory.
fn world_with(file: &str, more: &str) -> (World, PathBuf) {
    let world = World::new("");
    let file = world.directory.join(file);
    let line = format!("rolekeeper_credentials_file = {}\n", file.display());
    world.write("config", format!("{INSTANCE_CROSS_ACCOUNT}{line}{more}"));
    (world, file)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "another program writes as it likes")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "another program writes as it likes")]
fn rename(from: &Path, to: &Path) -> bool {
    fs::rename(from, to).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "another program takes its time")]
fn rest(pause: Duration) {
    std::thread::sleep(pause);
}

/// The section as it should be, from the published file of the profile.
fn section(world: &World) -> String {
    let published = world.published(&format!("profiles/{NAME}/credentials"));
    let (_, section) = published.split_once(&format!("[{NAME}]\n")).unwrap();
    format!("[{NAME}]\n{section}")
}

/// Whether a test that needs root goes on; in CI it has to.
#[expect(clippy::disallowed_methods, reason = "the environment of the test, not of the agent")]
fn is_root(test: &str) -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        assert!(std::env::var_os("CI").is_none(), "{test} needs root, and in CI it has to run");
        println!("skipped: {test} needs root");
    }
    is_root
}

#[test]
fn a_missing_file_is_created_for_its_owner_alone() {
    let (world, file) = world_with("home/.aws/credentials", "");
    fs::create_dir(world.directory.join("home")).unwrap();
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&file), section(&world));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o7777, 0o700);
    // Nothing changes where nothing has to, but that what a crash left is swept.
    let leftover = file.with_file_name(".credentials.rolekeeper-tmp");
    write(&leftover, "half of a sec");
    let before = fs::metadata(&file).unwrap();
    world.run(&["refresh"]).assert_silent_success();
    let after = fs::metadata(&file).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert!(!leftover.exists());
}

#[test]
fn what_others_wrote_stays_and_what_they_took_comes_back() {
    let (world, file) = world_with("credentials-of-others", "");
    let others = "# mine\r\n[default]\r\naws_access_key_id = AKIAOTHER ; keep\r\n\r\n[empty]";
    write(&file, others);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    world.run(&["refresh"]).assert_silent_success();
    let merged = read(&file);
    assert_eq!(merged, format!("{others}\r\n\r\n{}", section(&world).replace('\n', "\r\n")));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
    // Another program took the section back; no refresh is due, and it returns.
    write(&file, others);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&file), merged);
    // New credentials replace the old ones in their place.
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_ne!(read(&file), merged);
    assert_eq!(read(&file), format!("{others}\r\n\r\n{}", section(&world).replace('\n', "\r\n")));
}

#[test]
fn a_file_that_cannot_be_understood_is_left_alone() {
    let (world, file) = world_with("shared", "");
    for (text, part) in [
        ("no section = 1\n", "line 1 is a property above the first section header"),
        ("[a]\nhalf a li", "line 2 has no `=`"),
        ("[ instancecrossaccount ]\n", "for some SDKs and not for others"),
    ] {
        write(&file, text);
        let inode = fs::metadata(&file).unwrap().ino();
        let parts = ["profile `instancecrossaccount`", "shared", "is left as it is", part, "mend the file"];
        world.run(&["refresh"]).assert_failure(73, &parts);
        assert_eq!((read(&file).as_str(), fs::metadata(&file).unwrap().ino()), (text, inode));
    }
    // The agent's own files are up to date all the same, and `print` serves them.
    assert_eq!(world.run(&["print", NAME]).code, 0);
    let status = world.run(&["status", "--json"]);
    assert!(status.stdout.contains("is left as it is"), "{status:?}");
    // Mended, it is merged without another refresh, and the error is forgotten.
    write(&file, "[a]\nk = v\n");
    let before = section(&world);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&file), format!("[a]\nk = v\n\n{before}"));
    let status = world.run(&["status", "--json"]);
    assert!(!status.stdout.contains("last_error"), "{status:?}");
}

#[test]
fn an_empty_file_is_filled_once_and_left_alone_later() {
    let (world, file) = world_with("shared", "");
    write(&file, "");
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&file), section(&world));
    for empty in ["", "\n", " \r\n"] {
        write(&file, empty);
        world
            .run(&["refresh", "--force"])
            .assert_failure(73, &["was not empty before, and is", "restore the file"]);
        assert_eq!(read(&file), empty);
    }
    // Removed is another matter: nothing of anybody's can be lost.
    fs::remove_file(&file).unwrap();
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&file), section(&world));
}

#[test]
fn links_and_what_is_no_file_are_refused() {
    let (world, file) = world_with("shared", "");
    write(&world.directory.join("real"), "[a]\n");
    symlink("real", &file).unwrap();
    world.run(&["refresh"]).assert_failure(73, &["is not a regular file", "name the file itself"]);
    assert_eq!(read(&world.directory.join("real")), "[a]\n");
    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    world.run(&["refresh"]).assert_failure(73, &["is not a regular file"]);
    // The agent's own files are replaced whole; nobody can merge there.
    world.write(
        "config",
        format!(
            "{INSTANCE_CROSS_ACCOUNT}rolekeeper_credentials_file = {}/credentials\n",
            world.out().display()
        ),
    );
    world.run(&["refresh"]).assert_failure(73, &["replaced whole", "outside of the output directory"]);
}

#[test]
fn two_of_our_own_lose_nothing() {
    const ROUNDS: usize = 12;
    let worlds: Vec<World> = (0..4).map(|_| World::new("")).collect();
    let file = worlds[0].directory.join("shared");
    write(&file, "[other]\nk = v\n");
    for (number, world) in worlds.iter().enumerate() {
        let config = INSTANCE_CROSS_ACCOUNT.replace(NAME, &format!("p{number}"));
        world.write("config", format!("{config}rolekeeper_credentials_file = {}\n", file.display()));
    }
    std::thread::scope(|scope| {
        for world in &worlds {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    world.run(&["refresh", "--force"]).assert_silent_success();
                }
            });
        }
    });
    let text = read(&file);
    assert!(text.starts_with("[other]\nk = v\n"), "{text}");
    assert_eq!(text.matches('[').count(), worlds.len() + 1, "{text}");
    for (number, world) in worlds.iter().enumerate() {
        let published = world.published(&format!("profiles/p{number}/credentials"));
        let (_, section) = published.split_once(&format!("[p{number}]\n")).unwrap();
        assert!(text.contains(&format!("[p{number}]\n{section}")), "p{number} lost its update: {text}");
    }
}

/// How another program that takes no lock writes its own key.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Reads, truncates and writes, as `aws configure set` does.
    InPlace,
    /// Writes a temporary and renames it.
    Rename,
}

/// Rotates beside a program that takes no lock; returns how many of its changes there were, and how many were lost.
fn beside_a_stranger(manner: Manner, rounds: usize) -> (usize, usize) {
    let (world, file) = world_with("shared", "");
    write(&file, "[other]\ncounter = 0\n");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stranger = scope.spawn(|| {
            let (mut count, mut lost) = (0_usize, 0_usize);
            while !over.load(Ordering::Relaxed) {
                let text = read(&file);
                let found = text.lines().find_map(|line| line.strip_prefix("counter = ")).map(str::to_owned);
                lost = lost.saturating_add(usize::from(found != Some(count.to_string())));
                let next = text.replace(
                    &format!("counter = {}\n", found.unwrap_or_default()),
                    &format!("counter = {}\n", count.saturating_add(1)),
                );
                match manner {
                    Manner::InPlace => {
                        let mut open = fs::File::create(&file).unwrap();
                        rest(Duration::from_micros(300));
                        open.write_all(next.as_bytes()).unwrap();
                    }
                    Manner::Rename => {
                        let temporary = world.directory.join("theirs");
                        write(&temporary, &next);
                        assert!(rename(&temporary, &file));
                    }
                }
                count = count.saturating_add(1);
                rest(Duration::from_millis(30));
            }
            (count, lost)
        });
        for _ in 0..rounds {
            let run = world.run(&["refresh", "--force"]);
            assert!(run.code == 0 || run.stderr.contains("changes all the time"), "{run:?}");
        }
        over.store(true, Ordering::Relaxed);
        let counted = stranger.join().unwrap();
        // What a stranger may take from us is back after the next run.
        world.run(&["refresh"]).assert_silent_success();
        assert!(read(&file).contains(&section(&world)));
        counted
    })
}

/// The window that the README measures, about one change in a thousand, is hit by chance now and then, and one hit in
/// so few rounds says nothing; what is asserted is that a change is noticed as a rule.
fn is_little(count: usize, lost: usize) -> bool {
    count > 20 && lost.saturating_mul(10) <= count
}

#[test]
fn of_a_program_that_writes_in_place_little_is_lost() {
    let (count, lost) = beside_a_stranger(Manner::InPlace, 60);
    println!("measured: {lost} of {count} changes of a program that writes in place were lost");
    assert!(is_little(count, lost), "{lost} of {count}");
}

#[test]
fn of_a_program_that_renames_little_is_lost() {
    let (count, lost) = beside_a_stranger(Manner::Rename, 60);
    println!("measured: {lost} of {count} changes of a program that renames were lost");
    assert!(is_little(count, lost), "{lost} of {count}");
}

/// A user that no machine knows.
const STRANGER: u32 = 54_321;

/// A directory of the stranger's in `world`, whose own is opened for passing.
fn home(world: &World) -> PathBuf {
    fs::set_permissions(&world.directory, fs::Permissions::from_mode(0o711)).unwrap();
    let home = world.directory.join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(STRANGER), Some(STRANGER)).unwrap();
    home
}

#[test]
fn in_the_directory_of_another_user_that_user_does_the_work() {
    if !is_root("writing as another user") {
        return;
    }
    let (world, file) = world_with("home/.aws/credentials", "");
    let home = home(&world);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(read(&file), section(&world));
    for path in [home.join(".aws"), file.clone(), file.with_file_name(".credentials.rolekeeper-lock")] {
        assert_eq!(fs::metadata(&path).unwrap().uid(), STRANGER, "{}", path.display());
    }
    // What this user could not do alone is not done: writing where only root may, and giving files away.
    let roots = world.directory.join("roots");
    fs::create_dir(&roots).unwrap();
    fs::remove_dir_all(home.join(".aws")).unwrap();
    symlink(&roots, home.join(".aws")).unwrap();
    world.run(&["refresh"]).assert_failure(73, &["as user 54321", "cannot open"]);
    assert_eq!(fs::read_dir(&roots).unwrap().count(), 0);
    // Directories of root's keep the owner of the file that is there.
    let apps = roots.join("credentials");
    write(&apps, "[app]\n");
    chown(&apps, Some(STRANGER), Some(7)).unwrap();
    world.write(
        "config",
        format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_credentials_file = {}\n", apps.display()),
    );
    world.run(&["refresh"]).assert_silent_success();
    let found = fs::metadata(&apps).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (STRANGER, 7, 0o644));
    assert_eq!(read(&apps), format!("[app]\n\n{}", section(&world)));
    // Where everybody may create files, root does not look for its own.
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o1777)).unwrap();
    world.run(&["refresh"]).assert_failure(73, &["is not written by root", "mode 1777"]);
}

#[test]
fn an_owner_who_swaps_everything_gains_nothing() {
    if !is_root("a hostile owner of the directory") {
        return;
    }
    const DURATION: Duration = Duration::from_secs(8);
    let (world, file) = world_with("home/.aws/credentials", "");
    let home = home(&world);
    let victim = world.directory.join("victim");
    fs::create_dir(&victim).unwrap();
    // Everybody may look, so that a write there would not fail for want of passage alone.
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o755)).unwrap();
    write(&victim.join("credentials"), "[root]\naws_access_key_id = ROOTSECRET\n");
    fs::set_permissions(victim.join("credentials"), fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(victim.join("credentials")).unwrap();
    let script = format!(
        "cd {home} || exit 1\n\
         while :; do\n\
         rm -rf .aws; mkdir .aws; ln -s {victim}/credentials .aws/credentials\n\
         rm -rf .aws; ln -s {victim} .aws\n\
         rm -f .aws; mkdir .aws; ln {victim}/credentials .aws/credentials\n\
         rm -rf .aws; mkdir .aws; ln -s {victim}/new .aws/.credentials.rolekeeper-tmp; ln -s {victim}/lock .aws/.credentials.rolekeeper-lock\n\
         rm -rf .aws; mkdir .aws; mkfifo .aws/credentials\n\
         rm -rf .aws; mkdir .aws; echo '[mine]' > .aws/credentials; sleep 0.12\n\
         mv .aws away; ln -s {victim} .aws; rm .aws; mv away .aws\n\
         done 2>/dev/null",
        home = home.display(),
        victim = victim.display(),
    );
    let mut attacker = std::process::Command::new("setpriv");
    attacker.args(["--reuid=54321", "--regid=54321", "--clear-groups", "sh", "-c", &script]);
    let mut attacker = attacker.spawn().expect("setpriv of util-linux is needed");
    let agents: Vec<World> = (0..3).map(|_| World::new(&read(&world.directory.join("config")))).collect();
    let deadline = uptime() + DURATION.as_secs_f64();
    let work = |agent: &World| {
        let (mut merges, mut errors) = (0_u32, 0_u32);
        while uptime() < deadline {
            let run = agent.run(&["refresh"]);
            let outcome = if run.code == 0 { &mut merges } else { &mut errors };
            *outcome = outcome.saturating_add(1);
            assert!(!run.stderr.contains("ROOTSECRET"), "{run:?}");
        }
        (merges, errors)
    };
    let outcomes = std::thread::scope(|scope| {
        let running: Vec<_> = agents.iter().map(|agent| scope.spawn(|| work(agent))).collect();
        let outcomes: Vec<_> = running.into_iter().map(|agent| agent.join().unwrap()).collect();
        let (merges, errors): (Vec<u32>, Vec<u32>) = outcomes.into_iter().unzip();
        (merges.iter().sum::<u32>(), errors.iter().sum::<u32>())
    });
    attacker.kill().unwrap();
    attacker.wait().unwrap();
    println!("measured: {} merges and {} errors against a hostile owner", outcomes.0, outcomes.1);
    assert!(outcomes.0 > 0 && outcomes.1 > 0, "{outcomes:?}: the two never met");
    let after = fs::metadata(victim.join("credentials")).unwrap();
    assert_eq!(read(&victim.join("credentials")), "[root]\naws_access_key_id = ROOTSECRET\n");
    let seen =
        |found: &fs::Metadata| (found.ino(), found.uid(), found.mode(), found.mtime(), found.mtime_nsec());
    assert_eq!(seen(&before), seen(&after));
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 1, "something was created");
    let mut left = vec![home];
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(
            found.uid() == STRANGER || path == file && found.ino() == before.ino(),
            "{} is root's",
            path.display()
        );
        if found.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// Seconds since the machine started.
fn uptime() -> f64 {
    read(Path::new("/proc/uptime")).split(' ').next().unwrap().parse().unwrap()
}

/// The directory of the mount point is as it was.
const WRITABLE: &str = "true";
/// It is read-only, as in a container whose one writable file is mounted from outside.
const READ_ONLY: &str =
    "d=$(dirname \"$2\") && mount --bind \"$d\" \"$d\" && mount -o remount,bind,ro \"$d\"";

/// Runs `rolekeeper refresh` in a mount namespace where `real` is mounted on `target`, after the script `before`.
fn refresh_with_mount(world: &World, real: &Path, target: &Path, before: &str) -> Run {
    let plain = world.command(&["refresh", "--force"]);
    let mut command = std::process::Command::new("unshare");
    let mount = format!("{before} && mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"");
    command.args(["-m", "sh", "-c", &mount, "sh"]).arg(real).arg(target).arg(plain.get_program());
    command.args(plain.get_args()).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Run::of(&mut command)
}

#[test]
fn a_mount_point_is_refused_or_written_in_place() {
    if !is_root("mounting a file") {
        return;
    }
    let may_mount = std::process::Command::new("unshare").args(["-m", "true"]).output();
    if !may_mount.is_ok_and(|outcome| outcome.status.success()) {
        println!("skipped: this machine allows no mount namespaces");
        return;
    }
    let (world, file) = world_with("mounted/shared file", "");
    let real = world.directory.join("real");
    fs::create_dir(file.parent().unwrap()).unwrap();
    write(&file, "");
    write(&real, "[other]\nk = v\n");
    let inode = fs::metadata(&real).unwrap().ino();
    let refused = refresh_with_mount(&world, &real, &file, WRITABLE);
    refused.assert_failure(73, &["is a mount point", "rolekeeper_write_mode = in-place"]);
    assert_eq!(read(&real), "[other]\nk = v\n");
    let config = read(&world.directory.join("config"));
    world.write("config", format!("{config}rolekeeper_write_mode = in-place\n"));
    refresh_with_mount(&world, &real, &file, WRITABLE).assert_silent_success();
    assert_eq!(read(&real), format!("[other]\nk = v\n\n{}", section(&world)));
    assert_eq!(fs::metadata(&real).unwrap().ino(), inode);
    // Nor does its directory have to be writable.
    refresh_with_mount(&world, &real, &file, READ_ONLY).assert_silent_success();
    assert_eq!(read(&real), format!("[other]\nk = v\n\n{}", section(&world)));
    assert_eq!(fs::metadata(&real).unwrap().ino(), inode);
    // Where it is no mount point, nothing is written in place.
    let before = fs::metadata(&file).unwrap().ino();
    write(&file, "[other]\n");
    world.run(&["refresh", "--force"]).assert_silent_success();
    assert_ne!(fs::metadata(&file).unwrap().ino(), before);
    // The same for the agent's own files.
    let own = world.out().join("profiles").join(NAME).join("credentials");
    refresh_with_mount(&world, &real, &own, WRITABLE).assert_silent_success();
    let mut text = String::new();
    fs::File::open(&real).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.starts_with("# Published by rolekeeper") && text.contains(&format!("[{NAME}]")), "{text}");
    world.write("config", config);
    refresh_with_mount(&world, &real, &own, WRITABLE);
    let status = world.run(&["status", "--json"]).stdout;
    assert!(status.contains("is a mount point") && status.contains("mount its directory"), "{status}");
    assert_eq!(read(&real), text);
}
