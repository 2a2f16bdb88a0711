//! The plan, rule by rule.

use time::macros::datetime;

use super::*;
use crate::config::model::RefreshSettings;
use crate::schedule::{Fraction, Lifetime};

mod waits;

const NOON: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// A host whose clocks are moved by hand.
struct Clocks(Now);

impl Clocks {
    fn new() -> Self {
        Self(Now { boot: Duration::from_secs(5000), wall: NOON, offset: time::Duration::ZERO })
    }

    fn pass(&mut self, seconds: u64) {
        self.0.boot = self.0.boot.saturating_add(Duration::from_secs(seconds));
        self.set(i64::try_from(seconds).unwrap());
    }

    /// Sets the wall clock forward or back.
    fn set(&mut self, seconds: i64) {
        self.0.wall = self.0.wall.saturating_add(time::Duration::seconds(seconds));
    }

    /// Credentials that are due in so many seconds.
    fn due_in(&self, seconds: i64) -> Option<OffsetDateTime> {
        Some(self.0.wall.saturating_add(self.0.offset).saturating_add(time::Duration::seconds(seconds)))
    }
}

/// A plan whose profiles have credentials that are due in so many seconds.
fn fresh(clocks: &Clocks, dues: &[i64]) -> Plan {
    let mut plan = Plan::new(1, &clocks.0);
    for due in dues {
        plan.add(Known::Published { issued: clocks.0.wall, due: clocks.due_in(*due) }, &clocks.0);
    }
    plan
}

/// Obeys the plan until it wants a refresh, and gives what and after how many seconds.
fn run(plan: &mut Plan, clocks: &mut Clocks, most: u64) -> Option<(Vec<usize>, u64)> {
    let start = clocks.0.boot;
    loop {
        let passed = clocks.0.boot.saturating_sub(start).as_secs();
        match plan.next(&clocks.0) {
            Step::Refresh(batch) => return Some((batch.iter().map(|index| index.0).collect(), passed)),
            Step::Wait(_) if passed >= most => return None,
            Step::Wait(wait) => {
                assert!(wait <= Duration::from_secs(40), "a step is noticed within 40 seconds");
                clocks.pass(wait.as_millis().div_ceil(1000).try_into().unwrap());
            }
        }
    }
}

#[test]
fn what_is_not_published_is_due_at_once_and_what_is_fresh_at_its_time() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[1000]);
    plan.add(Known::Nothing, &clocks.0);
    plan.add(Known::Published { issued: NOON, due: None }, &clocks.0);
    assert_eq!(run(&mut plan, &mut clocks, 0), Some((vec![1], 0)));
    plan.record(ProfileIndex(1), Outcome::Published { due: clocks.due_in(5000) }, &clocks.0);
    assert_eq!(run(&mut plan, &mut clocks, 2000), Some((vec![0], 1000)));
    plan.record(ProfileIndex(0), Outcome::Published { due: None }, &clocks.0);
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![1], 4000)));
    plan.record(ProfileIndex(1), Outcome::Published { due: None }, &clocks.0);
    assert_eq!(run(&mut plan, &mut clocks, 100_000), None, "long-term keys are never due");
    assert_eq!(plan.next_due(&clocks.0), None);
}

#[test]
fn credentials_from_the_future_or_overdue_ones_are_not_fresh_at_start() {
    let clocks = Clocks::new();
    for (issued, due, kept) in [(0, 10, true), (299, 1000, true), (301, 1000, false), (-9000, 0, false)] {
        let mut plan = Plan::new(1, &clocks.0);
        let issued = NOON.saturating_add(time::Duration::seconds(issued));
        plan.add(Known::Published { issued, due: clocks.due_in(due) }, &clocks.0);
        assert_eq!(matches!(plan.next(&clocks.0), Step::Wait(_)), kept, "{issued} {due}");
    }
}

#[test]
fn profiles_under_way_are_not_given_out_twice() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[100, 4000]);
    assert_eq!(run(&mut plan, &mut clocks, 200), Some((vec![0], 100)));
    assert_eq!(run(&mut plan, &mut clocks, 10_000), Some((vec![1], 3900)));
    assert_eq!(run(&mut plan, &mut clocks, 10_000), None);
}

#[test]
fn what_falls_due_within_half_a_minute_is_gathered_and_nothing_waits_for_it() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[1029, 1000, 1031, 1015]);
    assert_eq!(run(&mut plan, &mut clocks, 2000), Some((vec![1, 3, 0], 1000)));
    assert_eq!(run(&mut plan, &mut clocks, 2000), Some((vec![2], 31)));
}

#[test]
fn short_sessions_are_not_refreshed_ever_earlier_for_the_sake_of_others() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[8, 10]);
    assert_eq!(run(&mut plan, &mut clocks, 20), Some((vec![0], 8)), "an eighth of ten seconds is gathered");
}

#[test]
fn an_idle_daemon_sleeps_long_and_is_not_late() {
    for due in [20, 41, 61, 79, 80, 81, 121, 130, 150, 161, 1801, 3600, 40_000] {
        let mut clocks = Clocks::new();
        let mut plan = fresh(&clocks, &[due]);
        let mut looks = 0;
        while let Step::Wait(wait) = plan.next(&clocks.0) {
            // Three sleeps and more divide every time well.
            let shortest = Duration::from_secs(if due > 120 { 30 } else { 20 });
            assert!(wait >= shortest && wait <= Duration::from_secs(40), "{due}: {wait:?}");
            clocks.0.boot = clocks.0.boot.saturating_add(wait);
            clocks.0.wall = clocks.0.wall.saturating_add(time::Duration::try_from(wait).unwrap());
            looks += 1;
        }
        assert!(looks <= due / 40 + 1, "{looks} looks in {due} s: one in 40 seconds, and one more");
        assert_eq!(clocks.0.boot.as_secs(), 5000_u64.saturating_add_signed(due), "not late");
    }
}

#[test]
fn a_step_of_hours_or_a_suspend_leads_to_a_refresh_within_a_minute() {
    for (step, asleep) in [(7200, 0), (-7200, 0), (70, 0), (-70, 0), (0, 7200), (-3600, 7200)] {
        let mut clocks = Clocks::new();
        let mut plan = fresh(&clocks, &[1800]);
        assert_eq!(plan.next(&clocks.0), Step::Wait(Duration::from_secs(40)));
        clocks.pass(40_u64.saturating_add(asleep));
        clocks.set(step);
        let (batch, after) = run(&mut plan, &mut clocks, 60).expect("a refresh within a minute");
        assert_eq!(batch, [0]);
        assert!(after <= 16, "{step} {asleep}: {after}, after up to 40 until it is noticed");
    }
}

#[test]
fn a_step_forth_and_a_step_back_count_both() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[20_000]);
    for step in [7200, -7200, -10_800, 10_800] {
        clocks.pass(40);
        clocks.set(step);
        assert!(run(&mut plan, &mut clocks, 60).is_some_and(|(_, after)| after <= 16), "{step}");
        plan.record(ProfileIndex(0), Outcome::Published { due: clocks.due_in(20_000) }, &clocks.0);
        assert_eq!(run(&mut plan, &mut clocks, 120), None, "one refresh, and no storm");
    }
}

#[test]
fn a_clock_that_keeps_jumping_causes_one_round_in_ten_minutes() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[20_000]);
    let mut rounds = 0;
    for minute in 0..300 {
        clocks.set(if minute % 2 == 0 { 7200 } else { -7200 });
        while let Step::Refresh(_) = plan.next(&clocks.0) {
            rounds += 1;
            plan.record(ProfileIndex(0), Outcome::Published { due: clocks.due_in(20_000) }, &clocks.0);
        }
        clocks.pass(60);
    }
    assert!((30..=34).contains(&rounds), "{rounds} in 300 minutes");
}

#[test]
fn a_host_that_wakes_for_seconds_only_is_refreshed_all_the_same() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[100]);
    let refreshed = (0..3).any(|_| {
        clocks.pass(900);
        run(&mut plan, &mut clocks, 0).is_some()
    });
    assert!(refreshed, "in the second of three short spells");
}

#[test]
fn a_step_during_a_refresh_puts_its_due_time_in_doubt() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[10]);
    assert_eq!(run(&mut plan, &mut clocks, 20), Some((vec![0], 10)));
    clocks.set(-7200);
    plan.record(ProfileIndex(0), Outcome::Published { due: clocks.due_in(9000) }, &clocks.0);
    let (_, after) = run(&mut plan, &mut clocks, 9000).unwrap();
    assert!(after <= 60, "{after}");
}

#[test]
fn an_offset_learnt_elsewhere_brings_the_due_time_nearer() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[1800, 9000]);
    clocks.pass(50);
    clocks.0.offset = time::Duration::seconds(1700);
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![0], 50)));
}

#[test]
fn extended_credentials_are_tried_again_in_five_to_fifteen_minutes() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[1]);
    run(&mut plan, &mut clocks, 60).unwrap();
    let mut waits = Vec::new();
    for _ in 0..200 {
        plan.record(ProfileIndex(0), Outcome::Extended, &clocks.0);
        waits.push(run(&mut plan, &mut clocks, 1000).unwrap().1);
    }
    assert!(waits.iter().all(|wait| (300..=901).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait < 360) && waits.iter().any(|wait| *wait > 840), "{waits:?}");
}

#[test]
fn credentials_that_are_due_on_arrival_are_no_reason_to_ask_at_once() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[1]);
    let mut tries = 0;
    while let Some((_, passed)) = run(&mut plan, &mut clocks, 3600) {
        assert!(passed <= 61);
        tries += 1;
        plan.record(ProfileIndex(0), Outcome::Published { due: clocks.due_in(-100) }, &clocks.0);
        if clocks.0.boot > Duration::from_secs(5000 + 3600) {
            break;
        }
    }
    assert!((70..=160).contains(&tries), "{tries} in an hour");
}

#[test]
fn a_reload_hastens_what_does_not_match_and_nothing_else() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[1000, 2000, 3000]);
    clocks.pass(100);
    let known = |due| Known::Published { issued: NOON, due: clocks.due_in(due) };
    let carried = |before, known| Carried { before: Some(ProfileIndex(before)), known };
    let new = Carried { before: None, known: Known::Nothing };
    let reused = Carried { before: None, known: known(500) };
    let unchanged = [carried(2, known(2900)), carried(0, known(900))];
    plan.reload([unchanged[0], new, carried(1, Known::Nothing), unchanged[1], reused], &clocks.0);
    let (mut batch, after) = run(&mut plan, &mut clocks, 60).unwrap();
    batch.sort_unstable();
    assert_eq!(batch, [1, 2]);
    assert!(after <= 31);
    let used = after;
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![4], 500 - used)));
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![3], 400)));
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![0], 2000)));
}

#[test]
fn a_reload_moves_what_is_due_at_another_time_by_new_settings() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[5000, 5000, 5000, 5000]);
    clocks.pass(100);
    let dues = [Some(200), Some(9000), Some(-50), None];
    let carried = |(index, due): (usize, Option<i64>)| Carried {
        before: Some(ProfileIndex(index)),
        known: Known::Published { issued: NOON, due: due.and_then(|due| clocks.due_in(due)) },
    };
    plan.reload(dues.into_iter().enumerate().map(carried).collect::<Vec<_>>(), &clocks.0);
    let (batch, soon) = run(&mut plan, &mut clocks, 9000).unwrap();
    assert_eq!(batch, [2], "overdue by the new settings");
    assert!(soon <= 31);
    let after = 200 - soon;
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![0], after)));
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![3], 4700)));
    assert_eq!(run(&mut plan, &mut clocks, 9000), Some((vec![1], 4100)));
}

#[test]
fn what_is_in_doubt_stays_so_whatever_a_reload_says_of_its_due_time() {
    let mut clocks = Clocks::new();
    let mut plan = fresh(&clocks, &[5000]);
    clocks.pass(40);
    clocks.set(7200);
    assert!(matches!(plan.next(&clocks.0), Step::Wait(_)), "it takes a moment");
    let known = Known::Published { issued: NOON, due: clocks.due_in(20_000) };
    plan.reload([Carried { before: Some(ProfileIndex(0)), known }], &clocks.0);
    assert!(run(&mut plan, &mut clocks, 60).is_some_and(|(_, after)| after <= 16));
}

#[test]
fn a_reload_a_step_or_a_resume_of_a_whole_fleet_is_spread() {
    let mut seconds = [[0; 31]; 3];
    for host in 0..6000 {
        for (event, counts) in seconds.iter_mut().enumerate() {
            let mut clocks = Clocks::new();
            let mut plan = Plan::new(host, &clocks.0);
            let known = Known::Published { issued: NOON, due: clocks.due_in(4000) };
            let index = plan.add(known, &clocks.0);
            match event {
                0 => plan.reload([Carried { before: Some(index), known: Known::Nothing }], &clocks.0),
                1 => clocks.set(-7200),
                _ => clocks.pass(7200),
            }
            plan.next(&clocks.0);
            let wait = plan.next_due(&clocks.0).unwrap().saturating_sub(clocks.0.boot);
            counts[usize::try_from(wait.as_secs()).unwrap()] += 1;
        }
    }
    assert!(seconds[0].iter().all(|count| *count <= 280), "200 in the mean: {seconds:?}");
    for event in &seconds[1..] {
        assert!(event.iter().all(|count| *count <= 500), "400 in the mean: {seconds:?}");
    }
}

#[test]
fn a_thousand_profiles_of_one_host_drift_apart_and_still_come_in_batches() {
    let settings = RefreshSettings { after_percent: 50, margin: Duration::from_secs(1200) };
    let mut clocks = Clocks::new();
    let mut plan = Plan::new(7, &clocks.0);
    for _ in 0..1000 {
        plan.add(Known::Nothing, &clocks.0);
    }
    let mut sizes = Vec::new();
    for generation in 0..3000 {
        let Some((batch, idle)) = run(&mut plan, &mut clocks, 9000) else { break };
        assert!(generation < 2 || idle >= 30, "a batch after {idle} s");
        sizes.push(batch.len());
        for profile in batch {
            let expiration = clocks.0.wall.saturating_add(time::Duration::HOUR);
            let jitter = Fraction::keyed(b"host", &format!("p{profile}"), generation);
            let due = Lifetime { issued: clocks.0.wall, expiration }.due(&settings, jitter);
            plan.record(ProfileIndex(profile), Outcome::Published { due: Some(due) }, &clocks.0);
        }
    }
    assert_eq!(sizes.len(), 3000);
    assert_eq!(sizes[0], 1000, "all at the start");
    let most = sizes.iter().skip(1).max().unwrap();
    assert!(*most <= 70, "{most} of a thousand in one batch");
}
