//! Crash safety, over all.
