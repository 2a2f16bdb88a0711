//! Sessions of roles: issued, remembered, shown. Whoever opens one has decided that it may be.

use time::OffsetDateTime;

use super::assume_role::{POLICY_LIMIT, Wanted};
use crate::form::escape_xml;
use crate::iam::{Identity, KeyRecord, Permission, Role, SessionTag};
use crate::state::State;
use crate::{clock, issue};

/// What a session is answered with.
pub(super) struct Session {
    record: KeyRecord,
    expiration: OffsetDateTime,
    packed_policy_size: Option<usize>,
}

/// Issues keys for a session of `role` and remembers them.
pub(super) fn open(
    state: &mut State,
    role: &Role,
    wanted: &Wanted<'_>,
    policy: Option<Vec<Permission>>,
    source_identity: Option<String>,
    tags: Vec<SessionTag>,
) -> Session {
    let lifetime = state
        .sts
        .session_lifetime
        .and_then(|lifetime| time::Duration::try_from(lifetime).ok())
        .unwrap_or(time::Duration::seconds(wanted.duration));
    let expiration = state.sts.now().saturating_add(lifetime);
    let packed = |text: &str| text.len().saturating_mul(100).div_ceil(POLICY_LIMIT).max(1);
    let record = KeyRecord {
        keys: issue::session_keys(),
        identity: Identity::Session {
            role_arn: role.arn.clone(),
            role_id: role.id.clone(),
            name: wanted.session_name.to_owned(),
        },
        expiration: Some(expiration),
        session_policy: policy,
        source_identity,
        tags,
    };
    state.directory.remember(record.clone());
    Session { record, expiration, packed_policy_size: wanted.policy.map(packed) }
}

/// The members of a result that all roles have in common.
pub(super) fn render(state: &State, session: &Session) -> String {
    let (record, keys) = (&session.record, &session.record.keys);
    let user = format!(
        "    <AssumedRoleUser>\n      <AssumedRoleId>{}</AssumedRoleId>\n      <Arn>{}</Arn>\n    \
         </AssumedRoleUser>\n",
        escape_xml(&record.identity.user_id()),
        escape_xml(&record.identity.arn()),
    );
    let credentials = format!(
        "    <Credentials>\n      <AccessKeyId>{}</AccessKeyId>\n      \
         <SecretAccessKey>{}</SecretAccessKey>\n      <SessionToken>{}</SessionToken>\n      \
         <Expiration>{}</Expiration>\n    </Credentials>\n",
        keys.access_key_id,
        keys.secret_access_key,
        keys.session_token.as_deref().unwrap_or_default(),
        clock::rfc3339(session.expiration),
    );
    let size = session
        .packed_policy_size
        .map_or_else(String::new, |size| format!("    <PackedPolicySize>{size}</PackedPolicySize>\n"));
    let source = record.source_identity.as_ref().map_or_else(String::new, |source| {
        format!("    <SourceIdentity>{}</SourceIdentity>\n", escape_xml(source))
    });
    let (first, second) = if state.sts.credentials_first { (credentials, user) } else { (user, credentials) };
    format!("{first}{second}{size}{source}")
}
