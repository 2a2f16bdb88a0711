//! The whole program against the fake AWS: one file for each part of what it promises.

#[cfg(test)]
mod merge;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod support;
