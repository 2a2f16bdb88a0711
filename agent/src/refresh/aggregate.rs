//! The files at the top that cover several profiles: `credentials`, `config` and `status.json`. They are made from
//! what is published, so that a run for one profile keeps the others.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{Entry, Keeper, attributes, is_shared};
use crate::anchor::Anchor;
use crate::config::model::Profile;
use crate::credentials::IssuedCredentials;
use crate::output::OutputError;
use crate::output::directory::{Attributes, Directory, Durability};
use crate::output::names::file_name;
use crate::output::profile_files::read_published;
use crate::output::render::{Material, all_config, all_credentials, parse_process_json};
use crate::output::state::Record;
use crate::timestamp::{Rfc3339Seconds, between};

const STATUS: &str = "status.json";
/// The version of `status.json`.
const STATUS_VERSION: u64 = 1;

impl Keeper<'_> {
    pub(super) fn write_common_files(&self, entries: &[Entry<'_>]) -> Result<(), OutputError> {
        self.write_credentials(entries)?;
        self.write_config(entries)?;
        self.write_status(entries)?;
        self.top.settle()
    }

    pub(super) fn write_status(&self, entries: &[Entry<'_>]) -> Result<(), OutputError> {
        let status = format!("{:#}\n", self.status(entries));
        let attributes = Attributes { mode: self.open_mode(), ..Attributes::PRIVATE };
        self.top.replace(STATUS, status.as_bytes(), attributes, Durability::Renamed).map(drop)
    }

    pub(super) fn has_status(&self) -> bool {
        self.top.read(STATUS).is_ok_and(|status| status.is_some())
    }

    /// The profiles that belong to the agent's user alone; others have their own directory.
    fn write_credentials(&self, entries: &[Entry<'_>]) -> Result<(), OutputError> {
        let own = |entry: &&Entry<'_>| {
            entry.managed.outcome.as_ref().map_or(true, |profile| profile.publication.owner.is_none())
        };
        let issued = entries.iter().filter(own).filter_map(|entry| self.issued(entry).transpose());
        let issued: Vec<(&str, Cow<'_, IssuedCredentials>)> = issued.collect::<Result<_, _>>()?;
        let materials: Vec<Material<'_>> =
            issued.iter().map(|(profile, issued)| Material { profile, issued, region: None }).collect();
        let text = all_credentials(&materials);
        self.top.replace("credentials", text.as_bytes(), Attributes::PRIVATE, Durability::Synced).map(drop)
    }

    /// The credentials of this batch, or those that an earlier one has published.
    fn issued<'e>(
        &self,
        entry: &'e Entry<'_>,
    ) -> Result<Option<(&'e str, Cow<'e, IssuedCredentials>)>, OutputError> {
        let name = entry.managed.name.as_str();
        if let Some(issued) = &entry.issued {
            return Ok(Some((name, Cow::Borrowed(issued))));
        }
        let Some(published) = &entry.record.published else { return Ok(None) };
        let path = self.profiles.path().join(file_name(name));
        let directory = match Directory::open_to_read(&path) {
            Ok(directory) => directory,
            Err(cause) => return OutputError::exhausted(&path, cause).map(|()| None),
        };
        let own = entry.managed.outcome.as_ref().ok().map(|profile| attributes(&profile.publication));
        let json = read_published(&directory, own, self.state.key(), &published.digest)?;
        let issued = json.and_then(|json| parse_process_json(&json));
        Ok(issued.map(|issued| (name, Cow::Owned(issued))))
    }

    /// Every profile that has been published; no secret.
    fn write_config(&self, entries: &[Entry<'_>]) -> Result<(), OutputError> {
        let sections: Vec<_> = entries
            .iter()
            .filter_map(|Entry { managed, record, .. }| {
                let region = record.published.as_ref()?.region.clone();
                let publication = managed.outcome.as_ref().ok().map(|profile| &profile.publication);
                Some(self.config_entry(&managed.name, publication, region))
            })
            .collect();
        let attributes = Attributes { mode: self.open_mode(), ..Attributes::PRIVATE };
        self.top.replace("config", all_config(&sections).as_bytes(), attributes, Durability::Synced).map(drop)
    }

    /// Files without secrets are for everybody who may pass the directory.
    fn open_mode(&self) -> u32 {
        let usable = self.config.profiles().iter().filter_map(|managed| managed.outcome.as_ref().ok());
        if usable.into_iter().any(|profile| is_shared(&profile.publication)) { 0o644 } else { 0o600 }
    }

    fn status(&self, entries: &[Entry<'_>]) -> Value {
        let profiles: Vec<Value> = entries
            .iter()
            .map(|Entry { managed, record, .. }| {
                let mut entry = Map::new();
                entry.insert("profile".to_owned(), managed.name.clone().into());
                if let Ok(profile) = &managed.outcome {
                    add_configuration(&mut entry, profile);
                }
                add_record(&mut entry, record);
                Value::Object(entry)
            })
            .collect();
        let warnings: Vec<String> = self.config.warnings.iter().map(ToString::to_string).collect();
        json!({
            "version": STATUS_VERSION,
            "config": self.config_path(),
            "anchor": self.host.anchor().as_ref().map(Anchor::to_json),
            "clock_offset_seconds": self.host.clock_offset().whole_seconds(),
            "profiles": profiles,
            "serve": self.serving(),
            "warnings": warnings,
        })
    }
}

/// What the last batch in `top` knew of the time; `None` where it knew nothing, or this user may not read it.
#[must_use]
pub fn last_anchor(top: &Directory) -> Option<Anchor> {
    Anchor::in_status(&top.read(STATUS).ok()??)
}

fn add_configuration(entry: &mut Map<String, Value>, profile: &Profile) {
    entry.insert("source".to_owned(), profile.chain.base.describe().into());
    let roles: Vec<Value> = profile.chain.roles.iter().map(|role| role.role_arn.clone().into()).collect();
    entry.insert("roles".to_owned(), roles.into());
}

fn add_record(entry: &mut Map<String, Value>, record: &Record) {
    let mut add = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    let seconds = |at| Value::from(Rfc3339Seconds(at).to_string());
    if let Some(published) = &record.published {
        add("access_key_id", published.access_key_id.clone().into());
        add("generation", published.generation.into());
        add("region", published.region.clone().into());
        add("issued", seconds(published.issued));
        add("expiration", published.expiration.map_or(Value::Null, seconds));
        add("next_refresh", published.due.map_or(Value::Null, seconds));
        if let Some(expiration) = published.expiration {
            add("effective_duration_seconds", between(published.issued, expiration).whole_seconds().into());
        }
        if let Some(real) = published.real_expiration {
            add("real_expiration", seconds(real));
            add(
                "extended",
                "the instance metadata service has not renewed these credentials, which have expired or soon will; \
                 the services decide"
                    .into(),
            );
        }
    }
    if let Some(region) = record.published.as_ref().and_then(|published| published.fallback_region.as_ref()) {
        add("sts_fallback_region", region.clone().into());
    }
    if let Some(hook) = record.waiting_hook() {
        add(
            "hook",
            json!({"generation": hook.generation, "failed_attempts": hook.attempts, "last_error": hook.error}),
        );
    }
    if let Some(merged) = &record.merged {
        let expiration = merged.expiration.map_or(Value::Null, seconds);
        add("credentials_file", json!({"path": merged.path, "expiration": expiration}));
    }
    let reduced: Vec<Value> = record
        .reduced
        .iter()
        .map(|entry| {
            json!({
                "role_arn": entry.role_arn,
                "configured_seconds": entry.configured,
                "effective_seconds": entry.effective,
                "reason": "a role may be assumed from another role for one hour at most",
            })
        })
        .collect();
    if !reduced.is_empty() {
        add("reduced_durations", reduced.into());
    }
    if let Some(failure) = &record.failure {
        add(
            "last_error",
            json!({
                "at": Rfc3339Seconds(failure.at).to_string(),
                "message": failure.message,
                "advice": failure.advice,
                "disposition": failure.disposition,
                "count": failure.count,
                "next_attempt": failure.next_attempt.map_or(Value::Null, seconds),
            }),
        );
    }
}
