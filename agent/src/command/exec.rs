//! `exec`: becomes the command, with the credentials in its environment and nothing there that would shadow them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use super::{Context, credentials};
use crate::error::Error;
use crate::output::render::Material;
use crate::refresh::Reuse;

/// Variables that some SDK believes more than, or instead of, what is handed over.
const SHADOWING: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ACCOUNT_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_INSTANCE_PROFILE_NAME",
    "AWS_CREDENTIAL_FILE",
];

pub(super) fn run(
    context: &Context<'_>,
    profile: Option<&str>,
    command: &[OsString],
    min_life: Duration,
) -> Result<u8, Error> {
    let found = credentials::find(context, profile, Reuse::WithLife(min_life))?;
    let material =
        Material { profile: &found.profile, issued: &found.issued, region: found.region.as_deref() };
    become_command(command, |child| {
        for (name, value) in material.variables() {
            child.env(name, value.as_str());
        }
    })
}

/// The command finds the published config, whose `credential_process` is asked again whenever a session ends.
pub(super) fn run_refreshing(
    context: &Context<'_>,
    profile: Option<&str>,
    command: &[OsString],
    min_life: Duration,
) -> Result<u8, Error> {
    let found = credentials::find(context, profile, Reuse::WithLife(min_life))?;
    become_command(command, |child| {
        child.env("AWS_CONFIG_FILE", found.output_dir.join("config"));
        child.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        child.env("AWS_PROFILE", &found.profile);
        if let Some(region) = &found.region {
            child.env("AWS_REGION", region).env("AWS_DEFAULT_REGION", region);
        }
    })
}

fn become_command(command: &[OsString], prepare: impl FnOnce(&mut Command)) -> Result<u8, Error> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::NoProfile { known: Vec::new() });
    };
    let mut child = Command::new(program);
    child.args(arguments);
    for name in SHADOWING {
        child.env_remove(name);
    }
    prepare(&mut child);
    // Only returns where the command could not be started.
    let cause = child.exec();
    Err(Error::Execute { command: program.to_string_lossy().into_owned(), cause })
}
