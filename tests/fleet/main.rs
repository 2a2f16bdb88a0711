//! A fleet under the real plan: 100,000 hosts that boot within a minute, one-hour sessions, eight hours. Prints what
//! STS gets to see, without and with an outage of ten minutes and a reload of the whole fleet, and fails where the
//! goals are not met. The same on every machine: the seeds are fixed and no clock is read.

#[cfg(test)]
mod rates;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod table;

fn main() {
    #[cfg(test)]
    table::run();
}
