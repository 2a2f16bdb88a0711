//! How long is waited after a failure, and for whom.

use super::*;

fn failed(pace: Disposition, expiration: Option<OffsetDateTime>) -> Outcome {
    Outcome::Failed { pace, expiration, wish: Duration::ZERO }
}

#[test]
fn failures_wait_as_their_disposition_says() {
    for (disposition, bounds) in [
        (Disposition::Retry, [(0, 2), (0, 4), (1, 8), (2, 16), (4, 32), (7, 61), (7, 61)].as_slice()),
        (Disposition::Local, &[(0, 2), (0, 4), (1, 8)]),
        (Disposition::Refused, &[(150, 301), (300, 601), (600, 1201), (900, 1801), (900, 1801)]),
        (Disposition::Broken, &[(150, 301), (300, 601)]),
    ] {
        let mut clocks = Clocks::new();
        let mut plan = fresh(&clocks, &[1]);
        run(&mut plan, &mut clocks, 60).unwrap();
        for (shortest, longest) in bounds {
            plan.record(ProfileIndex(0), failed(disposition, None), &clocks.0);
            let (_, after) = run(&mut plan, &mut clocks, 4000).unwrap();
            assert!((*shortest..=*longest).contains(&after), "{disposition:?}: {after} not in {bounds:?}");
        }
        plan.record(ProfileIndex(0), Outcome::Published { due: clocks.due_in(5000) }, &clocks.0);
        assert_eq!(run(&mut plan, &mut clocks, 9000).unwrap().1, 5000);
        plan.record(ProfileIndex(0), failed(disposition, None), &clocks.0);
        let (_, after) = run(&mut plan, &mut clocks, 9000).unwrap();
        assert!(after <= bounds[0].1, "a success makes the count start anew: {after}");
    }
}

#[test]
fn a_refused_profile_is_tried_before_what_is_published_ends() {
    for life in [12, 20, 45, 170_u64] {
        let mut clocks = Clocks::new();
        let mut plan = fresh(&clocks, &[1]);
        run(&mut plan, &mut clocks, 60).unwrap();
        let expiration = clocks.due_in((life * 60).try_into().unwrap());
        let (mut left, mut tries) = (life * 60, 0);
        while left > 0 {
            plan.record(ProfileIndex(0), failed(Disposition::Refused, expiration), &clocks.0);
            let (_, after) = run(&mut plan, &mut clocks, 4000).unwrap();
            assert!(after >= 150 && (left <= 300 || after < left), "{life}: {after} of {left}");
            left = left.saturating_sub(after);
            tries += 1;
        }
        assert!(tries <= 14, "{tries} tries in {life} minutes");
    }
}

#[test]
fn a_service_that_wants_to_be_left_alone_is_not_asked_before_within_what_is_published_can_bear() {
    for (wish, life, bounds) in [
        (45, None, (45, 47)),
        (600, Some(7200), (600, 603)),
        (86_400, None, (300, 303)),
        (86_400, Some(7200), (1800, 1803)),
        (86_400, Some(1200), (600, 603)),
        (86_400, Some(90), (60, 63)),
        (86_400, Some(-1), (300, 303)),
    ] {
        let mut clocks = Clocks::new();
        let mut plan = fresh(&clocks, &[1, 5]);
        run(&mut plan, &mut clocks, 60).unwrap();
        let expiration = life.and_then(|life| clocks.due_in(life));
        let wish = Duration::from_secs(wish);
        let throttled = Outcome::Failed { pace: Disposition::Retry, expiration, wish };
        plan.record(ProfileIndex(0), throttled, &clocks.0);
        let (batch, after) = run(&mut plan, &mut clocks, 60).unwrap();
        assert!(batch == [1] && after <= 4, "nobody else waits for it, and nobody takes it along: {batch:?}");
        let due = clocks.due_in(90_000);
        plan.record(ProfileIndex(1), Outcome::Published { due }, &clocks.0);
        let known = Known::Published { issued: clocks.0.wall, due };
        plan.reload([0, 1].map(|index| Carried { before: Some(ProfileIndex(index)), known }), &clocks.0);
        let (_, rest) = run(&mut plan, &mut clocks, 4000).unwrap();
        assert!((bounds.0..=bounds.1).contains(&(after + rest)), "{wish:?} {life:?}: {after} + {rest}");
        plan.record(ProfileIndex(0), failed(Disposition::Retry, None), &clocks.0);
        assert!(run(&mut plan, &mut clocks, 60).unwrap().1 <= 5, "the next failure waits as it would have");
    }
}

#[test]
fn a_wish_that_other_processes_have_heard_is_respected_and_the_next_failure_is_the_second_in_a_row() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[-1]);
    let until = clocks.due_in(700).unwrap();
    plan.hold(ProfileIndex(0), Disposition::Retry, 1, until, &clocks.0);
    assert_eq!(run(&mut plan, &mut clocks, 2000), Some((vec![0], 700)));
    plan.record(ProfileIndex(0), failed(Disposition::Retry, None), &clocks.0);
    assert!(run(&mut plan, &mut clocks, 2000).unwrap().1 <= 4, "soon, as after an outage");
}

#[test]
fn what_other_processes_were_refused_is_not_asked_for_at_the_start() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[3000, -1]);
    plan.add(Known::Nothing, &clocks.0);
    let until = clocks.due_in(700).unwrap();
    (0..3).for_each(|index| plan.hold(ProfileIndex(index), Disposition::Refused, 3, until, &clocks.0));
    assert_eq!(run(&mut plan, &mut clocks, 2000), Some((vec![1, 2], 700)));
    plan.record(ProfileIndex(1), failed(Disposition::Refused, None), &clocks.0);
    plan.record(ProfileIndex(2), Outcome::Published { due: None }, &clocks.0);
    let (batch, after) = run(&mut plan, &mut clocks, 2000).unwrap();
    assert_eq!(batch, [1], "the fourth refusal, which waits like one");
    assert!((900..=1801).contains(&after), "{after}");
    assert_eq!(run(&mut plan, &mut clocks, 4000), Some((vec![0], 3000 - 700 - after)), "which is fresh");
}

#[test]
fn a_misconfigured_profile_waits_for_a_reload_and_for_nothing_else() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[1, 200_000]);
    run(&mut plan, &mut clocks, 60).unwrap();
    plan.record(ProfileIndex(0), failed(Disposition::Misconfigured, None), &clocks.0);
    clocks.set(7200);
    assert_eq!(run(&mut plan, &mut clocks, 100).unwrap().0, [1], "the step concerns the other");
    plan.record(ProfileIndex(1), Outcome::Published { due: None }, &clocks.0);
    assert_eq!(run(&mut plan, &mut clocks, 100_000), None);
    let known = Known::Published { issued: NOON, due: clocks.due_in(50_000) };
    let carried = [1, 0].map(|index| Carried { before: Some(ProfileIndex(index)), known });
    plan.reload(carried, &clocks.0);
    let (batch, after) = run(&mut plan, &mut clocks, 60).unwrap();
    assert_eq!(batch, [1], "under its new index");
    assert!(after <= 31);
}
