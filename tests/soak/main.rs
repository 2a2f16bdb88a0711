//! A soak: the daemon keeps two hundred profiles with sessions of thirty seconds, while services fail in every way,
//! roles are taken away, signals come, hooks fail, one-shots work beside it and a second daemon is killed again and
//! again. Three readers watch every file the whole time. At the end nothing may have been torn, wrong or stale, and
//! nothing leaked.
//!
//! `cargo test -p rolekeeper --test soak -- --seconds 600 --seed 7 --profiles 200`; the seed is printed, and decides
//! what happens when. `ROLEKEEPER_BINARY` names another program than the one that was just built.

#[cfg(test)]
mod daemon;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod deeds;
#[cfg(test)]
mod doubts;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod options;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod reader;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod run;
#[cfg(test)]
mod stage;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod table;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod visitor;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod watch;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of one run")]
mod weather;

fn main() {
    #[cfg(test)]
    run::run();
}
