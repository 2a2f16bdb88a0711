//! The table, and the goals that it has to meet.

use std::ops::Range;
use std::time::Duration;

use crate::rates::Summary;
use crate::simulation::{BOOT, Course, HOSTS, Story, simulate};

const MINUTE: usize = 60;
const HOUR: usize = 3600;

const STEADY: Range<usize> = 2 * HOUR..4 * HOUR;
const OUTAGE: Range<usize> = 3 * HOUR..3 * HOUR + 10 * MINUTE;
const AFTER_OUTAGE: Range<usize> = OUTAGE.end..OUTAGE.end + 10 * MINUTE;
const ECHO: Range<usize> = AFTER_OUTAGE.end..OUTAGE.end + 2 * HOUR;
const MUCH_LATER: Range<usize> = ECHO.end..ECHO.end + 30 * MINUTE;
const RELOAD: Range<usize> = HOUR..HOUR + MINUTE;

/// Runs the simulations, prints the table, and panics where a goal is missed.
pub(crate) fn run() {
    let outage = milliseconds(OUTAGE.start)..milliseconds(OUTAGE.end);
    let stories = [
        Story { end: milliseconds(STEADY.end), ..Story::default() },
        Story { end: milliseconds(MUCH_LATER.end), outage, ..Story::default() },
        Story { end: milliseconds(RELOAD.end), reload: Some(milliseconds(RELOAD.start)), ..Story::default() },
    ];
    let [undisturbed, disturbed, reloaded] = std::thread::scope(|scope| {
        stories.each_ref().map(|story| scope.spawn(|| simulate(story))).map(|run| run.join().unwrap())
    });

    println!("Requests to STS: {HOSTS} hosts, one-hour sessions, booted within {} s", BOOT / 1000);
    println!(
        "{:<34} {:>9} {:>10} {:>7} {:>9} {:>10}",
        "", "mean /s", "60 s peak", "x mean", "1 s peak", "by chance"
    );
    let boot = row("boot: the first minute", &undisturbed, 0..MINUTE);
    row("until the second hour", &undisturbed, MINUTE..2 * HOUR);
    let steady = row("after the second hour", &undisturbed, STEADY);
    row("outage: its ten minutes", &disturbed, OUTAGE);
    let after = row("outage: the ten minutes after it", &disturbed, AFTER_OUTAGE);
    row("outage: the two hours after it", &disturbed, ECHO);
    let later = row("outage: from then on", &disturbed, MUCH_LATER);
    let reload = row("reload of all hosts: its minute", &reloaded, RELOAD);
    println!("Least life left in any file: {}; with the outage {}", life(&undisturbed), life(&disturbed));

    assert!(steady.minute <= 1.25 * steady.mean, "the highest minute after the second hour");
    assert!(steady.second <= steady.chance, "the highest second after the second hour");
    assert!(f64::from(after.second) <= 2.0 * f64::from(boot.second), "the highest second after the outage");
    assert!(later.minute <= 1.25 * later.mean, "the highest minute two hours after the outage");
    assert!(
        f64::from(reload.second) <= 2.2 * f64::from(boot.second),
        "the highest second of a reload, chance included"
    );
    assert!(undisturbed.least_life >= Duration::from_secs(1800), "half of the session");
    assert!(
        disturbed.least_life >= Duration::from_secs(1800 - 600 - 65),
        "less the outage and one last wait"
    );
}

fn row(name: &str, course: &Course, seconds: Range<usize>) -> Summary {
    let summary = course.rates.summary(seconds);
    let Summary { mean, second, minute, chance } = summary;
    let times = minute / mean;
    println!("{name:<34} {mean:>9.1} {minute:>10.1} {times:>7.2} {second:>9} {:>10}", format!("<= {chance}"));
    summary
}

fn life(course: &Course) -> String {
    let seconds = course.least_life.as_secs();
    format!("{} min {} s", seconds / 60, seconds % 60)
}

fn milliseconds(seconds: usize) -> u64 {
    u64::try_from(seconds).unwrap().saturating_mul(1000)
}
