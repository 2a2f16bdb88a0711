//! What the credentials endpoint of the daemon needs of the published directory: tokens in it, an answer from it, and a
//! note of what is served for those who come after.

use std::path::Path;

use log::warn;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Keeper, attributes};
use crate::config::model::Profile;
use crate::credentials::IssuedCredentials;
use crate::error::Error;
use crate::output::OutputError;
use crate::output::directory::{Attributes, Directory, Durability};
use crate::output::names::file_name;
use crate::output::profile_files::{keyed_digest, read_published};
use crate::output::render::parse_process_json;
use crate::output::state::{Published, State};
use crate::output::token_file::{self, TOKEN, TokenCheck};

/// The note, in the directory of the agent's state: what is served, as `status.json` says it.
const NOTE: &str = "serving";
/// There too, after the name of a profile: its document, where the published one is given away.
const COPY: &str = ".document";

/// A profile whose credentials are handed out to whoever knows its token.
#[derive(Clone, Debug)]
pub struct Served {
    /// The profile.
    pub profile: String,
    /// Recognises the token.
    pub token: TokenCheck,
    /// Those of its files.
    pub attributes: Attributes,
}

/// Why there are no credentials to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// Nothing has been published yet that could be.
    Unpublished,
    /// What is published has expired.
    Expired,
    /// These are keys without a session, which the protocol has no form for.
    LongTerm,
}

impl Keeper<'_> {
    /// Sees to it that every usable profile has a token, and nobody else; who has one. One of `known`, whom the endpoint
    /// answers for already, stays in force where it still lies in the profile's directory, for the same readers; every
    /// other is replaced. Without an endpoint no token stays. A profile whose token cannot be written is left out, and
    /// the log says why.
    ///
    /// # Errors
    ///
    /// When the tokens of an earlier endpoint cannot be taken back.
    pub fn tend_tokens(&self, known: Option<&[Served]>) -> Result<Vec<Served>, OutputError> {
        if known.is_none_or(<[Served]>::is_empty) {
            withdraw_tokens(&self.facts.output_dir)?;
        }
        Ok(known.map(|known| self.hand_out_tokens(known)).unwrap_or_default())
    }

    fn hand_out_tokens(&self, known: &[Served]) -> Vec<Served> {
        let mut served: Vec<Served> = Vec::new();
        for managed in self.config.profiles() {
            let known = known.iter().find(|known| known.profile == managed.name);
            let Ok(profile) = &managed.outcome else {
                // Its files stay, and so does what they say how to ask for.
                served.extend(known.cloned());
                continue;
            };
            let attributes = attributes(&profile.publication);
            let known = known.filter(|known| known.attributes == attributes).map(|known| &known.token);
            let token = self.profile_directory(profile).and_then(|directory| {
                match known.filter(|token| token_file::is_in_place(&directory, attributes, token)) {
                    Some(token) => Ok(token.clone()),
                    None => token_file::write_new(&directory, attributes),
                }
            });
            match token {
                Ok(token) => served.push(Served { profile: profile.name.clone(), token, attributes }),
                Err(cause) => {
                    let cause = Error::Output(cause).with_causes();
                    warn!("profile `{}` is not served: {cause}", profile.name);
                }
            }
        }
        for known in known.iter().filter(|known| served.iter().all(|one| one.profile != known.profile)) {
            let directory = Directory::open_to_read(&self.profiles.path().join(file_name(&known.profile)));
            if let Err(cause) = directory.map_or(Ok(()), |directory| directory.remove(TOKEN)) {
                warn!("{}", Error::Output(cause).with_causes());
            }
        }
        served
    }

    /// Keeps a copy of `json`, the document that is being published for `profile`, where it is given away and served: its
    /// owner may write to the file, and in a sandbox the agent may not even read it.
    pub(super) fn keep_copy(&self, profile: &Profile, json: &str) -> Result<(), OutputError> {
        if self.config.settings.serve.is_none() {
            return Ok(());
        }
        let (state, name) = (self.state.directory(), copy_name(&profile.name));
        if profile.publication.owner.is_none() {
            return state.remove(&name);
        }
        state.replace(&name, json.as_bytes(), Attributes::PRIVATE, Durability::Renamed).map(drop)
    }

    /// Whether the copy is missing that `profile` is served from, because it was published before that was asked for.
    pub(super) fn lacks_copy(&self, profile: &Profile, published: &Published) -> bool {
        let is_copied = self.config.settings.serve.is_some() && profile.publication.owner.is_some();
        is_copied
            && !self.state.directory().read(&copy_name(&profile.name)).is_ok_and(|copy| {
                copy.is_some_and(|copy| keyed_digest(self.state.key(), &copy) == published.digest)
            })
    }

    pub(super) fn forget_copy(&self, profile: &str) -> Result<(), OutputError> {
        self.state.directory().remove(&copy_name(profile))
    }

    /// Notes what is served, a JSON text, and brings `status.json` up to date with it. Where nothing is, no copy stays.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn note_serving(&self, note: Option<&str>) -> Result<(), OutputError> {
        let state = self.state.directory();
        match note {
            None => {
                for name in state.entries()?.iter().filter(|name| name.ends_with(COPY)) {
                    state.remove(name)?;
                }
                state.remove(NOTE)?;
            }
            Some(note) => {
                state.replace(NOTE, note.as_bytes(), Attributes::PRIVATE, Durability::Renamed).map(drop)?;
            }
        }
        self.write_status(&self.entries()?)
    }

    pub(super) fn serving(&self) -> Option<Value> {
        serde_json::from_slice(&self.state.directory().read(NOTE).ok()??).ok()
    }
}

fn copy_name(profile: &str) -> String {
    format!("{}{COPY}", file_name(profile))
}

/// Whether a daemon has noted in `output_dir` that it serves, and has not taken that back.
#[must_use]
pub fn is_noted(output_dir: &Path) -> bool {
    let state = Directory::open_to_read(&output_dir.join("state"));
    state.is_ok_and(|state| state.read(NOTE).is_ok_and(|note| note.is_some()))
}

/// Takes back every token in `output_dir`, so that no consumer hands one to whoever listens in the agent's place.
///
/// # Errors
///
/// When one stays.
pub fn withdraw_tokens(output_dir: &Path) -> Result<(), OutputError> {
    let Ok(profiles) = Directory::open_to_read(&output_dir.join("profiles")) else { return Ok(()) };
    for name in profiles.entries()? {
        if let Ok(directory) = Directory::open_to_read(&profiles.path().join(name)) {
            directory.remove(TOKEN)?;
        }
    }
    Ok(())
}

/// The credentials of `served` as they are published in `output_dir`, where they are still valid at `now`. It takes no
/// lock and asks nobody.
///
/// # Errors
///
/// Why there are none.
pub fn look_up(
    output_dir: &Path,
    served: &Served,
    now: OffsetDateTime,
) -> Result<IssuedCredentials, NotServed> {
    let state = State::open_to_read(&output_dir.join("state")).ok_or(NotServed::Unpublished)?;
    let published = state.load(&served.profile).published.ok_or(NotServed::Unpublished)?;
    let json = match state.directory().read(&copy_name(&served.profile)) {
        Ok(Some(copy)) => Some(copy),
        _ => {
            let directory = output_dir.join("profiles").join(file_name(&served.profile));
            let directory = Directory::open_to_read(&directory).map_err(|_| NotServed::Unpublished)?;
            let own = Some(served.attributes).filter(|attributes| attributes.owner.is_none());
            read_published(&directory, own, state.key(), &published.digest).ok().flatten()
        }
    };
    let issued = json.and_then(|json| parse_process_json(&json)).ok_or(NotServed::Unpublished)?;
    if issued.credentials.session_token.is_none() {
        return Err(NotServed::LongTerm);
    }
    match issued.expiration {
        Some(expiration) if now < expiration => Ok(issued),
        Some(_) => Err(NotServed::Expired),
        None => Err(NotServed::LongTerm),
    }
}
