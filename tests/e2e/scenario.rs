//! The scenarios of the AWS user guide's page on switching roles.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

#[test]
fn an_instance_profile_switches_to_a_role_of_another_account() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    for name in ["credentials", "credentials.json", "env", "config"] {
        let path = world.out().join("profiles/instancecrossaccount").join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{}", path.display());
    }
    let whoami = world.run(&["whoami"]);
    let expected = "arn:aws:sts::222222222222:assumed-role/efgh/rolekeeper-i-0123456789abcdef0";
    assert!(whoami.stdout.contains(expected), "{whoami:?}");
}
