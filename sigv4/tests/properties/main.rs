//! Random requests: equal to the official `aws-sigv4` wherever both follow the same rule, and never a panic.

mod invariants;
mod random;
mod reference;
