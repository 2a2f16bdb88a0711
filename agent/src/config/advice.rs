//! What to write instead: one sentence per problem. Knows no place and repeats no problem.

use super::error::Shown;
use super::problem::{Meant, Problem, Syntax};

impl Syntax {
    fn advice(self) -> &'static str {
        match self {
            Self::UnclosedSection => "write `[profile NAME]`, with nothing but a comment behind it",
            Self::IndentedSection => "begin `[` in the first column",
            Self::OutsideSection => "write a section header such as `[profile NAME]` above it",
            Self::NoEquals => {
                "write `key = value`, begin the line with `#` for a comment, or indent it to continue the value above"
            }
            Self::EmptyKey => "write `key = value`",
            Self::ContinuationAfterHeader => "write `key = value`, or begin the line with `#` for a comment",
            Self::NestedNoEquals => "write `key = value`, or write the value behind the `=` above",
        }
    }
}

fn missing_profile(name: Option<&str>, near: Option<&str>, unprefixed: bool) -> String {
    match (name, near) {
        (_, None) if unprefixed => {
            "write its section as `[profile NAME]`; without the word it is ignored".to_owned()
        }
        (_, Some(near)) => format!("did you mean `{}`?", Shown(near)),
        (Some(name), None) => format!("write a section `[profile {}]`", Shown(name)),
        (None, None) => {
            "write a section for it, or run `rolekeeper status` to see the names there are".to_owned()
        }
    }
}

impl Meant {
    fn advice(&self) -> String {
        match self {
            Self::Key(name) => format!("did you mean `{name}`?"),
            Self::Elsewhere(name) if name.starts_with("rolekeeper_") => {
                format!("write `{name}` in a profile")
            }
            Self::Elsewhere(name) => format!("write `{name}` in the section `[rolekeeper]`"),
            Self::Nothing => "remove it; the keys there are stand in the manual page".to_owned(),
        }
    }
}

impl Problem {
    /// One sentence on what to do, where there is anything to do.
    #[must_use]
    pub(crate) fn advice(&self) -> Option<String> {
        let fixed = match self {
            Self::Value { write, .. } | Self::NotManaged { write } => *write,
            Self::Syntax(syntax) => syntax.advice(),
            Self::UnknownKey { meant, .. } => return Some(meant.advice()),
            Self::NoSuchProfile { near, unprefixed } => {
                return Some(missing_profile(None, near.as_deref(), *unprefixed));
            }
            Self::UnknownSourceProfile { source, near, unprefixed } => {
                return Some(missing_profile(Some(source), near.as_deref(), *unprefixed));
            }
            Self::HalfOfKeys { missing } if missing.starts_with("AWS_") => {
                return Some(format!("set `{missing}` beside the others"));
            }
            Self::HalfOfKeys { missing } => return Some(format!("write `{missing}` beside the others")),
            Self::MissingKey(key) => {
                return Some(format!("write `{key}` beside the other keys of this source"));
            }
            Self::UnknownServices(name) => {
                return Some(format!("write a section `[services {}]`", Shown(name)));
            }
            Self::NothingFound { .. } => "write `/etc/rolekeeper/config`, or name a file with `--config`",
            Self::Missing => "create it, or name another",
            Self::NotAFile(_) => "name a file",
            Self::TooLarge(_) => "a configuration is a few kilobytes; check that this is the right file",
            Self::NotUtf8 => "save the file as UTF-8",
            Self::Untrusted(untrusted) => return Some(untrusted.advice()),
            Self::PublishedByUs => "name the configuration that you wrote, not what was made from it",
            Self::HomeUnset(_) => "write the path in full, or set `HOME`",
            Self::NamedAgentSection => {
                "write `[rolekeeper]` for the agent's settings, `[profile NAME]` for a profile"
            }
            Self::SeveralLines(_) => "begin that line in the first column, or remove it",
            Self::MalformedKey(_) => "copy it again, as one word on one line",
            Self::NotBuilt(_) => "remove it",
            Self::SourceNotBuilt(_) => {
                "start the chain at `credential_source = Ec2InstanceMetadata` or at static keys"
            }
            Self::LongPolicies(_) => {
                "shorten them, or move statements into a managed policy and name its ARN"
            }
            Self::Loop(_) => "end the chain at a profile with keys or with `credential_source`",
            Self::RoleWithoutSource => {
                "write `credential_source = Ec2InstanceMetadata`, or `source_profile = NAME` of a profile with credentials"
            }
            Self::TwoSources => "keep the one where the chain starts",
            Self::BesideSource { .. } => {
                "keep one source in a profile; a further role is a profile of its own, with `source_profile` naming this one"
            }
            Self::BesideIdentity(_) => {
                "leave it out, or write it for a further role: a profile of its own, with `source_profile` naming this one"
            }
            Self::SourceWithoutRole | Self::OptionWithoutRole(_) => {
                "write `role_arn = arn:aws:iam::ACCOUNT:role/NAME` beside it"
            }
            Self::NoCredentials => {
                "write `credential_source = Ec2InstanceMetadata`, or `aws_access_key_id` and `aws_secret_access_key`"
            }
            Self::SelfWithoutKeys => {
                "write `aws_access_key_id` and `aws_secret_access_key` into it, or name another profile"
            }
            Self::PartitionMismatch { .. } => "write a region of the partition that the role is in",
            Self::CaBundleNeeded(_) => "write `ca_bundle = PATH` of the partition's certificate authorities",
            Self::NoRegion => "write `region = NAME` in the profile, or set `AWS_REGION`",
            Self::CustomEndpointWith(_) | Self::FileAndCommandLine | Self::Both(..) => {
                "leave one of them out"
            }
            Self::HandedDown(_) => "leave it out here, or do not set it before",
            Self::UnknownAccount { .. } => {
                "write a name from that file, or the number that `id` prints for an account from elsewhere"
            }
            Self::DynamicAccount { .. } => {
                "give the service a fixed user (`User=` without `DynamicUser=`), and write that user here"
            }
            Self::Unreadable(_) => return None,
        };
        Some(fixed.to_owned())
    }
}
