//! Who exists and with which keys. Knows nothing of what they may do: that is `evaluate`.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{Keys, Permission, Role};
use crate::issue;

/// Whose keys they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The root user of an account.
    Root { account: String },
    /// An IAM user.
    User { arn: String, id: String },
    /// A session of a role.
    Session { role_arn: String, role_id: String, name: String },
}

impl Identity {
    /// The account, from the ARN.
    pub(crate) fn account(&self) -> &str {
        match self {
            Self::Root { account } => account,
            Self::User { arn, .. } => account_of(arn),
            Self::Session { role_arn, .. } => account_of(role_arn),
        }
    }

    /// The ARN as `GetCallerIdentity` shows it: that of a session has lost the role's path.
    pub(crate) fn arn(&self) -> String {
        match self {
            Self::Root { account } => format!("arn:aws:iam::{account}:root"),
            Self::User { arn, .. } => arn.clone(),
            Self::Session { role_arn, name, .. } => {
                let role = role_arn.rsplit('/').next().unwrap_or_default();
                let partition = role_arn.split(':').nth(1).unwrap_or("aws");
                format!("arn:{partition}:sts::{}:assumed-role/{role}/{name}", account_of(role_arn))
            }
        }
    }

    /// The `UserId` of `GetCallerIdentity`.
    pub(crate) fn user_id(&self) -> String {
        match self {
            Self::Root { account } => account.clone(),
            Self::User { id, .. } => id.clone(),
            Self::Session { role_id, name, .. } => format!("{role_id}:{name}"),
        }
    }

    /// Whether chaining rules apply to what is assumed with these keys.
    pub(crate) fn is_session(&self) -> bool {
        matches!(self, Self::Session { .. })
    }
}

/// The fifth field of an ARN.
pub(crate) fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// A key that was given out.
#[derive(Clone, Debug)]
pub(crate) struct KeyRecord {
    pub(crate) keys: Keys,
    pub(crate) identity: Identity,
    /// When it stops working; long-term keys have none.
    pub(crate) expiration: Option<OffsetDateTime>,
    /// What the session was narrowed to, where it was.
    pub(crate) session_policy: Option<Vec<Permission>>,
    /// Set once in a chain, and then part of every session after it.
    pub(crate) source_identity: Option<String>,
    /// The tags of a session, those included that it inherited.
    pub(crate) tags: Vec<SessionTag>,
}

/// A tag of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTag {
    /// The key, as it was first spelt.
    pub key: String,
    /// The value.
    pub value: String,
    /// Whether the sessions of roles that this session assumes inherit it.
    pub transitive: bool,
}

impl KeyRecord {
    /// The tags that a session assumed with these keys inherits.
    pub(crate) fn transitive_tags(&self) -> impl Iterator<Item = &SessionTag> {
        self.tags.iter().filter(|tag| tag.transitive)
    }
}

/// All users, roles and keys.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    roles: BTreeMap<String, Role>,
    users: BTreeMap<String, Vec<Permission>>,
    policies: BTreeMap<String, Vec<Permission>>,
    keys: BTreeMap<String, KeyRecord>,
}

impl Directory {
    pub(crate) fn role(&self, arn: &str) -> Option<&Role> {
        self.roles.get(arn)
    }

    pub(crate) fn role_mut(&mut self, arn: &str) -> Option<&mut Role> {
        self.roles.get_mut(arn)
    }

    /// Adds a role, or replaces the one with its ARN.
    pub(crate) fn add_role(&mut self, role: Role) {
        self.roles.insert(role.arn.clone(), role);
    }

    pub(crate) fn remove_role(&mut self, arn: &str) {
        self.roles.remove(arn);
    }

    /// Adds a managed policy.
    pub(crate) fn add_policy(&mut self, arn: &str, permissions: &[Permission]) {
        self.policies.insert(arn.to_owned(), permissions.to_vec());
    }

    pub(crate) fn policy(&self, arn: &str) -> Option<&[Permission]> {
        self.policies.get(arn).map(Vec::as_slice)
    }

    /// Adds a user without permissions and gives it `keys`.
    pub(crate) fn add_user(&mut self, arn: &str, keys: Keys) {
        self.users.entry(arn.to_owned()).or_default();
        let identity = match arn.strip_suffix(":root") {
            Some(_) => Identity::Root { account: account_of(arn).to_owned() },
            None => Identity::User { arn: arn.to_owned(), id: issue::identifier("AIDA") },
        };
        self.remember(KeyRecord {
            keys,
            identity,
            expiration: None,
            session_policy: None,
            source_identity: None,
            tags: Vec::new(),
        });
    }

    /// The permissions of a user or role, to be changed.
    pub(crate) fn permissions_mut(&mut self, arn: &str) -> Option<&mut Vec<Permission>> {
        match self.roles.get_mut(arn) {
            Some(role) => Some(&mut role.permissions),
            None => self.users.get_mut(arn),
        }
    }

    pub(crate) fn permissions(&self, identity: &Identity) -> &[Permission] {
        match identity {
            Identity::Root { .. } => &[],
            Identity::User { arn, .. } => self.users.get(arn).map_or(&[], Vec::as_slice),
            Identity::Session { role_arn, .. } => {
                self.roles.get(role_arn).map_or(&[], |role| role.permissions.as_slice())
            }
        }
    }

    /// The long-term keys of a user, or of the root user.
    pub(crate) fn keys_of(&self, arn: &str) -> Option<&Keys> {
        self.keys
            .values()
            .find(|record| record.expiration.is_none() && record.identity.arn() == arn)
            .map(|record| &record.keys)
    }

    pub(crate) fn remember(&mut self, record: KeyRecord) {
        self.keys.insert(record.keys.access_key_id.clone(), record);
    }

    pub(crate) fn forget_key(&mut self, access_key_id: &str) {
        self.keys.remove(access_key_id);
    }

    pub(crate) fn key(&self, access_key_id: &str) -> Option<&KeyRecord> {
        self.keys.get(access_key_id)
    }
}
