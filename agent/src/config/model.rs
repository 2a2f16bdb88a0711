//! What a configuration means, once it has been checked: every value here is already valid.
//! Knows nothing of files, syntax or the network.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::endpoint::StsEndpointRule;
use crate::credentials::{IssuedCredentials, Secret};

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
    /// Keys that the configuration itself holds.
    StaticKeys {
        /// Where they stand.
        holder: KeyHolder,
        /// The keys.
        issued: IssuedCredentials,
    },
    /// The credentials provider of AWS IoT Core, for a device with a certificate.
    Iot(Box<IotSettings>),
    /// IAM Roles Anywhere, for a host with a certificate.
    RolesAnywhere(Box<RolesAnywhereSettings>),
    /// The credentials of a container's task or pod.
    EcsContainer(ContainerSettings),
    /// A `credential_process`.
    Process(ProcessSettings),
    /// A role that an OIDC token proves to be ours: `AssumeRoleWithWebIdentity`.
    WebIdentity {
        /// The role.
        role: Role,
        /// `web_identity_token_file`, absolute.
        token_file: PathBuf,
    },
    /// A role that a SAML assertion proves to be ours: `AssumeRoleWithSAML`.
    Saml {
        /// The role; its session is named by the assertion.
        role: Role,
        /// `rolekeeper_saml_principal_arn`: the identity provider in IAM.
        principal_arn: String,
        /// `rolekeeper_saml_assertion_file`, absolute.
        assertion_file: PathBuf,
    },
}

/// How the credentials provider of AWS IoT Core is asked.
#[derive(Clone, Debug)]
pub struct IotSettings {
    /// `https://` and the account's host, without a slash at the end.
    pub endpoint: String,
    /// `rolekeeper_iot_role_alias`, which stands for the role.
    pub role_alias: String,
    /// `rolekeeper_iot_thing_name`.
    pub thing_name: Option<String>,
    /// The device's certificate and key.
    pub files: X509Files,
    /// `rolekeeper_iot_ca_file`: a PEM file of roots for this endpoint alone, before `ca_bundle`.
    pub ca_file: Option<PathBuf>,
}

/// How IAM Roles Anywhere is asked.
#[derive(Clone, Debug)]
pub struct RolesAnywhereSettings {
    /// Scheme, host and port, without a slash at the end.
    pub endpoint: String,
    /// The region of the trust anchor.
    pub region: String,
    /// The trust anchor, which vouches for the certificate's issuer.
    pub trust_anchor_arn: String,
    /// The profile of Roles Anywhere, which lists the roles.
    pub profile_arn: String,
    /// The role.
    pub role_arn: String,
    /// The host's certificate and key.
    pub files: X509Files,
    /// 900 to 43200; `None` means 3600.
    pub duration_seconds: Option<u32>,
    /// The name of the session, which the profile has to permit; `None` means the certificate's serial number.
    pub session_name: Option<String>,
}

/// The files of a certificate. They are read at every refresh, so that a renewed certificate is picked up.
#[derive(Clone, Debug)]
pub struct X509Files {
    /// The certificate; behind it may stand those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// What leads from the certificate to its root, instead of what stands behind it.
    pub chain: Option<PathBuf>,
}

/// Where static keys stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyHolder {
    /// In the profile of this name.
    Profile(String),
    /// In the agent's own environment.
    Environment,
}

/// The endpoint that a container is given for its credentials.
#[derive(Clone, Debug)]
pub struct ContainerSettings {
    /// The whole URL, query included. In plain HTTP its host is one of the permitted addresses, or a name.
    pub url: String,
    /// What is sent in `Authorization`.
    pub authorization: Option<Authorization>,
}

/// What a container's endpoint is to see in `Authorization`.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`
    Text(Secret),
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`, read for each request.
    File(PathBuf),
}

/// A command that prints credentials.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// The profile that names it.
    pub profile: String,
    /// The program, by an absolute path or a name in `PATH`, and its arguments.
    pub words: Vec<String>,
    /// `PATH` in the agent's environment, or a usual one.
    pub path: OsString,
    /// `aws_account_id` of that profile, where the command does not tell.
    pub account_id: Option<String>,
}

impl BaseSource {
    /// What `status` calls it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Ec2InstanceMetadata => "Ec2InstanceMetadata".to_owned(),
            Self::Iot(iot) => format!("AWS IoT role alias {}", iot.role_alias),
            Self::RolesAnywhere(settings) => format!("Roles Anywhere as {}", settings.role_arn),
            Self::StaticKeys { holder: KeyHolder::Profile(name), .. } => {
                format!("static keys of profile {name}")
            }
            Self::StaticKeys { holder: KeyHolder::Environment, .. } => "Environment".to_owned(),
            Self::EcsContainer(_) => "EcsContainer".to_owned(),
            Self::Process(process) => format!("credential_process of profile {}", process.profile),
            Self::WebIdentity { role, .. } => format!("web identity as {}", role.role_arn),
            Self::Saml { role, .. } => format!("SAML as {}", role.role_arn),
        }
    }

    /// Whether it gives a role's session, for which AWS limits the sessions of further roles to one hour.
    #[must_use]
    pub fn is_role(&self) -> bool {
        match self {
            Self::StaticKeys { issued, .. } => issued.credentials.session_token.is_some(),
            // Nobody knows before it has run.
            Self::Process(_) => false,
            Self::Ec2InstanceMetadata
            | Self::EcsContainer(_)
            | Self::Iot(_)
            | Self::RolesAnywhere(_)
            | Self::WebIdentity { .. }
            | Self::Saml { .. } => true,
        }
    }

    /// The role that STS itself gives at the start, which takes a region.
    #[must_use]
    pub fn first_role(&self) -> Option<&Role> {
        match self {
            Self::WebIdentity { role, .. } | Self::Saml { role, .. } => Some(role),
            Self::Ec2InstanceMetadata
            | Self::StaticKeys { .. }
            | Self::EcsContainer(_)
            | Self::Iot(_)
            | Self::RolesAnywhere(_)
            | Self::Process(_) => None,
        }
    }

    /// The same, to be completed.
    pub(crate) fn first_role_mut(&mut self) -> Option<&mut Role> {
        match self {
            Self::WebIdentity { role, .. } | Self::Saml { role, .. } => Some(role),
            Self::Ec2InstanceMetadata
            | Self::StaticKeys { .. }
            | Self::EcsContainer(_)
            | Self::Iot(_)
            | Self::RolesAnywhere(_)
            | Self::Process(_) => None,
        }
    }

    /// Whether the chain starts at the instance metadata service, which then is asked for what else it knows.
    #[must_use]
    pub fn is_instance(&self) -> bool {
        matches!(self, Self::Ec2InstanceMetadata)
    }
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
    /// `mfa_serial`: the device whose code somebody has to type.
    pub mfa_serial: Option<String>,
    /// What narrows the session.
    pub policies: SessionPolicies,
    /// `rolekeeper_tags`: keys and values, in the order of the file.
    pub tags: Vec<(String, String)>,
    /// `rolekeeper_transitive_tags`: those keys of `tags` that the sessions after this one inherit.
    pub transitive_tags: Vec<String>,
    /// `rolekeeper_source_identity`.
    pub source_identity: Option<String>,
}

/// Session policies: what they do not allow, the session may not do, whatever its role may.
#[derive(Clone, Debug, Default)]
pub struct SessionPolicies {
    /// `rolekeeper_policy`, or the content of `rolekeeper_policy_file` when the configuration was read.
    pub inline: Option<String>,
    /// `rolekeeper_policy_arns`: managed policies of the role's account, or of AWS.
    pub arns: Vec<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshSettings {
    /// `rolekeeper_refresh_after_percent`: the share of the lifetime, 10 to 90, after which credentials are
    /// refreshed at the latest; 50 by default.
    pub after_percent: u8,
    /// `rolekeeper_margin_seconds`: the life that must be left when a refresh is due, and below which a failed
    /// refresh is an error; 20 minutes by default.
    pub margin: Duration,
}
