//! rolekeeper: keeps AWS role credentials fresh on a host.

pub mod anchor;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod credentials;
pub mod daemon;
pub mod disposition;
pub mod encode;
pub mod environment;
pub mod error;
pub mod fingerprint;
pub mod hook;
pub mod host;
pub mod json;
pub mod logging;
pub mod output;
pub mod refresh;
pub mod retry;
pub mod schedule;
pub mod source;
pub mod sts;
pub mod terminal;
pub mod timestamp;
pub mod transport;
