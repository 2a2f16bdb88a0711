//! A fake AWS on loopback, for rolekeeper's tests and its demonstration.
//!
//! It speaks `IMDSv2` over plain HTTP, STS and a little S3 over TLS with a CA of its own, and it is as strict as
//! the services are where a client could be wrong without noticing: signatures are recomputed from the received
//! bytes by the official `aws-sigv4` crate, parameters are held against their limits, and roles are assumed only
//! where the caller's permissions and the role's trust policy both say so.
//!
//! ```no_run
//! use fake_aws::{Action, FakeAws, Fault, Kind, Options};
//!
//! # fn main() -> Result<(), fake_aws::StartError> {
//! let fake = FakeAws::start(Options::new())?;
//! fake.sts().fail(Fault::new(Action::error(503, "ServiceUnavailable")).on(Kind::AssumeRole).times(2));
//! println!("{} {}", fake.imds_url(), fake.sts_url());
//! # Ok(())
//! # }
//! ```
//!
//! The world it starts with is that of AWS's guide to switching roles; see [`scenario`].

mod base64;
mod certificates;
mod clock;
mod container;
mod control;
mod device;
mod error;
mod fake;
mod fault;
mod form;
mod http;
mod iam;
mod imds;
mod issue;
mod options;
mod perform;
mod record;
mod s3;
pub mod scenario;
mod server;
mod state;
mod sts;
mod verify;

pub use control::{Container, Devices, Iam, Imds, S3, Session, Sts};
pub use device::{Certificate, Order};
pub use error::StartError;
pub use fake::FakeAws;
pub use fault::{Action, Fault};
pub use http::Reply;
pub use iam::{Effect, Keys, Permission, Role, SessionTag, Trust, TrustStatement};
pub use imds::{ExpirationForm, Refusal};
pub use options::{Issuer, Options, Validity};
pub use record::{Counts, Kind, Received, Service};
pub use sts::Assertion;
