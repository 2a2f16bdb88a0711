//! The security token service: what is retried and what is final, what is said, and how a wrong clock is told from a
//! wrong key. Hostile answers are in `hostile`.

mod endpoints;
mod exchange;
mod held;
mod options;
mod outage;
mod refusals;
mod retries;
mod skew;

use fake_aws::scenario::{self, PRODUCTION};
use fake_aws::{Action, Fault, Kind};

use crate::support::World;

const PROFILE: &str = "instancecrossaccount";

/// Alice assumes a role with long-term keys: IMDS has no say, neither in credentials nor in time.
fn with_keys() -> World {
    let world = World::new(&format!(
        "[profile keys]\nrole_arn = {PRODUCTION}\nsource_profile = keys\nregion = us-east-1\n"
    ));
    let keys = scenario::alice();
    world.write(
        "credentials",
        format!(
            "[keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            keys.access_key_id, keys.secret_access_key
        ),
    );
    world
}

fn fail_with(world: &World, action: Action) {
    world.fake.sts().fail(Fault::new(action).on(Kind::AssumeRole));
}

fn fail_times(world: &World, action: Action, times: u32) {
    world.fake.sts().fail(Fault::new(action).on(Kind::AssumeRole).times(times));
}

fn statuses(world: &World) -> Vec<Option<u16>> {
    world.assumptions().iter().map(|request| request.status).collect()
}
