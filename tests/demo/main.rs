//! `cargo demo`: the cross-account scenario from end to end, against a fake AWS in this process.

fn main() {}
