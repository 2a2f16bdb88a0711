//! The binary: one screen, everything else is in the library.
fn main() {}
