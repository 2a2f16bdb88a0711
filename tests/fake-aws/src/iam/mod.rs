//! Accounts as far as switching roles needs them: users, roles, what they may do and whom they trust. Knows no
//! protocol and no time.

mod directory;
mod evaluate;

use std::fmt;

pub use directory::SessionTag;
pub(crate) use directory::{Directory, Identity, KeyRecord, account_of};
pub(crate) use evaluate::{Context, trusts_by_name};

/// An access key with its secret and, for a role session, its token.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token; long-term keys have none.
    pub session_token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allows, unless something denies.
    Allow,
    /// Denies, whatever allows.
    Deny,
}

/// One statement of a permission policy. `*` and `?` are wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub(crate) effect: Effect,
    pub(crate) action: String,
    pub(crate) resource: String,
}

impl Permission {
    /// Allows `action`, such as `sts:AssumeRole`, on `resource`, an ARN.
    #[must_use]
    pub fn allow(action: &str, resource: &str) -> Self {
        Self { effect: Effect::Allow, action: action.to_owned(), resource: resource.to_owned() }
    }

    /// Denies `action` on `resource`.
    #[must_use]
    pub fn deny(action: &str, resource: &str) -> Self {
        Self { effect: Effect::Deny, action: action.to_owned(), resource: resource.to_owned() }
    }
}

/// One statement of a trust policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustStatement {
    pub(crate) principal: String,
    pub(crate) actions: Vec<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) mfa: bool,
}

impl TrustStatement {
    /// Allows `sts:AssumeRole` to `principal`: the ARN of a role, a user, an account's root (which means everybody
    /// of that account who has the permission), an account number, or a service such as `ec2.amazonaws.com`.
    #[must_use]
    pub fn new(principal: &str) -> Self {
        Self {
            principal: principal.to_owned(),
            actions: vec!["sts:AssumeRole".to_owned()],
            external_id: None,
            mfa: false,
        }
    }

    /// Allows one more action, such as `sts:TagSession` or `sts:SetSourceIdentity`.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.actions.push(action.to_owned());
        self
    }

    /// Only where the request carries this external id.
    #[must_use]
    pub fn external_id(mut self, external_id: &str) -> Self {
        self.external_id = Some(external_id.to_owned());
        self
    }

    /// Only where the request carries a serial number and the code 123456.
    #[must_use]
    pub fn mfa(mut self) -> Self {
        self.mfa = true;
        self
    }
}

/// A trust policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    pub(crate) statements: Vec<TrustStatement>,
}

impl Trust {
    /// Trusts nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Trusts one principal to assume the role; see [`TrustStatement::new`].
    #[must_use]
    pub fn of(principal: &str) -> Self {
        Self::default().and(TrustStatement::new(principal))
    }

    /// The same with one more statement.
    #[must_use]
    pub fn and(mut self, statement: TrustStatement) -> Self {
        self.statements.push(statement);
        self
    }
}

/// A role.
#[derive(Clone, Debug)]
pub struct Role {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) trust: Trust,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) max_session_seconds: u32,
}

impl Role {
    /// A role with this ARN, a path included where it has one, that trusts nobody and may do nothing; its
    /// sessions last up to an hour.
    #[must_use]
    pub fn new(arn: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            id: crate::issue::identifier("AROA"),
            trust: Trust::nobody(),
            permissions: Vec::new(),
            max_session_seconds: 3600,
        }
    }

    /// The same with this trust policy.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The same with one more permission.
    #[must_use]
    pub fn permission(mut self, permission: Permission) -> Self {
        self.permissions.push(permission);
        self
    }

    /// The same with this `MaxSessionDuration`, in seconds.
    #[must_use]
    pub fn max_session_duration(mut self, seconds: u32) -> Self {
        self.max_session_seconds = seconds;
        self
    }
}
