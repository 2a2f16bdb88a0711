//! Requests counted by the second, and what of such counts is chance.

use std::ops::Range;

/// Requests in each second of a simulation.
#[derive(Debug)]
pub(crate) struct Rates(Vec<u32>);

/// A part of a simulation in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// Requests per second in the mean.
    pub(crate) mean: f64,
    /// The most requests in one second.
    pub(crate) second: u32,
    /// The highest mean of sixty seconds in a row.
    pub(crate) minute: f64,
    /// The highest second that a Poisson stream of the same mean and length stays below, 99 times of 100.
    pub(crate) chance: u32,
}

#[expect(clippy::arithmetic_side_effects, reason = "counts of a simulation are small")]
impl Rates {
    pub(crate) fn new(seconds: usize) -> Self {
        Self(vec![0; seconds])
    }

    /// Counts a request at so many milliseconds; what comes after the end is not counted.
    pub(crate) fn count(&mut self, milliseconds: u64) {
        if let Some(count) = self.0.get_mut(usize::try_from(milliseconds / 1000).unwrap()) {
            *count += 1;
        }
    }

    /// The numbers of some seconds, at least sixty.
    pub(crate) fn summary(&self, seconds: Range<usize>) -> Summary {
        let counts = &self.0[seconds];
        let minutes = counts.windows(60).map(|minute| minute.iter().sum::<u32>());
        let mean = f64::from(counts.iter().sum::<u32>()) / as_float(counts.len());
        Summary {
            mean,
            second: counts.iter().copied().max().unwrap(),
            minute: f64::from(minutes.max().unwrap()) / 60.0,
            chance: poisson_maximum(mean, counts.len()),
        }
    }
}

/// The smallest number that the highest of `seconds` Poisson counts of this mean does not exceed in 99 % of cases.
#[expect(clippy::arithmetic_side_effects, reason = "ends when the sum of the probabilities is near one")]
fn poisson_maximum(mean: f64, seconds: usize) -> u32 {
    let wanted = 0.99_f64.ln() / as_float(seconds);
    let mut most = 0_u32;
    let mut logarithm = -mean;
    let mut below = logarithm.exp();
    while below.ln() < wanted {
        most += 1;
        logarithm += (mean / f64::from(most)).ln();
        below += logarithm.exp();
    }
    most
}

fn as_float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}
