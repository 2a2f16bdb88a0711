//! What is published: every file, where it lies, whose it is, and what happens to it when things go wrong.

mod concurrent;
mod crash;
mod files;
mod hostile;
mod names;
mod order;
mod owners;
mod places;
mod state;
mod storage;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fake_aws::Kind;
use serde_json::Value;

use crate::support::World;

/// The first line of every INI file.
const MARKER: &str = "# Published by rolekeeper; changes are overwritten, and it is not read as input.";

/// The directory of the cross-account profile.
const CROSS_ACCOUNT: &str = "profiles/instancecrossaccount";

/// The four files of each profile.
const FILES: [&str; 4] = ["credentials.json", "credentials", "env", "config"];

/// The members of a published document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

impl Keys {
    /// Those of the profile in `directory`, which is a whole document.
    fn of(world: &World, directory: &str) -> Self {
        Self::parse(&world.published(&format!("{directory}/credentials.json")))
    }

    fn parse(json: &str) -> Self {
        let json: Value = serde_json::from_str(json).unwrap();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        Self {
            access_key_id: text("AccessKeyId"),
            secret_access_key: text("SecretAccessKey"),
            session_token: text("SessionToken"),
            expiration: text("Expiration"),
        }
    }

    /// One section of a credentials file.
    fn section(&self, name: &str) -> String {
        format!(
            "\n[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
            self.access_key_id, self.secret_access_key, self.session_token
        )
    }
}

/// How often a role was assumed.
fn assumed(world: &World) -> u64 {
    world.fake.counts().requests(Kind::AssumeRole)
}

/// Inode and time of change of every file below the output directory.
fn identities(world: &World) -> Vec<(PathBuf, u64, i64, i64)> {
    let identity = |path: PathBuf| {
        let metadata = fs::symlink_metadata(&path).unwrap();
        (path, metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    world.snapshot().into_iter().map(|(path, _)| identity(path)).collect()
}

/// The names of what lies in `directory`, sorted.
fn listing(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

/// A profile that switches to `role` from the instance profile.
fn switching(name: &str, role: &str) -> String {
    format!("[profile {name}]\nrole_arn = {role}\ncredential_source = Ec2InstanceMetadata\n")
}
