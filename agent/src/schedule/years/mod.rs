//! Simulated years of one daemon: random lifetimes, outages, refusals, clock steps, suspends and reloads. What the
//! plan promises is judged by the true time, which the plan never sees.

mod profile;
mod world;

use self::world::{Learning, World};

const DAY: i64 = 24 * 3_600_000;

#[test]
fn years_with_a_time_service_keep_every_promise() {
    for seed in 0..6 {
        let world = World::new(seed, Learning::FromImds).live(90 * DAY);
        world.assert_eventful();
    }
}

#[test]
fn years_without_a_time_service_keep_every_promise() {
    for seed in 100..106 {
        let world = World::new(seed, Learning::FromRefusals).live(90 * DAY);
        world.assert_eventful();
    }
}
