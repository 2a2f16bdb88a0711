//! Tags of sessions: what a request sets, and what the caller's own session hands down. Whether the caller may tag is
//! decided elsewhere.

use super::{Call, StsError};
use crate::iam::{KeyRecord, SessionTag};

/// The tags of a session that `caller` opens with `call`.
pub(super) fn of(call: &Call<'_>, caller: &KeyRecord) -> Result<Vec<SessionTag>, StsError> {
    let invalid = |message: &str| Err(StsError::sender(400, "InvalidParameterValue", message));
    let transitive = call.list("TransitiveTagKeys.member", "");
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    let mut tags: Vec<SessionTag> = Vec::new();
    let keys = call.list("Tags.member", ".Key");
    for (key, value) in keys.iter().zip(call.list("Tags.member", ".Value")) {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return invalid("Tag keys that begin with aws: are reserved.");
        }
        if tags.iter().any(|tag| same(&tag.key, key)) {
            return invalid("A tag key occurs twice; letter case makes no difference.");
        }
        let transitive = transitive.iter().any(|other| same(other, key));
        tags.push(SessionTag { key: key.clone(), value, transitive });
    }
    for inherited in caller.transitive_tags() {
        if transitive.iter().chain(&keys).any(|key| same(key, &inherited.key)) {
            return invalid("A tag conflicts with a transitive tag of the calling session.");
        }
    }
    if transitive.iter().any(|key| !tags.iter().any(|tag| same(&tag.key, key))) {
        return invalid("A transitive tag key is no key of the tags.");
    }
    tags.extend(caller.transitive_tags().cloned());
    Ok(tags)
}
