//! rolekeeper: keeps AWS role credentials fresh on a host.

pub mod clock;
pub mod credentials;
pub mod environment;
pub mod timestamp;
pub mod transport;
