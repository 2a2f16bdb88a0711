//! rolekeeper: keeps AWS role credentials fresh on a host.

pub mod config;
pub mod credentials;
pub mod environment;
