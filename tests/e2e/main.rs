//! The whole program against the fake AWS: one file for each part of what it promises.

mod scenario;
mod support;
