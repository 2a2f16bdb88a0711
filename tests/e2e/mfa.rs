//! `mfa_serial`: the question at the terminal, and what happens where there is none. `script` makes the terminals.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use fake_aws::scenario::{self, ALICE};
use fake_aws::{Permission, Role, Trust, TrustStatement};

use crate::daemon::let_pass;
use crate::host::{has_program, quoted};
use crate::observe::timed;
use crate::support::World;

const DEVICE: &str = "arn:aws:iam::111111111111:mfa/alice";
const PROMPT: &str = "MFA code of `arn:aws:iam::111111111111:mfa/alice` for profile `";

fn guarded(name: &str) -> String {
    format!("arn:aws:iam::222222222222:role/{name}")
}

/// Roles that alice may assume with a second factor alone, each with a profile of its name.
fn world(names: &[&str]) -> World {
    let keys = scenario::alice();
    let mut config = format!(
        "[profile alice]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        keys.access_key_id, keys.secret_access_key
    );
    for name in names {
        let role = guarded(name);
        config.push_str(&format!(
            "[profile {name}]\nrole_arn = {role}\nsource_profile = alice\nregion = us-east-1\nmfa_serial = {DEVICE}\n"
        ));
    }
    let world = World::new(&config);
    for name in names {
        let trust = Trust::nobody().and(TrustStatement::new(ALICE).mfa());
        let role = Role::new(&guarded(name)).trust(trust).permission(Permission::allow("*", "*"));
        world.fake.iam().add_role(role);
    }
    world
}

/// A program at a terminal of its own.
struct AtTerminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl AtTerminal {
    /// Runs the binary with `arguments`, and `after` behind them in the words of a shell.
    fn start(world: &World, arguments: &[&str], after: &str) -> Self {
        Self::start_behind("", world, arguments, after)
    }

    /// The same, with the words `before` in front.
    fn start_behind(before: &str, world: &World, arguments: &[&str], after: &str) -> Self {
        let described = world.command(arguments);
        let mut line = format!("{before}{}", quoted(described.get_program()));
        for argument in described.get_args() {
            line.push(' ');
            line.push_str(&quoted(argument));
        }
        let mut command = Command::new("script");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
        command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["-q", "-e", "-c", &format!("{line} {after}"), "/dev/null"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keys, screen, seen: String::new() }
    }

    /// Reads the screen until it shows `text` behind all that was seen before.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let mut new = String::new();
        while !new.contains(text) {
            let mut bytes = [0; 512];
            let count = self.screen.read(&mut bytes).unwrap();
            assert!(count > 0, "`{text}` is missing on the screen: {}{new}", self.seen);
            new.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        self.seen.push_str(&new);
    }

    fn type_in(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
        self.keys.flush().unwrap();
    }

    /// The exit code, and all that the screen has shown.
    fn end(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        (self.child.wait().unwrap().code().unwrap(), self.seen)
    }
}

#[test]
fn the_code_is_asked_for_at_the_terminal_and_nothing_of_it_is_shown() {
    if !has_program("script") {
        return;
    }
    let world = world(&["admin"]);
    let mut terminal = AtTerminal::start(&world, &["refresh", "-v"], "");
    terminal.expect(&format!("{PROMPT}admin`: "));
    terminal.type_in(b"12345\n");
    terminal.expect("A code has six digits. MFA code");
    terminal.type_in(b"abcdef\r");
    terminal.expect("A code has six digits. MFA code");
    terminal.type_in(b"12399\x7f\x08456\r");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains("12345") && !screen.contains("123456") && !screen.contains("456"), "{screen}");
    let sent = &world.assumptions()[0];
    assert_eq!((sent.parameter("SerialNumber"), sent.parameter("TokenCode")), (Some(DEVICE), Some("123456")));
    assert_eq!(world.document("admin")["Version"], 1);
    // Fresh credentials ask nobody, with or without a terminal.
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(world.assumptions().len(), 1);
}

#[test]
fn print_and_exec_ask_too_and_their_output_stays_clean() {
    if !has_program("script") {
        return;
    }
    let world = world(&["admin"]);
    let answer = world.directory.join("answer");
    let mut terminal =
        AtTerminal::start(&world, &["print", "admin"], &format!("</dev/null >{}", quoted(&answer)));
    terminal.expect(PROMPT);
    terminal.type_in(b"123456\n");
    assert_eq!(terminal.end().0, 0);
    let printed = std::fs::read_to_string(&answer).unwrap();
    assert_eq!(printed, world.published("profiles/admin/credentials.json"));

    std::fs::remove_dir_all(world.out()).unwrap();
    let mut terminal = AtTerminal::start(&world, &["exec", "admin", "--", "/usr/bin/env"], "");
    terminal.expect(PROMPT);
    terminal.type_in(b"123456\n");
    let (code, screen) = terminal.end();
    assert!(code == 0 && screen.contains("AWS_ACCESS_KEY_ID=ASIA"), "{screen}");
}

#[test]
fn a_wrong_code_is_named_as_such() {
    if !has_program("script") {
        return;
    }
    let world = world(&["admin"]);
    let mut terminal = AtTerminal::start(&world, &["refresh"], "");
    terminal.expect(PROMPT);
    terminal.type_in(b"654321\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 77, "{screen}");
    for part in ["MultiFactorAuthentication failed", "each counts once"] {
        assert!(screen.contains(part), "`{part}` is missing: {screen}");
    }
    assert!(!screen.contains("654321"), "{screen}");
    assert!(world.is_unpublished("admin"));
}

#[test]
fn who_mistypes_the_code_again_and_again_may_try_again_at_once() {
    if !has_program("script") {
        return;
    }
    let world = world(&["admin"]);
    for code in ["654321", "654322", "654323", "654324", "123456"] {
        let mut terminal = AtTerminal::start(&world, &["refresh"], "");
        terminal.expect(PROMPT);
        terminal.type_in(format!("{code}\n").as_bytes());
        let (ended, screen) = terminal.end();
        assert_eq!(ended, if code == "123456" { 0 } else { 77 }, "{screen}");
    }
    assert!(!world.is_unpublished("admin"));
}

#[test]
fn a_code_counts_once_and_each_role_asks_for_its_own() {
    if !has_program("script") {
        return;
    }
    let world = world(&["one", "two"]);
    world.fake.sts().mfa_codes(&["111111", "222222"]);
    let mut terminal = AtTerminal::start(&world, &["refresh"], "");
    terminal.expect(&format!("{PROMPT}one`: "));
    terminal.type_in(b"111111\n");
    terminal.expect(&format!("{PROMPT}two`: "));
    terminal.type_in(b"111111\n");
    terminal.expect("This code was used already; wait for the next one.");
    terminal.type_in(b"222222\n");
    let (code, screen) = terminal.end();
    assert_eq!((code, world.assumptions().len()), (0, 2), "{screen}");
}

/// A script that types is quicker than the program that it types for.
#[test]
fn codes_that_are_typed_ahead_are_taken() {
    if !has_program("script") {
        return;
    }
    let world = world(&["one", "two"]);
    world.fake.sts().mfa_codes(&["111111", "222222"]);
    let mut terminal = AtTerminal::start_behind("read -r go && ", &world, &["refresh"], "");
    terminal.type_in(b"go\n111111\n222222\n");
    let (code, screen) = terminal.end();
    assert_eq!((code, world.assumptions().len()), (0, 2), "{screen}");
}

#[test]
fn a_hop_in_between_asks_as_well() {
    if !has_program("script") {
        return;
    }
    let world = world(&["admin"]);
    let config = std::fs::read_to_string(world.directory.join("config")).unwrap();
    let next = guarded("next");
    world.write(
        "config",
        format!("{config}[profile next]\nrole_arn = {next}\nsource_profile = admin\nregion = us-east-1\n"),
    );
    world.fake.iam().add_role(Role::new(&next).trust(Trust::of(&guarded("admin"))));
    let mut terminal = AtTerminal::start(&world, &["exec", "next", "--", "/bin/true"], "");
    terminal.expect(&format!("{PROMPT}admin`: "));
    terminal.type_in(b"123456\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    let codes: Vec<_> =
        world.assumptions().iter().map(|sent| sent.parameter("TokenCode").map(str::to_owned)).collect();
    assert_eq!(codes, [Some("123456".to_owned()), None]);
    assert!(world.is_unpublished("admin") && !world.is_unpublished("next"));
}

#[test]
fn an_interrupt_ends_the_command_and_leaves_the_terminal_as_it_was() {
    if !has_program("script") {
        return;
    }
    let world = world(&["admin"]);
    let mut terminal = AtTerminal::start(&world, &["refresh"], "; stty -a");
    terminal.expect(PROMPT);
    terminal.type_in(b"12\x03");
    let (_, screen) = terminal.end();
    for setting in ["echo", "icanon", "isig"] {
        assert!(screen.split_whitespace().any(|word| word == setting), "{setting} is off: {screen}");
    }
    assert!(world.assumptions().is_empty() && world.is_unpublished("admin"));

    let mut terminal = AtTerminal::start(&world, &["refresh"], "");
    terminal.expect(PROMPT);
    terminal.type_in(b"\x04");
    let (code, screen) = terminal.end();
    assert!(code == 78 && screen.contains("nobody has typed it"), "{code} {screen}");
}

/// Ninety seconds in all, whatever is typed meanwhile; then the terminal is as before and the other profiles go on.
#[test]
fn a_code_that_nobody_completes_is_waited_for_ninety_seconds() {
    if !has_program("script") {
        return;
    }
    let world = world(&["admin"]);
    let config = std::fs::read_to_string(world.directory.join("config")).unwrap();
    world.write("config", format!("{config}{}", crate::support::INSTANCE_CROSS_ACCOUNT));
    let mut terminal = AtTerminal::start(&world, &["refresh"], "; echo code $?; stty -a");
    terminal.expect(&format!("{PROMPT}admin`: "));
    let ((code, screen), time) = timed(|| {
        for key in [b"1", b"2", b"3", b"4", b"\n", b"1", b"2", b"3"] {
            let_pass(Duration::from_secs(10));
            terminal.type_in(key);
        }
        terminal.end()
    });
    assert_eq!(code, 0, "{screen}");
    assert!((85..=100).contains(&time.as_secs()), "{time:?}: {screen}");
    for part in ["A code has six digits", "nobody has typed it", "code 78", DEVICE] {
        assert!(screen.contains(part), "`{part}` is missing: {screen}");
    }
    for setting in ["echo", "icanon", "isig"] {
        assert!(screen.split_whitespace().any(|word| word == setting), "{setting} is off: {screen}");
    }
    assert!(world.is_unpublished("admin") && !world.is_unpublished("instancecrossaccount"));
    assert!(world.assumptions().iter().all(|request| request.parameter("SerialNumber").is_none()));
}

#[test]
fn without_a_terminal_nothing_is_asked_and_no_other_profile_suffers() {
    if !has_program("setsid") {
        return;
    }
    let world = world(&["admin"]);
    let config = std::fs::read_to_string(world.directory.join("config")).unwrap();
    world.write("config", format!("{config}{}", crate::support::INSTANCE_CROSS_ACCOUNT));
    // A session of its own has no terminal, wherever the tests run.
    let described = world.command(&["refresh"]);
    let mut command = Command::new("setsid");
    command.arg("-w").arg(described.get_program()).args(described.get_args()).env_clear();
    command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let (run, time) = timed(|| crate::support::Run::of(&mut command));
    run.assert_failure(78, &["profile `admin`", DEVICE, "there is no terminal", "rolekeeper refresh"]);
    assert!(time < Duration::from_secs(30), "{time:?}");
    assert!(!world.is_unpublished("instancecrossaccount") && world.is_unpublished("admin"));
    assert!(world.assumptions().iter().all(|request| request.parameter("SerialNumber").is_none()));
}

#[test]
fn the_daemon_asks_nobody() {
    let world = world(&["admin"]);
    let config = std::fs::read_to_string(world.directory.join("config")).unwrap();
    world.write("config", format!("{config}{}", crate::support::INSTANCE_CROSS_ACCOUNT));
    let daemon = crate::daemon::Daemon::publishing(&world);
    for part in ["`mfa_serial` of profile `admin`", "`run` has nobody to ask", "rolekeeper refresh"] {
        daemon.wait_for_log(part);
    }
    assert!(world.is_unpublished("admin"));
}
