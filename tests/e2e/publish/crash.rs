//! What a crash left is swept by whichever run comes next.

use super::{CROSS_ACCOUNT, FILES, listing};
use crate::host::plant;
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

fn leftovers(world: &World) -> Vec<String> {
    let paths = world.snapshot().into_iter().map(|(path, _)| path.display().to_string());
    paths.filter(|path| path.ends_with(".rolekeeper-tmp")).collect()
}

#[test]
fn temporaries_are_swept_even_where_nothing_is_due() {
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    world.run(&["refresh"]).assert_silent_success();
    for directory in ["", "state", CROSS_ACCOUNT] {
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
