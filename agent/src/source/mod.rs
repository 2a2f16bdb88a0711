//! Base sources: where a chain of roles starts. A source is one file here and one arm where chains start.

pub mod imds;
