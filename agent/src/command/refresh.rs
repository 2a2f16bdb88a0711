//! `refresh`: one batch; silent where nobody has to act.

use std::mem::ManuallyDrop;
use std::time::Duration;

use log::{info, warn};

use super::{Context, complain, nothing_managed};
use crate::config::Config;
use crate::error::{Error, exit_code};
use crate::output::OutputError;
use crate::refresh::{Facts, Keeper, Outcome, Report, Reuse, Selected, Standing, run_hooks};
use crate::timestamp::Rfc3339Seconds;

pub(super) fn run(
    context: &Context<'_>,
    profiles: &[String],
    force: bool,
    splay: Duration,
) -> Result<u8, Error> {
    if !splay.is_zero() {
        // A mistake in the configuration should not take a splay to show. What counts is what it says afterwards: what
        // somebody else has published since, for a new profile, would be removed as nobody's.
        read(context, profiles)?;
        context.host.clock.pause(context.host.jitter.duration_up_to(splay));
    }
    let (config, facts) = read(context, profiles)?;
    let selected = config.select(profiles)?;
    // Never dropped: the process is about to end, and its end closes directories and releases the lock.
    let keeper = ManuallyDrop::new(Keeper::open(context.host, &config, &facts)?);
    let reuse = if force { Reuse::Nothing } else { Reuse::Fresh };
    let selected: Vec<Selected<'_>> =
        selected.iter().map(|managed| Selected { name: &managed.name, reuse }).collect();
    let code = conclude(&keeper.refresh(&selected)?);
    let names: Vec<&str> = selected.iter().map(|selected| selected.name).collect();
    let hooks = keeper.pending_hooks(&names);
    if !hooks.is_empty() {
        drop(ManuallyDrop::into_inner(keeper));
        // What is published is published: the exit code speaks of credentials alone.
        for failed in run_hooks(context.host, &config, &facts, &hooks) {
            complain(&failed.error);
        }
    }
    Ok(code)
}

/// The configuration, which has something to do for a batch of `profiles`.
fn read(context: &Context<'_>, profiles: &[String]) -> Result<(Config, Facts), Error> {
    let config = context.load_config()?;
    if config.select(profiles)?.is_empty() {
        return Err(nothing_managed(&config));
    }
    let facts = context.facts(&config)?;
    Ok((config, facts))
}

/// Reports what somebody has to act on, and finds the exit code.
fn conclude(report: &Report) -> u8 {
    let mut worst: Option<&Error> = None;
    let mut below_margin = false;
    for (profile, outcome) in report {
        match outcome {
            Outcome::Kept(_) => info!("profile `{profile}`: still fresh"),
            Outcome::Refreshed(Standing { expiration: Some(expiration), .. }) => {
                info!("profile `{profile}`: refreshed, valid until {}", Rfc3339Seconds(*expiration));
            }
            Outcome::Refreshed(_) => info!("profile `{profile}`: published"),
            // A mistake in the configuration does not pass, however long the old credentials live.
            Outcome::Failed { error, remaining: Some(left), margin }
                if left > margin && !matches!(error, Error::Config(_)) =>
            {
                warn!(
                    "{}; the published credentials last for {} more seconds",
                    error.with_causes(),
                    left.whole_seconds()
                );
            }
            Outcome::Failed { error, remaining: Some(left), .. }
                if left.is_positive() && !matches!(error, Error::Config(_)) =>
            {
                complain(error);
                below_margin = true;
            }
            Outcome::Failed { error, .. } => {
                complain(error);
                if worst.is_none_or(|worst| worst.disposition() < error.disposition()) {
                    worst = Some(error);
                }
            }
        }
    }
    match worst {
        Some(error) => error.exit_code(),
        None if below_margin => exit_code::TEMPORARY,
        None => exit_code::OK,
    }
}

/// Opens the output directory for a command that is not about refreshing; where it is not this user's, that is no
/// error but the sign that this user only reads.
pub(super) fn is_for_readers(error: &OutputError) -> bool {
    match error {
        OutputError::ForeignDirectory { .. } | OutputError::Untrusted { .. } | OutputError::NoDirectory => {
            true
        }
        OutputError::Io { cause, .. } => matches!(
            cause.kind(),
            std::io::ErrorKind::PermissionDenied
                | std::io::ErrorKind::ReadOnlyFilesystem
                | std::io::ErrorKind::NotFound
        ),
        OutputError::NotADirectory(_)
        | OutputError::Locked(_)
        | OutputError::MountPoint(_)
        | OutputError::NotAFile(_)
        | OutputError::Refused { .. }
        | OutputError::Emptied(_)
        | OutputError::Unsteady(_)
        | OutputError::SomebodysDirectory { .. }
        | OutputError::OwnFile(_)
        | OutputError::NotOurs(_)
        | OutputError::Helper { .. } => false,
    }
}
