//! Random requests: equal to the official `aws-sigv4` wherever both follow the same rule, and never a panic.

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod random;
#[cfg(test)]
mod reference;
