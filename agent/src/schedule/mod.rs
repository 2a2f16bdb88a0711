//! When credentials are refreshed: the due time of one set of credentials, and the plan of a daemon that keeps many
//! profiles. Pure: events and clock readings come in, what to do comes out. Knows neither what a refresh is nor
//! how to wait, and holds no names.

mod backoff;
mod due;
mod moment;
mod plan;
mod slot;
#[cfg(test)]
mod years;

pub use backoff::hold;
pub use due::{Fraction, Lifetime};
pub use moment::Now;
pub use plan::{Carried, Known, Outcome, Plan, ProfileIndex, Step};
