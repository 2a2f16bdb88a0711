//! The figures of a run on one screen, and what they have to be.

use std::time::Duration;

use crate::daemon::Cost;
use crate::deeds::JUDGED;
use crate::doubts::{Doubt, Doubts};
use crate::options::Options;

/// The last minute may need so much more memory than the second, in percent.
const GROWTH: u64 = 5;
/// Or so many KiB, a few pages: of the little that the daemon allocates, one page is some percent already. It is one
/// percent of what is resident.
const PAGES: u64 = 16;

/// What was measured of the steady daemon.
#[derive(Debug)]
pub(crate) struct Samples(pub(crate) Vec<(Duration, Cost)>);

impl Samples {
    /// The median of `what` between two instants, in KiB.
    fn median(&self, from: Duration, until: Duration, what: fn(&Cost) -> u64) -> Option<u64> {
        let within = self.0.iter().filter(|(at, _)| *at >= from && *at < until);
        let mut sizes: Vec<u64> = within.map(|(_, cost)| what(cost)).collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied()
    }

    /// The medians of `what` for each minute of the run.
    fn by_minute(&self, options: &Options, what: fn(&Cost) -> u64) -> Vec<u64> {
        let minute = |number: u64| Duration::from_secs(60 * number);
        let median = |number| self.median(minute(number), minute(number + 1), what);
        (0..options.seconds.div_ceil(60)).filter_map(median).collect()
    }

    pub(crate) fn most(&self, what: impl Fn(&Cost) -> usize) -> usize {
        self.0.iter().map(|(_, cost)| what(cost)).max().unwrap_or(0)
    }
}

/// What else is told.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) sessions: u64,
    pub(crate) faults: usize,
    pub(crate) kills: usize,
    pub(crate) reloads: usize,
    pub(crate) hooks: usize,
    pub(crate) stalled: Duration,
    /// The steady daemon when nothing is left to do, and one that has just started.
    pub(crate) idle: Cost,
    pub(crate) new: Cost,
}

/// Prints the figures; whether they are as they have to be.
pub(crate) fn print(options: &Options, samples: &Samples, tally: &Tally, doubts: &Doubts) -> bool {
    let Options { seconds, seed, profiles } = options;
    println!("Soak: {profiles} profiles, sessions of 30 s, {seconds} s, --seed {seed}");
    println!(
        "  happened   {} sessions issued, {} faults, {} reloads, {} kills, {} hooks",
        tally.sessions, tally.faults, tally.reloads, tally.kills, tally.hooks
    );
    println!(
        "  watched    {} reads, {} commands; the machine stood still for {:.1} s",
        doubts.reads(),
        doubts.commands.load(std::sync::atomic::Ordering::Relaxed),
        tally.stalled.as_secs_f64()
    );
    let count = |doubt| doubts.count(doubt);
    println!(
        "  found      {} torn, {} wrong, {} stale reads; {} commands failed without need",
        count(Doubt::Torn),
        count(Doubt::Wrong),
        count(Doubt::Stale),
        count(Doubt::Command)
    );
    println!(
        "  at work    at most {} threads, {} descriptors, {} KiB",
        samples.most(|cost| cost.threads),
        samples.most(|cost| cost.descriptors.len()),
        samples.most(|cost| usize::try_from(cost.resident).unwrap_or(usize::MAX))
    );
    let (idle, new) = (&tally.idle, &tally.new);
    println!(
        "  at rest    {} threads, {} descriptors, {} KiB; a new daemon has {} and {}; {} left behind",
        idle.threads,
        idle.descriptors.len(),
        idle.resident,
        new.threads,
        new.descriptors.len(),
        count(Doubt::Leaked)
    );
    let words = |sizes: &[u64]| sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    let allocated = samples.by_minute(options, |cost| cost.allocated);
    println!("  resident   {} KiB, by minute", words(&samples.by_minute(options, |cost| cost.resident)));
    println!("  allocated  {} KiB, by minute", words(&allocated));
    let is_flat = match allocated[..] {
        // Shorter runs have no weather that is the same twice.
        [_, second, .., last] if options.seconds >= JUDGED => {
            let percent = last as f64 * 100.0 / second as f64 - 100.0;
            println!("  memory     {percent:+.1} % from the second minute to the last");
            last <= second + (second * GROWTH / 100).max(PAGES)
        }
        _ => true,
    };
    doubts.examples().iter().for_each(|example| println!("{example}"));
    let is_clean = [Doubt::Torn, Doubt::Wrong, Doubt::Stale, Doubt::Command, Doubt::Leaked]
        .iter()
        .all(|doubt| count(*doubt) == 0);
    is_clean && is_flat
}
