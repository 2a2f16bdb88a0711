//! Help, version, and command lines that make no sense; and the exit code of each kind of error.

use fake_aws::{Action, Fault};

use super::NAME;
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

#[test]
fn every_command_explains_itself() {
    let world = World::new("");
    let overview = Run::of(&mut world.bare_command(&["--help"]));
    for command in ["refresh", "print", "exec", "status", "whoami"] {
        assert!(overview.stdout.contains(&format!("\n  {command}")), "{overview:?}");
        let help = Run::of(&mut world.bare_command(&[command, "--help"]));
        assert_eq!((help.code, help.stderr.as_str()), (0, ""));
        assert!(help.stdout.starts_with(&format!("Usage: rolekeeper {command} ")), "{help:?}");
        assert!(help.stdout.contains("--output-dir DIRECTORY"), "{help:?}");
        assert!(help.stdout.lines().all(|line| line.len() <= 120), "{help:?}");
        assert_eq!(Run::of(&mut world.bare_command(&["-h", command])).stdout, help.stdout);
    }
    let with = |command: &str, option: &str| {
        Run::of(&mut world.bare_command(&[command, "--help"])).stdout.contains(option)
    };
    assert!(with("refresh", "--force") && !with("print", "--force"));
    assert!(with("print", "--format") && !with("status", "--format"));
    assert!(with("exec", "--min-life") && !with("whoami", "--min-life"));
    assert!(with("status", "--json") && !with("status", "--role-arn"));
}

#[test]
fn the_version_is_that_of_the_package() {
    let world = World::new("");
    for option in ["--version", "-V"] {
        let run = Run::of(&mut world.bare_command(&[option]));
        let expected = format!("rolekeeper {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((run.code, run.stdout, run.stderr.as_str()), (0, expected, ""));
    }
}

#[test]
fn command_lines_that_make_no_sense_are_refused_and_do_nothing() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let cases: &[(&[&str], &str)] = &[
        (&[], "no command"),
        (&["refersh"], "`refersh`"),
        (&["refresh", "--froce"], "`--froce`"),
        (&["refresh", "-x"], "`-x`"),
        (&["print", "--force", NAME], "`--force`"),
        (&["print", "--format", "xml", NAME], "xml"),
        (&["print", "--format"], "format"),
        (&["print", "one", "two"], "`two`"),
        (&["whoami", "one", "two"], "`two`"),
        (&["run", NAME], NAME),
        (&["status", "--json=yes"], "json"),
        (&["refresh", "--splay", "soon"], "soon"),
        (&["refresh", "--splay", "-1"], "-1"),
        (&["refresh", "--splay", "86401"], "86401"),
        (&["exec", NAME, "--min-life", "1h", "--", "true"], "1h"),
        (&["refresh", "--config", ""], "--config"),
        (&["refresh", "--config", "a", "--config", "b"], "twice"),
        (&["status", "--role-arn", "arn"], "--role-arn"),
    ];
    for (arguments, complaint) in cases {
        let run = Run::of(&mut world.bare_command(arguments));
        assert_eq!(run.stdout, "", "{arguments:?}");
        run.assert_failure(64, &["rolekeeper: ", complaint]);
    }
    assert_eq!(world.fake.counts().all_requests(), 0);
}

#[test]
fn exit_codes_tell_kinds_of_errors_apart() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    for (status, code, expected) in [
        (403, "AccessDenied", 77),
        (400, "MalformedPolicyDocument", 78),
        (400, "ExpiredToken", 77),
        (503, "ServiceUnavailable", 75),
    ] {
        world.fake.sts().fail(Fault::new(Action::error(status, code)));
        world.run(&["refresh"]).assert_failure(expected, &[NAME, code]);
        world.fake.sts().heal();
    }
    world.write("config", "[profile x]\nrole_arn = nonsense\ncredential_source = Ec2InstanceMetadata\n");
    world.run(&["refresh"]).assert_failure(78, &["config:2", "nonsense"]);
    for managed in ["", "[rolekeeper]\nmanaged = explicit\n[profile x]\nrole_arn = nonsense\n"] {
        world.write("config", managed);
        world.run(&["refresh"]).assert_failure(78, &["no profile to keep fresh in", "config", "role_arn"]);
        world.run(&["run"]).assert_failure(78, &["no profile to keep fresh in", "config", "role_arn"]);
    }
    world.run(&["refresh", "--config", "/no/such/file"]).assert_failure(78, &["/no/such/file"]);
}

#[test]
fn the_worst_of_several_profiles_decides() {
    let broken = "[profile broken]\nrole_arn = nonsense\ncredential_source = Ec2InstanceMetadata\n";
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{broken}"));
    world.fake.sts().fail(Fault::new(Action::error(403, "AccessDenied")));
    world.run(&["refresh"]).assert_failure(78, &["AccessDenied", "nonsense"]);
    world.run(&["refresh", NAME]).assert_failure(77, &["AccessDenied"]);
    world.fake.sts().heal();
    world.run(&["refresh"]).assert_failure(78, &["nonsense"]);
    assert!(world.out().join(format!("profiles/{NAME}/env")).exists(), "the other one is served");
}

#[test]
fn the_profile_of_the_environment_narrows_no_refresh() {
    let two = INSTANCE_CROSS_ACCOUNT.to_owned() + &INSTANCE_CROSS_ACCOUNT.replace(NAME, "other");
    let world = World::new(&two);
    Run::of(world.command(&["refresh"]).env("AWS_PROFILE", "other")).assert_silent_success();
    assert_eq!(super::assumed(&world), 2);
}
