//! What a configuration means, once it has been checked: every value here is already valid.
//! Knows nothing of files, syntax or the network.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::endpoint::StsEndpointRule;
use crate::credentials::Credentials;

/// One profile that can be refreshed: where its credentials come from and where they are published.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name in `[profile NAME]`.
    pub name: String,
    /// How its credentials are obtained.
    pub chain: RoleChain,
    /// The region from the environment or the profile; `None` means that IMDS is asked where the chain
    /// starts there.
    pub region: Option<String>,
    /// How STS is reached; taken from this profile, never from its `source_profile`.
    pub sts: StsSettings,
    /// How IMDS is reached.
    pub imds: ImdsSettings,
    /// Whether services may correct the time for its requests: `AWS_DISABLE_CLOCK_SKEW_CORRECTION`, else
    /// `disable_clock_skew_correction`, opts out.
    pub corrects_clock: bool,
    /// How its files are published.
    pub publication: Publication,
    /// When it is refreshed.
    pub refresh: RefreshSettings,
    /// `rolekeeper_sts_fallback_regions`: where STS is asked, in this order, when that of `region` is silent.
    pub sts_fallback_regions: Vec<String>,
    /// What runs after each rotation.
    pub on_rotate: Option<RotationHook>,
}

/// A base source and the roles that are assumed from it, in the order of the calls.
#[derive(Clone, Debug)]
pub struct RoleChain {
    /// Where the chain starts.
    pub base: BaseSource,
    /// The roles, first hop first; empty where a profile publishes its base source's own credentials.
    pub roles: Vec<Role>,
}

/// Where a chain starts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BaseSource {
    /// The credentials of the EC2 instance profile, from `IMDSv2`.
    Ec2InstanceMetadata,
    /// Keys written in the profile named.
    StaticKeys {
        /// The profile that holds the keys.
        profile: String,
        /// The keys.
        credentials: Credentials,
        /// `aws_account_id` of that profile.
        account_id: Option<String>,
    },
}

/// One `AssumeRole` hop.
#[derive(Clone, Debug)]
pub struct Role {
    /// The profile that describes the hop.
    pub profile: String,
    /// `role_arn`, checked for form and length.
    pub role_arn: String,
    /// `role_session_name`; `None` means the default that identifies the host.
    pub role_session_name: Option<String>,
    /// `external_id`.
    pub external_id: Option<String>,
    /// `duration_seconds`, 900 to 43200; `None` means 3600.
    pub duration_seconds: Option<u32>,
}

/// How STS is reached.
#[derive(Clone, Debug)]
pub struct StsSettings {
    /// Turns the region, known at the latest when IMDS has answered, into an endpoint.
    pub endpoint: StsEndpointRule,
    /// `ca_bundle`: a PEM file of roots used instead of the embedded ones, as the AWS CLI does.
    pub ca_bundle: Option<PathBuf>,
}

/// How IMDS is reached.
#[derive(Clone, Debug)]
pub struct ImdsSettings {
    /// Base URL without a trailing slash, for instance `http://169.254.169.254`.
    pub endpoint: String,
    /// `AWS_EC2_METADATA_DISABLED` is true, or `disable_ec2_metadata` in the profile: IMDS is never contacted.
    pub disabled: bool,
    /// `AWS_EC2_INSTANCE_PROFILE_NAME` or `ec2_instance_profile_name`: the role listing is skipped.
    pub instance_profile_name: Option<String>,
}

/// How the files of one profile are published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// `rolekeeper_owner`, resolved; `None` means the agent's user.
    pub owner: Option<u32>,
    /// `rolekeeper_group`, resolved; `None` means the agent's group.
    pub group: Option<u32>,
    /// `rolekeeper_mode`; 0600 by default.
    pub mode: u32,
    /// `rolekeeper_credential_process`: the command written into the published `config` files instead of
    /// `rolekeeper print NAME`.
    pub credential_process: Option<String>,
    /// `rolekeeper_credentials_file`, absolute: a file that others own too, which gets a section named like the
    /// profile.
    pub credentials_file: Option<PathBuf>,
    /// `rolekeeper_write_mode`.
    pub write_mode: WriteMode,
}

/// `rolekeeper_write_mode`: how a file is written that is a mount point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// `rename`: not at all, because nothing can be renamed to it.
    #[default]
    Rename,
    /// `in-place`: over its content, where a reader may see a part.
    InPlace,
}

/// What runs after each rotation.
#[derive(Clone, Debug)]
pub struct RotationHook {
    /// `rolekeeper_on_rotate`: the program, by an absolute path or a name in `PATH`, and its arguments.
    pub words: Vec<String>,
    /// `rolekeeper_on_rotate_timeout_seconds`: 1 second to an hour; one minute by default.
    pub timeout: Duration,
}

/// When a profile is refreshed.
#[derive(Clone, Debug)]
pub struct RefreshSettings {
    /// `rolekeeper_refresh_after_percent`: the share of the lifetime, 10 to 90, after which credentials are
    /// refreshed at the latest; 50 by default.
    pub after_percent: u8,
    /// `rolekeeper_margin_seconds`: the life that must be left when a refresh is due, and below which a failed
    /// refresh is an error; 20 minutes by default.
    pub margin: Duration,
}
