//! Why STS gave no credentials, and what to do about it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::config::endpoint::InvalidRegion;
use crate::disposition::Disposition;
use crate::transport::TransportError;

/// An error that STS itself reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// `Code`, bounded and escaped.
    pub code: Option<String>,
    /// `Message`, bounded and escaped.
    pub message: Option<String>,
    /// The request id, for AWS support.
    pub request_id: Option<String>,
    /// How long the service that throttles wants to be left alone, where it says so.
    pub retry_after: Option<Duration>,
}

/// What a reported error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Passes by itself.
    Transient,
    /// Too many requests.
    Throttled,
    /// The credentials of the caller are no longer valid: fetch them anew.
    StaleCredentials,
    /// The signature's time is off by more than STS accepts.
    ClockSkew,
    /// The duration exceeds the one hour that a role may assume another role for.
    ChainedDuration,
    /// Access is denied.
    Denied,
    /// Nothing but a changed request helps.
    Permanent,
}

const THROTTLING: [&str; 13] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "EC2ThrottledException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
];

const CLOCK_CODES: [&str; 7] = [
    "SignatureDoesNotMatch",
    "AuthFailure",
    "InvalidSignatureException",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "RequestInTheFuture",
    "AccessDeniedException",
];

impl ServiceError {
    /// What the error means, after the tables of botocore and the Rust SDK.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        let code = self.code.as_deref().unwrap_or_default();
        let message = self.message.as_deref().unwrap_or_default();
        if THROTTLING.contains(&code) || self.status == 429 {
            return ErrorClass::Throttled;
        }
        if CLOCK_CODES.contains(&code) && speaks_of_time(code, message) {
            return ErrorClass::ClockSkew;
        }
        match code {
            "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId" => ErrorClass::StaleCredentials,
            "AccessDenied" | "AccessDeniedException" => ErrorClass::Denied,
            "ValidationError" if message.contains("1 hour session limit") => ErrorClass::ChainedDuration,
            "RequestTimeout"
            | "RequestTimeoutException"
            | "PriorRequestNotComplete"
            | "IDPCommunicationError" => ErrorClass::Transient,
            _ if matches!(self.status, 500 | 502 | 503 | 504) => ErrorClass::Transient,
            // A proxy or a captive portal in between: no AWS code, so nothing that STS has decided.
            "" if self.status < 400 => ErrorClass::Transient,
            _ => ErrorClass::Permanent,
        }
    }
}

/// The same code without such a text means a wrong secret key.
fn speaks_of_time(code: &str, message: &str) -> bool {
    matches!(code, "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture")
        || message.contains("Signature expired")
        || message.contains("Signature not yet current")
}

/// Why STS gave no credentials.
#[derive(Debug)]
#[non_exhaustive]
pub enum StsError {
    /// No endpoint for this region and these settings.
    Endpoint(InvalidRegion),
    /// No region is configured, and the chain does not start at IMDS, which could tell.
    NoRegion,
    /// The request cannot be signed.
    Signing(sigv4::Error),
    /// No reply.
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why.
        cause: TransportError,
    },
    /// No reply a moment ago, to another profile.
    StillSilent {
        /// The endpoint.
        endpoint: String,
    },
    /// STS reported an error.
    Service {
        /// The action that was called.
        action: &'static str,
        /// The endpoint, for messages about regions.
        endpoint: String,
        /// The error.
        error: Box<ServiceError>,
    },
    /// The reply cannot be understood.
    BadReply {
        /// The action that was called.
        action: &'static str,
        /// What is wrong with the reply, never the reply itself.
        problem: &'static str,
    },
}

impl StsError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Endpoint(_) | Self::NoRegion => Disposition::Misconfigured,
            Self::Signing(_) => Disposition::Broken,
            Self::Unreachable {
                cause:
                    TransportError::BadUrl(_) | TransportError::CaBundle { .. } | TransportError::BadProxy { .. },
                ..
            } => Disposition::Misconfigured,
            Self::Unreachable { .. } | Self::StillSilent { .. } | Self::BadReply { .. } => Disposition::Retry,
            Self::Service { action, error, .. } => match error.class() {
                ErrorClass::Transient | ErrorClass::Throttled | ErrorClass::ClockSkew => Disposition::Retry,
                ErrorClass::StaleCredentials | ErrorClass::Denied => Disposition::Refused,
                ErrorClass::ChainedDuration => Disposition::Misconfigured,
                ErrorClass::Permanent => permanent_disposition(action, error),
            },
        }
    }

    /// Whether STS in this region is out of reach or out of order, so that another region's may do better: no answer,
    /// or one with status 5xx that is no throttling. What STS has decided, it has decided for every region.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } => self.disposition() == Disposition::Retry,
            Self::StillSilent { .. } => true,
            Self::Service { error, .. } => error.status >= 500 && error.class() != ErrorClass::Throttled,
            Self::Endpoint(_) | Self::NoRegion | Self::Signing(_) | Self::BadReply { .. } => false,
        }
    }

    /// How long the service wants to be left alone, where it says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Service { error, .. } = self { error.retry_after } else { None }
    }

    /// One sentence for the operator.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::NoRegion => Some("write region = ... into the profile, or set AWS_REGION".to_owned()),
            Self::Service { action, error, endpoint } => service_advice(action, error, endpoint),
            Self::Unreachable { cause: TransportError::WrongClock { .. }, .. } => Some(
                "set the clock of this host and start time synchronisation; a chain that starts at the instance \
                 metadata service learns the time from it, unless AWS_DISABLE_CLOCK_SKEW_CORRECTION is set"
                    .to_owned(),
            ),
            Self::Unreachable { cause, .. } if cause.is_over_dates() => {
                Some("renew the server's certificate: AWS's time is known, and to set the clock would not help".to_owned())
            }
            Self::Unreachable { cause: TransportError::Tls(_), .. } => {
                Some("check ca_bundle, and whether a proxy inspects TLS".to_owned())
            }
            Self::Unreachable { cause: TransportError::UnknownHost(_), endpoint } => Some(format!(
                "check the region and the name servers of this host; nothing resolves `{endpoint}`"
            )),
            Self::Unreachable { cause, endpoint } => cause.proxy_advice(endpoint),
            Self::Endpoint(_) | Self::Signing(_) | Self::StillSilent { .. } | Self::BadReply { .. } => None,
        }
    }
}

/// Codes that IAM or the account can mend count as refused; the rest asks for another configuration.
fn permanent_disposition(action: &str, error: &ServiceError) -> Disposition {
    match error.code.as_deref() {
        // The next token or assertion in the file may be a better one.
        Some("InvalidIdentityToken") if is_federated(action) => Disposition::Refused,
        Some("SignatureDoesNotMatch" | "OptInRequired" | "RegionDisabledException" | "IDPRejectedClaim") => {
            Disposition::Refused
        }
        Some(_) if error.status < 500 => Disposition::Misconfigured,
        _ => Disposition::Retry,
    }
}

/// Whether the action takes the word of an identity provider instead of a signature.
fn is_federated(action: &str) -> bool {
    action != "AssumeRole" && action.starts_with("AssumeRole")
}

fn service_advice(action: &str, error: &ServiceError, endpoint: &str) -> Option<String> {
    Some(match (error.code.as_deref()?, error.class()) {
        ("InvalidIdentityToken" | "IDPRejectedClaim", _) if is_federated(action) => {
            "check the file's issuer and audience against the identity provider in IAM, and the provider's keys"
                .to_owned()
        }
        (_, ErrorClass::StaleCredentials) if is_federated(action) => {
            "what the file holds has expired: whoever writes it has to renew it".to_owned()
        }
        (_, ErrorClass::Denied) if is_federated(action) => {
            format!("the role's trust policy has to allow sts:{action} to the identity provider, audience and subject")
        }
        ("RegionDisabledException", _) => {
            format!(
                "STS is not activated in the region of `{endpoint}`: activate it in the account, or set another region"
            )
        }
        (_, ErrorClass::Denied)
            if error
                .message
                .as_deref()
                .is_some_and(|text| text.contains("MultiFactorAuthentication failed")) =>
        {
            "type the code that the device of mfa_serial shows; each counts once, so wait for the next one"
                .to_owned()
        }
        (_, ErrorClass::Denied) => {
            "the caller needs a policy that allows sts:AssumeRole on the role, and the \
             role's trust policy has to name the caller"
                .to_owned()
        }
        (_, ErrorClass::StaleCredentials) => {
            "the credentials that the chain starts with are expired or deleted; replace them".to_owned()
        }
        (_, ErrorClass::ClockSkew) => {
            "the clock of this host is wrong; set up time synchronisation".to_owned()
        }
        ("SignatureDoesNotMatch", _) => {
            "the secret access key does not belong to the access key id".to_owned()
        }
        ("ValidationError", _)
            if error.message.as_deref().is_some_and(|text| text.contains("MaxSessionDuration")) =>
        {
            "lower duration_seconds, or raise the maximum session duration of the role".to_owned()
        }
        _ => return None,
    })
}

impl fmt::Display for StsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(_) => f.write_str("no STS endpoint"),
            Self::NoRegion => f.write_str("no region is known, so no STS endpoint"),
            Self::Signing(_) => f.write_str("the request cannot be signed"),
            Self::Unreachable { endpoint, .. } => write!(f, "no answer from STS at `{endpoint}`"),
            Self::StillSilent { endpoint } => {
                write!(f, "no answer from STS at `{endpoint}` to another profile a moment ago")
            }
            Self::Service { action, error, .. } => write!(f, "STS refused {action}: {error}"),
            Self::BadReply { action, problem } => write!(f, "STS answered {action} with {problem}"),
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{code} (status {})", self.status)?,
            None => write!(f, "status {}", self.status)?,
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " (request id {request_id})")?;
        }
        Ok(())
    }
}

impl Error for StsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Endpoint(cause) => Some(cause),
            Self::Signing(cause) => Some(cause),
            Self::Unreachable { cause, .. } => Some(cause),
            Self::NoRegion | Self::StillSilent { .. } | Self::Service { .. } | Self::BadReply { .. } => None,
        }
    }
}
