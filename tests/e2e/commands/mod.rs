//! The commands, as scripts, SDKs and people use them: answers, environments, exit codes and silence.

mod exec;
mod print;
mod silence;
mod status;
mod usage;
mod whoami;

use std::fs;

use fake_aws::Kind;

use crate::host::plant;
use crate::support::World;

/// The name of the cross-account profile.
const NAME: &str = "instancecrossaccount";

/// How often a role was assumed.
fn assumed(world: &World) -> u64 {
    world.fake.counts().requests(Kind::AssumeRole)
}

/// Makes the agent believe that what it published is due, though it is still valid.
fn make_due(world: &World) {
    let path = world.out().join(format!("state/{NAME}.json"));
    let record = fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["published"]["due"] = "2020-01-01T00:00:00Z".into();
    plant(&path, record.to_string().as_bytes());
}

/// Publishes, as somebody else would have, a document for the profile `name`.
fn publish_by_hand(world: &World, name: &str, document: &str) {
    let directory = world.out().join("profiles").join(name);
    fs::create_dir_all(&directory).unwrap();
    plant(&directory.join("credentials.json"), document.as_bytes());
}
