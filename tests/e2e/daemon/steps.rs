//! Clocks that jump under a daemon that waits, and hosts that sleep: refreshed within a minute, and once.

use std::time::Duration;

use fake_aws::Kind;
use nix::sys::signal::Signal;
use time::Duration as Span;

use super::{Daemon, SOON, has_published, key, let_pass, report, switching, wait_until};
use crate::observe::{at_once, timed};
use crate::support::wrong_clock::WrongClock;
use crate::support::{Run, World};

/// Within it the daemon has looked at the clocks, and has refreshed what is in doubt.
const MINUTE: Duration = Duration::from_secs(60);

/// What becomes of the clocks while the daemon waits.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The wall clock is set by so much; AWS's time is what it was.
    Step(Span),
    /// The host sleeps for so long, and time passes for everybody.
    Sleep(Span),
}

const PROFILES: u64 = 3;

/// A daemon under a clock that can be set, with [`PROFILES`] sessions of an hour.
fn waiting(world: &World, clock: WrongClock) -> Daemon {
    WrongClock::set(world, Span::ZERO, Span::ZERO);
    let daemon = Daemon::of(world, &mut clock.wrap(world, &world.command(&["run"])));
    let is_published = |number| has_published(world, &format!("p{number}"));
    wait_until(SOON, "the first credentials", || (0..PROFILES).all(is_published));
    // The batch has ended, and the daemon waits.
    wait_until(SOON, "the common files", || world.out().join("status.json").exists());
    let_pass(Duration::from_secs(1));
    daemon
}

fn profiles() -> String {
    (0..PROFILES).map(|number| switching(&format!("p{number}"), fake_aws::scenario::EFGH)).collect()
}

fn happens(event: Event, world: &World) {
    match event {
        Event::Step(offset) => WrongClock::set(world, offset, Span::ZERO),
        Event::Sleep(time) => {
            world.fake.imds().clock_offset(time);
            world.fake.sts().clock_offset(time);
            WrongClock::set(world, time, time);
        }
    }
}

#[test]
fn a_clock_that_is_set_and_a_host_that_slept_lead_to_one_refresh_within_a_minute() {
    let events = [
        Event::Step(Span::hours(2)),
        Event::Step(Span::hours(-2)),
        Event::Step(Span::days(-3650)),
        Event::Sleep(Span::hours(2)),
    ];
    at_once(events, |event| {
        let Some(clock) = WrongClock::ahead_by(Span::ZERO) else { return };
        let world = World::new(&profiles());
        let mut daemon = waiting(&world, clock);
        let before: Vec<String> = (0..PROFILES).map(|number| key(&world, &format!("p{number}"))).collect();
        let assumed = || world.fake.counts().requests(Kind::AssumeRole);
        assert_eq!(assumed(), PROFILES);
        happens(event, &world);
        let is_new = |number: usize| key(&world, &format!("p{number}")) != before[number];
        let ((), time) = timed(|| {
            wait_until(MINUTE, &format!("{event:?}"), || (0..before.len()).all(is_new));
        });
        report(&format!("figure: {event:?} is noticed and answered within {} s", time.as_secs()));
        // The daemon looks at the clocks again, knows AWS's time, and finds nothing to do.
        let_pass(Duration::from_secs(5));
        assert_eq!(assumed(), 2 * PROFILES, "{event:?}");
        let status = Run::of(&mut clock.wrap(&world, &world.command(&["status", "--json"])));
        let fresh = status.stdout.matches("\"state\": \"fresh\"").count();
        assert_eq!(fresh, before.len(), "{event:?}: {}", status.stdout);
        daemon.stop(Signal::SIGTERM);
    });
}

#[test]
fn a_daemon_that_was_stopped_makes_up_for_it_at_once() {
    let world = World::new(&switching(super::NAME, fake_aws::scenario::EFGH));
    world.fake.sts().session_lifetime(Some(Duration::from_secs(6)));
    let mut daemon = Daemon::publishing(&world);
    daemon.signal(Signal::SIGSTOP);
    let before = key(&world, super::NAME);
    let_pass(Duration::from_secs(8));
    assert!(!world.life(super::NAME).is_positive(), "nobody was there to refresh it");
    daemon.signal(Signal::SIGCONT);
    wait_until(SOON, "new credentials", || key(&world, super::NAME) != before);
    assert!(world.life(super::NAME).is_positive());
    daemon.stop(Signal::SIGTERM);
}
