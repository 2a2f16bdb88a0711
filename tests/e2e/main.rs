//! The whole program against the fake AWS: one file for each part of what it promises.

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod hook;
#[cfg(test)]
mod host;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod imds;
#[cfg(test)]
mod merge;
#[cfg(test)]
mod mfa;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod sts;
#[cfg(test)]
mod support;
