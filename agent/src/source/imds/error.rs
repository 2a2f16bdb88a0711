//! Why the instance metadata service gave no answer, and what to do about it.

use std::error::Error;
use std::fmt;

use crate::disposition::Disposition;
use crate::transport::{Phase, TransportError};

/// The code where the trust policy of the instance's role is at fault; whatever else the service has codes for may
/// pass by itself.
const UNTRUSTED: &str = "AssumeRoleUnauthorizedAccess";

/// Why the instance metadata service gave no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImdsError {
    /// The configuration or the environment forbids asking.
    Disabled,
    /// No reply.
    Unreachable {
        /// The base URL.
        endpoint: String,
        /// Whether the session token was being fetched.
        fetching_token: bool,
        /// Why.
        cause: TransportError,
    },
    /// The request for a session token was answered with this status.
    TokenRefused(u16),
    /// Fresh session tokens are refused.
    Unauthorized,
    /// A request was answered with a status that is not expected.
    Status {
        /// The path asked for.
        path: String,
        /// The status.
        status: u16,
    },
    /// The instance has no instance profile.
    NoInstanceProfile,
    /// The configured instance profile name is not known.
    UnknownInstanceProfile(String),
    /// The service answered that it cannot provide credentials.
    Code {
        /// `Code` of the document.
        code: String,
        /// `Message` of the document.
        message: String,
    },
    /// The reply cannot be understood.
    BadReply {
        /// The path asked for.
        path: String,
        /// What is wrong with the reply, never the reply itself.
        problem: &'static str,
    },
}

/// Whether a status passes by itself.
pub(super) fn is_transient(status: u16) -> bool {
    status >= 500 || status == 429
}

impl ImdsError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Disabled => Disposition::Misconfigured,
            Self::TokenRefused(403) | Self::Unauthorized => Disposition::Refused,
            Self::Code { code, .. } if code == UNTRUSTED => Disposition::Refused,
            Self::UnknownInstanceProfile(_) | Self::TokenRefused(400 | 404 | 405) => {
                Disposition::Misconfigured
            }
            Self::Status { status: 403, .. } => Disposition::Refused,
            Self::Unreachable { .. }
            | Self::NoInstanceProfile
            | Self::Status { .. }
            | Self::TokenRefused(_)
            | Self::Code { .. }
            | Self::BadReply { .. } => Disposition::Retry,
        }
    }

    /// Whether the service gave no answer that anybody has decided on: what it handed out before may still be good.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::BadReply { .. } => true,
            Self::TokenRefused(status) | Self::Status { status, .. } => is_transient(*status),
            Self::Disabled
            | Self::Unauthorized
            | Self::NoInstanceProfile
            | Self::UnknownInstanceProfile(_)
            | Self::Code { .. } => false,
        }
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Disabled => {
                "unset AWS_EC2_METADATA_DISABLED, or remove disable_ec2_metadata from the profile".to_owned()
            }
            Self::Unreachable {
                fetching_token: true, cause: TransportError::Timeout(Phase::Reply), ..
            } => {
                "the service accepts connections but its answer does not arrive: inside a container the hop \
                 limit is the usual reason; run `aws ec2 modify-instance-metadata-options --instance-id ID \
                 --http-put-response-hop-limit 2`"
                    .to_owned()
            }
            Self::Unreachable { .. } => {
                "this is not an EC2 instance, or a firewall or route keeps the metadata service away"
                    .to_owned()
            }
            Self::TokenRefused(403) | Self::Status { status: 403, .. } => {
                "the metadata service is disabled for this instance or blocked on this host; run `aws ec2 \
                 modify-instance-metadata-options --instance-id ID --http-endpoint enabled`"
                    .to_owned()
            }
            Self::TokenRefused(_) => {
                "IMDSv2 is required and IMDSv1 is never used; check what answers at the endpoint".to_owned()
            }
            Self::NoInstanceProfile => {
                "attach an instance profile to the instance; the next refresh picks it up".to_owned()
            }
            Self::UnknownInstanceProfile(_) => {
                "correct ec2_instance_profile_name or AWS_EC2_INSTANCE_PROFILE_NAME, or leave it out"
                    .to_owned()
            }
            Self::Code { code, .. } if code == UNTRUSTED => {
                "the trust policy of the instance's role has to allow sts:AssumeRole to the service \
                 ec2.amazonaws.com"
                    .to_owned()
            }
            Self::Code { .. } | Self::Unauthorized | Self::Status { .. } | Self::BadReply { .. } => {
                return None;
            }
        })
    }
}

impl fmt::Display for ImdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("the instance metadata service is disabled by the configuration"),
            Self::Unreachable { endpoint, fetching_token: true, .. } => {
                write!(f, "no session token from the instance metadata service at `{endpoint}`")
            }
            Self::Unreachable { endpoint, .. } => {
                write!(f, "no answer from the instance metadata service at `{endpoint}`")
            }
            Self::TokenRefused(403) => {
                f.write_str("the instance metadata service is forbidden or disabled (403)")
            }
            Self::TokenRefused(status) => {
                write!(f, "the instance metadata service refused a session token with status {status}")
            }
            Self::Unauthorized => f.write_str("the instance metadata service refuses its own session tokens"),
            Self::Status { path, status } => {
                write!(f, "the instance metadata service answered `{path}` with status {status}")
            }
            Self::NoInstanceProfile => f.write_str("the instance has no instance profile"),
            Self::UnknownInstanceProfile(name) => {
                write!(f, "the instance metadata service knows no instance profile `{name}`")
            }
            Self::Code { code, message } => {
                write!(f, "the instance metadata service has no credentials: {code}: {message}")
            }
            Self::BadReply { path, problem } => {
                write!(f, "the instance metadata service answered `{path}` with {problem}")
            }
        }
    }
}

impl Error for ImdsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable { cause, .. } => Some(cause),
            Self::Disabled
            | Self::TokenRefused(_)
            | Self::Unauthorized
            | Self::Status { .. }
            | Self::NoInstanceProfile
            | Self::UnknownInstanceProfile(_)
            | Self::Code { .. }
            | Self::BadReply { .. } => None,
        }
    }
}
