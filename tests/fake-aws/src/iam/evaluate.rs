//! Who may do what: permission policies, session policies and trust policies, taken together as IAM does. Knows
//! nothing of requests.

use super::directory::{Directory, Identity, KeyRecord, account_of};
use super::{Effect, Permission, Role, Trust};

/// How a trust policy names a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    /// Not at all.
    None,
    /// By its account: the account decides by its own policies.
    Account,
    /// By itself.
    Direct,
}

/// What a set of statements says of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Denied,
    Silent,
}

impl Directory {
    /// Whether the holder of `record` may perform `action` on `resource` of its own account, by its policies.
    pub(crate) fn permits(&self, record: &KeyRecord, action: &str, resource: &str) -> bool {
        self.identity_verdict(record, action, resource) == Verdict::Allowed
            && session_allows(record, action, resource)
    }

    /// Whether the holder of `record` may perform `action`, such as `sts:AssumeRole`, on `role`.
    ///
    /// Across accounts both sides must allow it. Within one account the trust policy alone is enough when it
    /// names the caller itself; when it names the account, the caller's policies must allow it too. A denial on
    /// the caller's side always wins.
    pub(crate) fn may_assume(
        &self,
        record: &KeyRecord,
        role: &Role,
        action: &str,
        external_id: Option<&str>,
    ) -> bool {
        let naming = naming(&role.trust, &record.identity, action, external_id);
        let verdict = self.identity_verdict(record, action, &role.arn);
        if naming == Naming::None || verdict == Verdict::Denied || !session_allows(record, action, &role.arn)
        {
            return false;
        }
        let same_account = account_of(&role.arn) == record.identity.account();
        verdict == Verdict::Allowed || (same_account && naming == Naming::Direct)
    }

    fn identity_verdict(&self, record: &KeyRecord, action: &str, resource: &str) -> Verdict {
        match record.identity {
            Identity::Root { .. } => Verdict::Allowed,
            Identity::User { .. } | Identity::Session { .. } => {
                verdict(self.permissions(&record.identity), action, resource)
            }
        }
    }
}

/// Whether `trust` allows the service `principal`, such as `ec2.amazonaws.com`, to assume the role.
pub(crate) fn trusts_service(trust: &Trust, principal: &str) -> bool {
    trust.statements.iter().any(|statement| {
        statement.principal == principal && statement.actions.iter().any(|action| action == "sts:AssumeRole")
    })
}

fn session_allows(record: &KeyRecord, action: &str, resource: &str) -> bool {
    record.session_policy.as_ref().is_none_or(|policy| verdict(policy, action, resource) == Verdict::Allowed)
}

fn naming(trust: &Trust, identity: &Identity, action: &str, external_id: Option<&str>) -> Naming {
    trust
        .statements
        .iter()
        .filter(|statement| statement.actions.iter().any(|allowed| matches(allowed, action)))
        .filter(|statement| {
            statement.external_id.is_none() || statement.external_id.as_deref() == external_id
        })
        .map(|statement| names(&statement.principal, identity))
        .max()
        .unwrap_or(Naming::None)
}

fn names(principal: &str, identity: &Identity) -> Naming {
    let account = identity.account();
    let itself = match identity {
        Identity::Session { role_arn, .. } => principal == role_arn || principal == identity.arn(),
        Identity::User { arn, .. } => principal == arn,
        Identity::Root { .. } => false,
    };
    if itself || principal == "*" {
        Naming::Direct
    } else if principal == account
        || (principal.starts_with("arn:") && principal.ends_with(":root") && account_of(principal) == account)
    {
        Naming::Account
    } else {
        Naming::None
    }
}

fn verdict(permissions: &[Permission], action: &str, resource: &str) -> Verdict {
    let mut verdict = Verdict::Silent;
    for permission in permissions {
        let applies = matches(&permission.action.to_ascii_lowercase(), &action.to_ascii_lowercase())
            && matches(&permission.resource, resource);
        match permission.effect {
            Effect::Deny if applies => return Verdict::Denied,
            Effect::Allow if applies => verdict = Verdict::Allowed,
            Effect::Deny | Effect::Allow => {}
        }
    }
    verdict
}

/// Whether `text` is covered by `pattern`, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| text.get(at..).is_some_and(|tail| matches(rest, tail)))
        }
        Some(wanted) => {
            let mut text_rest = text.chars();
            text_rest.next().is_some_and(|letter| wanted == '?' || wanted == letter)
                && matches(pattern_rest.as_str(), text_rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_cover_what_they_should_and_no_more() {
        assert!(matches("s3:*", "s3:ListBucket"));
        assert!(matches("arn:aws:s3:::my-bucket-?", "arn:aws:s3:::my-bucket-2"));
        assert!(matches("*bucket*", "arn:my-bucket"));
        assert!(!matches("arn:aws:s3:::my-bucket-?", "arn:aws:s3:::my-bucket-"));
        assert!(!matches("arn:aws:s3:::my-bucket", "arn:aws:s3:::my-bucket-2"));
        assert!(!matches("", "x"));
    }
}
