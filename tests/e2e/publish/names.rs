//! Profile names that are no file names.

use fake_aws::scenario;

use super::{Keys, assumed, listing, switching};
use crate::support::World;

#[test]
fn names_that_would_leave_the_directory_stay_in_it() {
    let names = ["a/b", "..", ".", "../../evil", ".hidden", "a%2Fb", "x:y+z@w"];
    let config: String = names.iter().map(|name| switching(name, scenario::EFGH)).collect();
    let world = World::new(&config);
    world.run(&["refresh"]).assert_silent_success();
    let expected = ["%2E", "%2E.", "%2E.%2F..%2Fevil", "%2Ehidden", "a%252Fb", "a%2Fb", "x%3Ay+z@w"];
    assert_eq!(listing(&world.out().join("profiles")), expected);
    assert_eq!(assumed(&world), 7);
    assert!(!world.directory.join("evil").exists());
    for name in names {
        let printed = world.run(&["print", "--", name]);
        assert_eq!(printed.code, 0, "{printed:?}");
        Keys::parse(&printed.stdout);
    }
    assert_eq!(assumed(&world), 7, "each name finds its own files again");
}

#[test]
fn names_longer_than_a_file_name_are_told_apart() {
    let (one, two) = ("n".repeat(300) + "1", "n".repeat(300) + "2");
    let world = World::new(&(switching(&one, scenario::EFGH) + &switching(&two, &scenario::hop(1))));
    world.run(&["refresh"]).assert_silent_success();
    let directories = listing(&world.out().join("profiles"));
    assert_eq!(directories.len(), 2);
    assert!(directories.iter().all(|name| name.starts_with("nnn") && name.len() < 200), "{directories:?}");
    let printed = |name: &str| Keys::parse(&world.run(&["print", name]).stdout);
    assert_ne!(printed(&one), printed(&two));
    assert_eq!(assumed(&world), 2);
}

#[test]
fn a_name_that_looks_like_an_option_is_printed_after_two_dashes() {
    let world = World::new(&switching("-v", scenario::EFGH));
    world.run(&["refresh", "--", "-v"]).assert_silent_success();
    assert!(world.published("config").contains(" -- -v\n"));
    Keys::parse(&world.run(&["print", "--", "-v"]).stdout);
}
