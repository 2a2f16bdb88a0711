//! How questions and answers travel between the daemon and a worker: JSON arrays, first the kind. Both sides are the
//! same program, so there are no versions, and what cannot be read is no answer.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::work::{Member, Reply, Roster, Work};
use crate::anchor::Anchor;
use crate::disposition::Disposition;
use crate::error::Told;
use crate::refresh::Standing;
use crate::schedule::Known;

/// From the daemon, whose process id this is.
pub(super) fn question(daemon: u32, work: &Work, anchor: Option<&Anchor>) -> String {
    let (kind, profiles) = match work {
        Work::Load => ("load", json!(null)),
        Work::Look => ("look", json!(null)),
        Work::Refresh(profiles) => ("refresh", json!(profiles)),
        Work::Hooks => ("hooks", json!(null)),
    };
    json!([kind, profiles, daemon, anchor.map(anchor_value)]).to_string()
}

pub(super) fn read_question(bytes: &[u8]) -> Option<(u32, Work, Option<Anchor>)> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let work = match value.get(0)?.as_str()? {
        "load" => Work::Load,
        "look" => Work::Look,
        "hooks" => Work::Hooks,
        "refresh" => Work::Refresh(each(value.get(1)?, |pair| {
            Some((usize::try_from(pair.get(0)?.as_u64()?).ok()?, pair.get(1)?.as_u64()?))
        })?),
        _ => return None,
    };
    Some((value.get(2)?.as_u64()?.try_into().ok()?, work, value.get(3).and_then(anchor_of)))
}

/// From the worker.
pub(super) fn answer(reply: &Reply, anchor: Option<&Anchor>) -> String {
    let (kind, content) = match reply {
        Reply::Loaded(roster) => ("loaded", roster_value(roster)),
        Reply::Standings(standings) => ("standings", standings.iter().map(known_value).collect()),
        Reply::Report(report) => {
            let value = |(index, became): &(usize, Result<Standing, Told>)| match became {
                Ok(standing) => json!([index, standing_value(standing)]),
                Err(told) => json!([index, null, told_value(told)]),
            };
            ("report", report.iter().map(value).collect())
        }
        Reply::Hooks(wait) => ("hooks", json!(wait.map(|wait| wait.as_secs()))),
        Reply::Failed(told) => ("failed", told_value(told)),
    };
    json!([kind, content, anchor.map(anchor_value)]).to_string()
}

pub(super) fn read_answer(bytes: &[u8]) -> Option<(Reply, Option<Anchor>)> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let content = value.get(1)?;
    let reply = match value.get(0)?.as_str()? {
        "loaded" => Reply::Loaded(roster_of(content)?),
        "standings" => Reply::Standings(each(content, known_of)?),
        "report" => Reply::Report(each(content, |entry| {
            let became = match entry.get(2) {
                None => Ok(standing_of(entry.get(1)?)?),
                Some(told) => Err(told_of(told)?),
            };
            Some((usize::try_from(entry.get(0)?.as_u64()?).ok()?, became))
        })?),
        "hooks" => Reply::Hooks(content.as_u64().map(Duration::from_secs)),
        "failed" => Reply::Failed(told_of(content)?),
        _ => return None,
    };
    Some((reply, value.get(2).and_then(anchor_of)))
}

fn each<T>(list: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    list.as_array()?.iter().map(read).collect()
}

fn roster_value(roster: &Roster) -> Value {
    // A path need not be text.
    let output_dir = percent_encode(roster.output_dir.as_os_str().as_bytes(), NON_ALPHANUMERIC).to_string();
    let members: Value = roster.members.iter().map(|member| json!([member.name, member.has_hook])).collect();
    json!([output_dir, roster.mode, members])
}

fn roster_of(value: &Value) -> Option<Roster> {
    let output_dir = percent_decode_str(value.get(0)?.as_str()?).collect();
    let member = |member: &Value| {
        Some(Member { name: member.get(0)?.as_str()?.to_owned(), has_hook: member.get(1)?.as_bool()? })
    };
    Some(Roster {
        output_dir: OsString::from_vec(output_dir).into(),
        mode: value.get(1)?.as_u64()?.try_into().ok()?,
        members: each(value.get(2)?, member)?,
    })
}

fn known_value((known, generation): &(Known, u64)) -> Value {
    match known {
        Known::Nothing => json!([]),
        Known::Published { issued, due } => {
            json!([issued.unix_timestamp(), due.map(OffsetDateTime::unix_timestamp), generation])
        }
    }
}

fn known_of(value: &Value) -> Option<(Known, u64)> {
    let Some(issued) = value.get(0) else { return Some((Known::Nothing, 0)) };
    let known = Known::Published { issued: instant(issued)?, due: instant(value.get(1)?) };
    Some((known, value.get(2)?.as_u64()?))
}

fn standing_value(standing: &Standing) -> Value {
    let due = standing.due.map(OffsetDateTime::unix_timestamp);
    let expiration = standing.expiration.map(OffsetDateTime::unix_timestamp);
    json!([standing.generation, due, expiration, standing.is_extended])
}

fn standing_of(value: &Value) -> Option<Standing> {
    Some(Standing {
        generation: value.get(0)?.as_u64()?,
        due: instant(value.get(1)?),
        expiration: instant(value.get(2)?),
        is_extended: value.get(3)?.as_bool()?,
    })
}

fn told_value(told: &Told) -> Value {
    json!([told.message, told.advice, told.disposition.as_str(), told.exit_code])
}

fn told_of(value: &Value) -> Option<Told> {
    Some(Told {
        message: value.get(0)?.as_str()?.to_owned(),
        advice: value.get(1)?.as_str().map(str::to_owned),
        disposition: Disposition::parse(value.get(2)?.as_str()?)?,
        exit_code: value.get(3)?.as_u64()?.try_into().ok()?,
    })
}

/// Not the form of `status.json`: within one daemon an anchor holds without a name of the boot.
fn anchor_value(anchor: &Anchor) -> Value {
    let since_boot = u64::try_from(anchor.since_boot.as_millis()).unwrap_or_default();
    let milliseconds = i64::from(anchor.true_time.millisecond());
    json!([anchor.boot_id, since_boot, anchor.true_time.unix_timestamp(), milliseconds])
}

fn anchor_of(value: &Value) -> Option<Anchor> {
    let milliseconds = time::Duration::milliseconds(value.get(3)?.as_i64()?);
    Some(Anchor {
        boot_id: value.get(0)?.as_str()?.to_owned(),
        since_boot: Duration::from_millis(value.get(1)?.as_u64()?),
        true_time: instant(value.get(2)?)?.checked_add(milliseconds)?,
    })
}

/// Whole seconds, as the agent remembers its instants.
fn instant(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(value.as_i64()?).ok()
}
