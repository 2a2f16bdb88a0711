//! The file that others own too, after the agent's own files: which credentials it should hold, and whether it does.
//! How it is written is none of its business.

use time::OffsetDateTime;

use super::{Keeper, attributes};
use crate::config::model::Profile;
use crate::credentials::IssuedCredentials;
use crate::disposition::Disposition;
use crate::error::Error;
use crate::output::OutputError;
use crate::output::helper;
use crate::output::merge::Target;
use crate::output::render::parse_process_json;
use crate::output::state::{Failure, Merged, Record};

impl Keeper<'_> {
    /// Merges what is published already: another program may have taken it out of the file since, or an earlier run
    /// could not write it.
    pub(super) fn merge_kept(&self, profile: &Profile, record: &mut Record) -> Result<(), Error> {
        if profile.publication.credentials_file.is_none() {
            return Ok(());
        }
        let published = record.published.as_ref();
        let document = published.and_then(|published| self.document(&profile.name, published));
        let issued = document.and_then(|document| parse_process_json(&document.json));
        issued.map_or(Ok(()), |issued| self.merge(profile, &issued, record))
    }

    /// Merges `issued`, the credentials that `record` says are published, where the profile asks for it.
    pub(super) fn merge(
        &self,
        profile: &Profile,
        issued: &IssuedCredentials,
        record: &mut Record,
    ) -> Result<(), Error> {
        let Some(path) = &profile.publication.credentials_file else { return Ok(()) };
        let failed = |cause| Error::Merge { profile: profile.name.clone(), cause };
        if path.starts_with(&self.facts.output_dir) {
            return Err(failed(OutputError::OwnFile(path.clone())));
        }
        let name = path.to_string_lossy().into_owned();
        let target = Target {
            path,
            section: &profile.name,
            credentials: &issued.credentials,
            attributes: attributes(&profile.publication),
            was_merged: record.merged.as_ref().is_some_and(|merged| merged.path == name),
        };
        helper::publish(&target, self.host.clock).map_err(failed)?;
        let generation = record.published.as_ref().map_or(0, |published| published.generation);
        let merged = Merged { path: name, generation, expiration: issued.expiration };
        // What could not be written before has been now; any other failure is cleared by a refresh.
        let is_mended = |failure: &Failure| failure.disposition == Disposition::Local.as_str();
        let mended = record.failure.take_if(|failure| is_mended(failure)).is_some();
        if mended || record.merged.as_ref() != Some(&merged) {
            record.merged = Some(merged);
            self.state.store(record)?;
        }
        Ok(())
    }
}

/// Until when the credentials in the file of others are valid, where `cause` kept them from being brought up to date and
/// leaves them there; `None` where nothing good can be said of what the file holds.
pub(super) fn expiration(record: &Record, cause: &OutputError) -> Option<OffsetDateTime> {
    let is_passing = matches!(cause, OutputError::Unsteady(_) | OutputError::Locked(_));
    record.merged.as_ref().filter(|_| is_passing)?.expiration
}
