//! The instance metadata service: what is asked for, and what is made of every kind of answer. Hostile answers are in
//! `hostile`.

mod documents;
mod endpoint;
mod requests;
mod roles;
mod statuses;

use std::ffi::OsStr;

use crate::support::{Run, World};

/// The profile with everything configured that IMDS could tell beside credentials.
const ALL_CONFIGURED: &str = "[profile web]\nrole_arn = arn:aws:iam::222222222222:role/efgh\n\
     credential_source = Ec2InstanceMetadata\nregion = us-east-1\nrole_session_name = web\n";

fn run_with(world: &World, variables: &[(&str, &str)]) -> Run {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, OsStr::new(*value))).collect();
    world.run_with(&variables, &["refresh"])
}
