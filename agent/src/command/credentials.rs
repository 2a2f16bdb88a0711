//! The credentials of one profile for the commands that hand them on: from the published file where that will do,
//! after a refresh where it is due and this user may, else whatever valid is there to read.

use std::path::Path;
use std::time::Duration;

use log::{debug, warn};

use super::{Context, refresh::is_for_readers};
use crate::config::Config;
use crate::config::model::Profile;
use crate::credentials::IssuedCredentials;
use crate::error::Error;
use crate::output::OutputError;
use crate::output::directory::Directory;
use crate::output::names::file_name;
use crate::output::profile_files;
use crate::output::render::parse_process_json;
use crate::refresh::{Keeper, Outcome, PublishedDocument, Reuse, Selected, peek, run_hooks};

/// Credentials that live for so long are handed on while another process is obtaining newer ones and takes its time.
const STILL_GOOD: Duration = Duration::from_secs(60);
/// How long that may take before they are handed on.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where somebody has asked for credentials with a certain life.
const PATIENCE_FOR_LIFE: Duration = Duration::from_secs(20);

/// Credentials with the region that belongs to them.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) profile: String,
    pub(super) issued: IssuedCredentials,
    pub(super) region: Option<String>,
    /// The directory that they are published in.
    pub(super) output_dir: std::path::PathBuf,
}

/// Finds the credentials of `name`, or of `AWS_PROFILE`.
pub(super) fn find(context: &Context<'_>, name: Option<&str>, reuse: Reuse) -> Result<Found, Error> {
    let config = context.load_config();
    let name = match (name.or_else(|| context.profile_from_environment()), &context.invocation.profile) {
        (Some(name), _) => name.to_owned(),
        (None, Some(described)) => described.profile_name.clone().unwrap_or_else(|| "default".to_owned()),
        // What the environment alone describes is one profile.
        (None, None) => match config.as_ref().ok().filter(|config| config.file().is_none()) {
            Some(config) if config.profiles().len() == 1 => known_names(Some(config)).concat(),
            _ => return Err(Error::NoProfile { known: known_names(config.as_ref().ok()) }),
        },
    };
    let setting = config.as_ref().ok().and_then(|config| config.settings.output_dir.clone());
    let kept = match config {
        Ok(config) => as_agent(context, &config, &name, reuse),
        Err(error) => Err(Refusal::Reader(error)),
    };
    match kept {
        Ok(found) => Ok(found),
        Err(Refusal::Failed(error)) => Err(error),
        Err(Refusal::Reader(error)) => {
            debug!("reading only: {}", error.with_causes());
            as_reader(context, &name, setting.as_deref()).map_err(|reason| reason.unwrap_or(error))
        }
    }
}

/// Why the agent's way is closed.
enum Refusal {
    /// This user cannot be the agent here; what is published may still be read.
    Reader(Error),
    /// This user is the agent, and it failed.
    Failed(Error),
}

fn as_agent(context: &Context<'_>, config: &Config, name: &str, reuse: Reuse) -> Result<Found, Refusal> {
    let wanted = [name.to_owned()];
    let selected = config.select(&wanted).map_err(|error| Refusal::Reader(error.into()))?;
    let facts = context.facts(config).map_err(|error| Refusal::Reader(error.into()))?;
    let found = |document: PublishedDocument| found(name, &document, &facts.output_dir);
    let mut valid = None;
    if let Some(profile) = selected.first().and_then(|managed| managed.outcome.as_ref().ok()) {
        context.recall_time(&facts.output_dir);
        let now = context.host.true_time();
        let look = |reuse| peek(&facts.output_dir, profile, reuse, now).and_then(found);
        if let Some(quick) = look(reuse) {
            return Ok(quick);
        }
        valid = look(Reuse::WithLife(STILL_GOOD));
    }
    context.refuse_to_go_round().map_err(Refusal::Failed)?;
    let opened = match (&valid, reuse) {
        (None, _) => Keeper::open(context.host, config, &facts),
        (Some(_), Reuse::WithLife(_)) => Keeper::open_within(PATIENCE_FOR_LIFE, context.host, config, &facts),
        (Some(_), _) => Keeper::open_within(PATIENCE, context.host, config, &facts),
    };
    let keeper = match (opened, valid) {
        (Ok(keeper), _) => keeper,
        (Err(error @ OutputError::Locked(_)), Some(valid)) => {
            warn!("{}; the published credentials are still valid", Error::Output(error).with_causes());
            return Ok(valid);
        }
        (Err(error), _) if is_for_readers(&error) => return Err(Refusal::Reader(error.into())),
        (Err(error), _) => return Err(Refusal::Failed(error.into())),
    };
    refresh(&keeper, name, reuse)?;
    // A file that was given away is kept while the state calls it fresh, even where its owner has changed it; what is
    // handed on here has to be what was published.
    if keeper.published(name).is_none() {
        refresh(&keeper, name, Reuse::Nothing)?;
    }
    let published = keeper.published(name).and_then(found).ok_or_else(|| {
        let reason = "what was published is gone".to_owned();
        Refusal::Failed(Error::NothingPublished { profile: name.to_owned(), reason })
    });
    let hooks = keeper.pending_hooks(&[name]);
    drop(keeper);
    for failed in run_hooks(context.host, config, &facts, &hooks) {
        warn!("{}", failed.error.with_causes());
    }
    published
}

fn refresh(keeper: &Keeper<'_>, name: &str, reuse: Reuse) -> Result<(), Refusal> {
    let report =
        keeper.refresh(&[Selected { name, reuse }]).map_err(|error| Refusal::Failed(error.into()))?;
    for (_, outcome) in report {
        let Outcome::Failed { error, remaining, .. } = outcome else { continue };
        // A file of others that could not be written says nothing about these credentials.
        if remaining.is_none_or(|left| !left.is_positive()) && !matches!(error, Error::Merge { .. }) {
            return Err(Refusal::Failed(error));
        }
        warn!("{}; the published credentials are still valid", error.with_causes());
    }
    Ok(())
}

/// Reads what somebody else published. The error is `None` where nothing was there to read, so that the reason why
/// this user cannot be the agent says more.
fn as_reader(context: &Context<'_>, name: &str, setting: Option<&Path>) -> Result<Found, Option<Error>> {
    let places = context.places(setting);
    let mut denied = None;
    for place in &places {
        let path = place.join("profiles").join(file_name(name));
        let document = match read_document(&path) {
            Ok(Some(document)) => document,
            Ok(None) => continue,
            Err(cause) => {
                denied.get_or_insert((path, cause));
                continue;
            }
        };
        let Some(found) = found(name, &document, place) else {
            return Err(Some(nothing(
                name,
                format!("`{}` is damaged", path.join(profile_files::JSON).display()),
            )));
        };
        context.recall_time(place);
        let now = context.host.true_time();
        return match found.issued.expiration.filter(|expiration| *expiration <= now) {
            None => Ok(found),
            Some(expiration) => Err(Some(nothing(
                name,
                format!(
                    "what `{}` holds expired at {}, and this user cannot refresh it",
                    path.join(profile_files::JSON).display(),
                    crate::timestamp::Rfc3339Seconds(expiration)
                ),
            ))),
        };
    }
    Err(denied.map(|(path, cause)| nothing(name, format!("`{}` cannot be read: {cause}", path.display()))))
}

fn read_document(path: &Path) -> std::io::Result<Option<PublishedDocument>> {
    let directory = match Directory::open_to_read(path) {
        Ok(directory) => directory,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let Some(json) = directory.read(profile_files::JSON)? else { return Ok(None) };
    let env = directory.read(profile_files::ENV).ok().flatten();
    let region = env.as_deref().and_then(|env| region_in(env));
    Ok(Some(PublishedDocument { json, region }))
}

fn region_in(env: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(env).ok()?;
    text.lines().find_map(|line| line.strip_prefix("AWS_REGION=")).map(str::to_owned)
}

fn found(name: &str, document: &PublishedDocument, output_dir: &Path) -> Option<Found> {
    let issued = parse_process_json(&document.json)?;
    let output_dir = output_dir.to_owned();
    Some(Found { profile: name.to_owned(), issued, region: document.region.clone(), output_dir })
}

fn nothing(profile: &str, reason: String) -> Error {
    Error::NothingPublished { profile: profile.to_owned(), reason }
}

/// The names to choose from.
pub(super) fn known_names(config: Option<&Config>) -> Vec<String> {
    config
        .map(|config| config.profiles().iter().map(|managed| managed.name.clone()).collect())
        .unwrap_or_default()
}

/// The managed profile `name`, or any other of the configuration.
pub(super) fn resolve(config: &Config, name: &str) -> Result<Profile, Error> {
    Ok(config.resolve(name)?)
}
