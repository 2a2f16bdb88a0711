//! What a run is asked for, and the dice that its seed throws.

use std::time::Duration;

/// Short enough for `cargo test`.
const DEFAULT: Options = Options { seconds: 12, seed: 0, profiles: 40 };

/// How long, with which seed, with how many profiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) profiles: usize,
}

impl Options {
    /// Reads the command line. What belongs to the harness of other tests is none of ours.
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>, random: u64) -> Self {
        let arguments: Vec<String> = arguments.collect();
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            let text = arguments.get(at + 1).unwrap_or_else(|| panic!("{name} needs a number"));
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} needs a number, not `{text}`")))
        };
        let seconds = value("--seconds").unwrap_or(DEFAULT.seconds);
        let profiles = if seconds > 60 { 200 } else { DEFAULT.profiles };
        Self {
            seconds,
            seed: value("--seed").unwrap_or(random),
            profiles: value("--profiles").map_or(profiles, |count| count.try_into().unwrap()),
        }
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Numbers that a seed decides, by the generator `SplitMix64`.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to below `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    pub(crate) fn milliseconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// One of `things`.
    pub(crate) fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        let count = u64::try_from(things.len()).unwrap();
        &things[usize::try_from(self.between(0, count)).unwrap()]
    }
}
