//! Owner, group and mode of published files. Giving files away takes root.

use std::process::Command;

use fake_aws::scenario;

use super::{CROSS_ACCOUNT, FILES, Keys, assumed, switching};
use crate::host::{
    NOBODY, as_nobody, give_away, has_program, has_root, mode_of, open_to_others, ownership, set_mode,
};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

const GIVEN_AWAY: &str = "rolekeeper_owner = 65534\nrolekeeper_group = 65534\nrolekeeper_mode = 0440\n";

#[test]
fn files_change_hands_and_directories_stay_the_agents() {
    if !has_root() {
        return;
    }
    let own = switching("own", &scenario::hop(1));
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{GIVEN_AWAY}{own}"));
    for _ in 0..2 {
        world.run(&["refresh", "--force"]).assert_silent_success();
        for name in FILES {
            let given = world.out().join(CROSS_ACCOUNT).join(name);
            assert_eq!(ownership(&given), (NOBODY, NOBODY, 0o440), "{name}");
            assert_eq!(ownership(&world.out().join("profiles/own").join(name)), (0, 0, 0o600), "{name}");
        }
        for (directory, mode) in [
            ("", 0o711),
            ("profiles", 0o711),
            (CROSS_ACCOUNT, 0o711),
            ("profiles/own", 0o700),
            ("state", 0o700),
        ] {
            assert_eq!(ownership(&world.out().join(directory)), (0, 0, mode), "{directory}");
        }
        for (name, mode) in [("credentials", 0o600), ("config", 0o644), ("status.json", 0o644)] {
            assert_eq!(ownership(&world.out().join(name)), (0, 0, mode), "{name}");
        }
    }
}

#[test]
fn what_is_given_away_is_not_in_the_agents_own_credentials_file() {
    if !has_root() {
        return;
    }
    let own = switching("own", &scenario::hop(1));
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{GIVEN_AWAY}{own}"));
    world.run(&["refresh"]).assert_silent_success();
    let credentials = world.published("credentials");
    assert!(
        credentials.contains("[own]") && !credentials.contains("[instancecrossaccount]"),
        "{credentials}"
    );
    let config = world.published("config");
    assert!(
        config.contains("[profile own]") && config.contains("[profile instancecrossaccount]"),
        "{config}"
    );
}

#[test]
fn the_owner_reads_its_own_and_nothing_else() {
    if !(has_root() && has_program("setpriv")) {
        return;
    }
    let own = switching("own", &scenario::hop(1));
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{GIVEN_AWAY}{own}"));
    let program = open_to_others(&world);
    world.run(&["refresh"]).assert_silent_success();
    let print = |name: &str| {
        let mut command = Command::new(&program);
        command.args(["print", "--output-dir"]).arg(world.out()).arg(name);
        Run::of(&mut as_nobody(&command))
    };
    assert_eq!(Keys::parse(&print("instancecrossaccount").stdout), Keys::of(&world, CROSS_ACCOUNT));
    let refused = print("own");
    assert_eq!((refused.code, refused.stdout.as_str()), (69, ""));
    assert!(refused.stderr.contains("ermission denied"), "{refused:?}");
    let list = Run::of(&mut as_nobody(Command::new("ls").arg(world.out().join("profiles"))));
    assert_ne!(list.code, 0, "who may pass need not see who else is there");
}

#[test]
fn a_mode_for_everybody_opens_the_way_and_no_more() {
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_mode = 0644\n"));
    world.run(&["refresh"]).assert_silent_success();
    for name in FILES {
        assert_eq!(mode_of(&world.out().join(CROSS_ACCOUNT).join(name)), 0o644, "{name}");
    }
    for (directory, mode) in [("", 0o711), ("profiles", 0o711), (CROSS_ACCOUNT, 0o711), ("state", 0o700)] {
        assert_eq!(mode_of(&world.out().join(directory)), mode, "{directory}");
    }
    assert_eq!(mode_of(&world.out().join("credentials")), 0o600);

    world.write("config", INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(mode_of(&world.out()), 0o700, "closed again with the setting");
    assert_eq!(mode_of(&world.out().join(CROSS_ACCOUNT).join("env")), 0o600);
}

#[test]
fn a_mode_that_somebody_changed_is_set_again() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    set_mode(&world.out().join(CROSS_ACCOUNT).join("env"), 0o666);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(mode_of(&world.out().join(CROSS_ACCOUNT).join("env")), 0o600);
}

#[test]
fn the_owner_of_given_files_causes_no_refresh_by_changing_their_mode_or_content() {
    if !has_root() {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{GIVEN_AWAY}"));
    world.run(&["refresh"]).assert_silent_success();
    let directory = world.out().join(CROSS_ACCOUNT);
    crate::host::plant(&directory.join("credentials.json"), b"{\"Version\":1}");
    set_mode(&directory.join("env"), 0o600);
    world.run(&["refresh"]).assert_silent_success();
    assert_eq!(assumed(&world), 1);
    world.run(&["refresh", "--force"]).assert_silent_success();
    Keys::of(&world, CROSS_ACCOUNT);
    assert_eq!(mode_of(&directory.join("env")), 0o440, "set again by the rotation");
    assert_eq!(assumed(&world), 2);
}

#[test]
fn print_hands_on_nothing_that_the_owner_of_given_files_has_written() {
    if !has_root() {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}{GIVEN_AWAY}"));
    world.run(&["refresh"]).assert_silent_success();
    let document = world.out().join(CROSS_ACCOUNT).join("credentials.json");
    let genuine = world.published("profiles/instancecrossaccount/credentials.json");
    for forged in ["{\"Version\":1}", &genuine.replace("ASIA", "ASIB"), ""] {
        crate::host::plant(&document, forged.as_bytes());
        let before = assumed(&world);
        let printed = world.run(&["print", "instancecrossaccount"]);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""), "{forged}");
        assert_eq!(assumed(&world), before + 1, "{forged}");
        assert_eq!(Keys::parse(&printed.stdout), Keys::of(&world, CROSS_ACCOUNT));
        // What is published is genuine again, and answers by itself.
        assert_eq!(world.run(&["print", "instancecrossaccount"]).stdout, printed.stdout);
        assert_eq!(assumed(&world), before + 1);
    }
}

#[test]
fn only_root_gives_files_away() {
    if !(has_root() && has_program("setpriv")) {
        return;
    }
    let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_owner = 0\n"));
    let program = open_to_others(&world);
    give_away(&world.directory.join("config"));
    std::fs::create_dir(world.out()).unwrap();
    give_away(&world.out());
    let described = world.command(&["refresh"]);
    let mut command = Command::new(program);
    command.args(described.get_args());
    for (name, value) in described.get_envs() {
        command.env(name, value.unwrap());
    }
    let run = Run::of(&mut as_nobody(&command));
    run.assert_failure(73, &["cannot set the owner of", "only root may give files away"]);
    assert!(!world.out().join(CROSS_ACCOUNT).join("credentials.json").exists());
}

#[test]
fn accounts_that_cannot_be_meant_are_refused_before_the_network() {
    for (owner, complaint) in [("61184", "DynamicUser"), ("no-such-account-here", "no-such-account-here")] {
        let world = World::new(&format!("{INSTANCE_CROSS_ACCOUNT}rolekeeper_owner = {owner}\n"));
        world.run(&["refresh"]).assert_failure(78, &["config:4", "rolekeeper_owner", complaint]);
        assert_eq!(world.fake.counts().all_requests(), 0);
    }
}
