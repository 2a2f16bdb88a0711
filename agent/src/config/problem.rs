//! The list of everything that can be wrong with a configuration, each with its wording. The advice is in `advice.rs`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::error::Shown;
use super::trust::Untrusted;
use super::url::without_secrets;

/// A line that follows no rule of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Syntax {
    /// A section header without its closing bracket.
    UnclosedSection,
    /// A section header that does not begin in the first column.
    IndentedSection,
    /// A property before any section.
    OutsideSection,
    /// A line without `=`.
    NoEquals,
    /// Nothing before the `=`.
    EmptyKey,
    /// An indented line that is no property, directly after a section header.
    ContinuationAfterHeader,
    /// An indented line without `=` below a property whose value is empty.
    NestedNoEquals,
}

/// What somebody who wrote the unknown `name` probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A key of the same kind of section.
    Key(&'static str),
    /// A key of the other kind of section.
    Elsewhere(&'static str),
    /// Nothing comes near.
    Nothing,
}

/// What is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// No file in any of the places.
    NothingFound {
        /// The places, as somebody would write them.
        looked: Vec<String>,
    },
    /// A file was named, and it does not exist.
    Missing,
    /// A file cannot be read.
    Unreadable(io::Error),
    /// What the name leads to is no file: "a directory", for instance.
    NotAFile(&'static str),
    /// More than this many bytes.
    TooLarge(usize),
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// Run as root, and somebody else can change the file.
    Untrusted(Untrusted),
    /// The agent published this file itself.
    PublishedByUs,
    /// A path begins with `~`, and `HOME` is not set.
    HomeUnset(PathBuf),
    /// `--config` together with a profile on the command line.
    FileAndCommandLine,
    /// A line that follows no rule.
    Syntax(Syntax),
    /// A `rolekeeper_` key, or a key in `[rolekeeper]`, that does not exist.
    UnknownKey {
        /// The key.
        key: String,
        /// What was probably meant.
        meant: Meant,
    },
    /// `[rolekeeper NAME]`.
    NamedAgentSection,
    /// A value outside what its key allows.
    Value {
        /// The key or environment variable.
        key: &'static str,
        /// The value.
        value: String,
        /// The end of the sentence "`key` is `value`, ...".
        complaint: &'static str,
        /// What to write instead.
        write: &'static str,
    },
    /// A value of one line that goes on for more; they are never shown, for they may hold a misplaced secret.
    SeveralLines(String),
    /// A part of static keys that is missing although another part is there.
    HalfOfKeys {
        /// The missing key.
        missing: &'static str,
    },
    /// A static key that cannot be one; its value is never shown.
    MalformedKey(&'static str),
    /// A key that this version recognises and cannot act on.
    NotBuilt(String),
    /// A base source that this version recognises and cannot start from.
    SourceNotBuilt(String),
    /// Two keys of which only one can be meant.
    Both(&'static str, &'static str),
    /// Session policies of so many characters.
    LongPolicies(usize),
    /// A later hop sets what an earlier one hands down for good.
    HandedDown(&'static str),
    /// No profile of that name.
    NoSuchProfile {
        /// The name that is most like it.
        near: Option<String>,
        /// A section `[NAME]` exists that lacks the word `profile`.
        unprefixed: bool,
    },
    /// The profile exists, but is not managed.
    NotManaged {
        /// What to write so that it is.
        write: &'static str,
    },
    /// `source_profile` names no profile.
    UnknownSourceProfile {
        /// The name.
        source: String,
        /// The name that is most like it.
        near: Option<String>,
        /// A section `[NAME]` exists that lacks the word `profile`.
        unprefixed: bool,
    },
    /// The profiles lead back to one of themselves, in this order.
    Loop(Vec<String>),
    /// A role without anything to assume it with.
    RoleWithoutSource,
    /// `source_profile` and `credential_source` together.
    TwoSources,
    /// A key for the session of a role, or a proof of identity for one, in a profile that has none.
    OptionWithoutRole(String),
    /// A key of the calls that are signed, in a profile whose role takes the word of an identity provider.
    BesideIdentity(String),
    /// A key of a source that needs it is not there.
    MissingKey(&'static str),
    /// A key of another source, or of a role of its own, in a profile with one of our sources.
    BesideSource {
        /// The key.
        key: String,
        /// What the credentials come from.
        source: &'static str,
    },
    /// `source_profile` in a profile that has no role to assume.
    SourceWithoutRole,
    /// A profile without credentials, at the start of a chain.
    NoCredentials,
    /// A profile that names itself as its source and has no keys.
    SelfWithoutKeys,
    /// `services` names no section.
    UnknownServices(String),
    /// A region and a role in different partitions.
    PartitionMismatch {
        /// The region.
        region: String,
        /// Its partition.
        region_partition: &'static str,
        /// The partition of the role.
        role_partition: &'static str,
    },
    /// An isolated partition, whose certificates no public root has signed.
    CaBundleNeeded(&'static str),
    /// STS is to be called and nothing says where.
    NoRegion,
    /// A custom endpoint together with an option that chooses among AWS's endpoints.
    CustomEndpointWith(&'static str),
    /// No such name in the user or group database.
    UnknownAccount {
        /// `rolekeeper_owner` or `rolekeeper_group`.
        key: &'static str,
        /// The name.
        name: String,
        /// The database.
        database: PathBuf,
    },
    /// A user or group that systemd gives to services with `DynamicUser`, and to others later.
    DynamicAccount {
        /// `rolekeeper_owner` or `rolekeeper_group`.
        key: &'static str,
        /// The number.
        id: u32,
    },
}

impl Problem {
    /// The error underneath.
    pub(crate) fn cause(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Unreadable(cause) = self { Some(cause) } else { None }
    }

    /// Whether it is about a file that a profile names and that is read for every refresh: it may be mended while the
    /// configuration stays as it is.
    pub(crate) fn is_of_named_file(&self) -> bool {
        matches!(
            self,
            Self::Missing
                | Self::Unreadable(_)
                | Self::NotAFile(_)
                | Self::TooLarge(_)
                | Self::NotUtf8
                | Self::Untrusted(_)
                | Self::LongPolicies(_)
                | Self::Value { key: "rolekeeper_policy_file", .. }
        )
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnclosedSection => "section header does not end with `]`",
            Self::IndentedSection => "section header is indented",
            Self::OutsideSection => "property before the first section",
            Self::NoEquals => "line has no `=`",
            Self::EmptyKey => "nothing stands before the `=`",
            Self::ContinuationAfterHeader => "indented line directly after a section header has no `=`",
            Self::NestedNoEquals => "indented line below a property without a value has no `=`",
        })
    }
}

fn half_of_keys(missing: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if missing == "AWS_ROLE_ARN" {
        f.write_str("`AWS_WEB_IDENTITY_TOKEN_FILE` is set without `AWS_ROLE_ARN`")
    } else if missing.ends_with("_arn") || missing.ends_with("_file") {
        write!(f, "a proof of identity without `{missing}`")
    } else {
        write!(f, "static keys without `{missing}`")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingFound { looked } => {
                write!(f, "no configuration found; looked at {}", looked.join(", "))
            }
            Self::Missing => f.write_str("the file does not exist"),
            Self::Unreadable(_) => f.write_str("the file cannot be read"),
            Self::NotAFile(kind) => write!(f, "{kind}, not a file"),
            Self::TooLarge(limit) => write!(f, "the file is larger than {limit} bytes"),
            Self::NotUtf8 => f.write_str("the line is not UTF-8"),
            Self::Untrusted(untrusted) => write!(f, "not trusted by root: {untrusted}"),
            Self::PublishedByUs => f.write_str("rolekeeper itself published this file"),
            Self::HomeUnset(path) => {
                write!(f, "`{}` needs `HOME`, which is not set", Shown(&path.to_string_lossy()))
            }
            Self::FileAndCommandLine => {
                f.write_str("`--config` and a profile on the command line exclude each other")
            }
            Self::Syntax(syntax) => syntax.fmt(f),
            Self::UnknownKey { key, .. } => write!(f, "unknown key `{}`", Shown(key)),
            Self::NamedAgentSection => f.write_str("the section `[rolekeeper]` takes no name"),
            Self::Value { key, value, .. } if value.is_empty() => write!(f, "`{key}` is empty"),
            Self::Value { key, value, complaint, .. } => {
                write!(f, "`{key}` is `{}`, {complaint}", Shown(&without_secrets(value)))
            }
            Self::SeveralLines(key) => write!(f, "`{key}` goes on in the indented line below"),
            Self::HalfOfKeys { missing } => half_of_keys(missing, f),
            Self::MalformedKey(key) => {
                write!(f, "`{key}` has spaces, line breaks or characters that no key has")
            }
            Self::NotBuilt(what) | Self::SourceNotBuilt(what) => {
                write!(f, "`{what}` is not supported by this version")
            }
            Self::Both(one, other) => write!(f, "both `{one}` and `{other}` are given"),
            Self::LongPolicies(length) => {
                write!(f, "the session policies have {length} characters, more than the 2048 that STS takes")
            }
            Self::HandedDown(what) => {
                write!(f, "{what} that an earlier role of the chain hands down cannot be changed")
            }
            Self::NoSuchProfile { .. } => f.write_str("no such profile"),
            Self::NotManaged { .. } => f.write_str("the profile is not managed"),
            Self::UnknownSourceProfile { source, .. } => {
                write!(f, "`source_profile` names `{}`, which does not exist", Shown(source))
            }
            Self::Loop(names) => write!(f, "the profiles form a loop: {}", Shown(&names.join(" -> "))),
            Self::RoleWithoutSource => {
                f.write_str("`role_arn` without `source_profile` or `credential_source`")
            }
            Self::TwoSources => Self::Both("source_profile", "credential_source").fmt(f),
            Self::OptionWithoutRole(key) => write!(f, "`{key}` without `role_arn`"),
            Self::BesideIdentity(key) => {
                write!(f, "`{key}` cannot be asked for with an identity token or a SAML response")
            }
            Self::MissingKey(key) => write!(f, "`{key}` is missing"),
            Self::BesideSource { key, source } => {
                write!(f, "`{key}` stands in a profile whose credentials come from {source}")
            }
            Self::SourceWithoutRole => f.write_str("`source_profile` without `role_arn`"),
            Self::NoCredentials => f.write_str("the profile has no credentials and no source of any"),
            Self::SelfWithoutKeys => {
                f.write_str("`source_profile` names the profile itself, which has no keys")
            }
            Self::UnknownServices(name) => {
                write!(f, "`services` names `{}`, which does not exist", Shown(name))
            }
            Self::PartitionMismatch { region, region_partition, role_partition } => write!(
                f,
                "region `{}` is in partition `{region_partition}`, the role in `{role_partition}`",
                Shown(region)
            ),
            Self::CaBundleNeeded(partition) => write!(f, "partition `{partition}` needs a `ca_bundle`"),
            Self::NoRegion => f.write_str("no region, and the chain starts where none can be learnt"),
            Self::CustomEndpointWith(option) => write!(f, "a custom endpoint excludes `{option}`"),
            Self::UnknownAccount { key, name, database } => {
                write!(f, "`{key}` is `{}`, which is not in `{}`", Shown(name), database.display())
            }
            Self::DynamicAccount { key, id } => {
                write!(f, "`{key}` is {id}, which systemd gives to one dynamic user after another")
            }
        }
    }
}
