//! The security token service: signed calls over the transport, retried as their errors deserve. Which roles to
//! assume, and with whose credentials, is the caller's business.

mod error;
mod fallback;
mod hop;
mod request;
mod response;
mod session_name;

pub use error::{ErrorClass, ServiceError, StsError};
pub use fallback::somewhere;
pub use hop::{Hop, Hops, Wanted, sts_region};
pub use request::{AssumeRole, Proof};
pub use response::{AssumedRole, CallerIdentity};
pub use session_name::default_session_name;

use std::time::Duration;

use log::debug;

use self::request::CONTENT_TYPE;
use crate::config::endpoint::StsEndpoint;
use crate::config::model::StsSettings;
use crate::credentials::Credentials;
use crate::host::{Host, Teller};
use crate::retry::Backoff;
use crate::transport::{Channel, Method, Request, Response};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// All attempts and waits of one call together.
const TOTAL: Duration = Duration::from_secs(30);
const BACKOFF: Backoff =
    Backoff { attempts: 3, first: Duration::from_millis(500), cap: Duration::from_secs(5) };
const THROTTLED: Backoff =
    Backoff { attempts: 4, first: Duration::from_secs(1), cap: Duration::from_secs(10) };

/// STS in one region, for one profile's settings.
#[derive(Debug)]
pub struct Sts<'a> {
    host: &'a Host<'a>,
    settings: &'a StsSettings,
    endpoint: StsEndpoint,
}

/// One attempt: a result, a failure that is final, or one that may pass.
enum Attempt<T> {
    Done(T),
    Transient { error: StsError, backoff: Backoff },
    Skewed(StsError),
}

impl<'a> Sts<'a> {
    /// STS in `region`.
    ///
    /// # Errors
    ///
    /// When the settings give no endpoint for this region.
    pub fn new(settings: &'a StsSettings, region: &str, host: &'a Host<'a>) -> Result<Self, StsError> {
        let endpoint = settings.endpoint.resolve(region).map_err(StsError::Endpoint)?;
        Ok(Self { host, settings, endpoint })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Calls `AssumeRole`, or the action of its kind that the proof is for.
    ///
    /// # Errors
    ///
    /// When STS cannot be reached, refuses, or answers what nobody can make sense of.
    pub fn assume_role(&self, call: &AssumeRole<'_>) -> Result<AssumedRole, StsError> {
        let caller = match call.proof {
            Proof::Keys(caller) => Some(caller),
            Proof::WebIdentity { .. } | Proof::Saml { .. } => None,
        };
        self.call(call.action(), &call.body(), caller, response::parse_assumed_role)
    }

    /// Calls `GetCallerIdentity`, which every identity may.
    ///
    /// # Errors
    ///
    /// As for [`Self::assume_role`].
    pub fn caller_identity(&self, caller: &Credentials) -> Result<CallerIdentity, StsError> {
        let body = request::caller_identity_body();
        self.call("GetCallerIdentity", &body, Some(caller), response::parse_caller_identity)
    }

    /// Signed with `caller`, or not at all.
    fn call<T>(
        &self,
        action: &'static str,
        body: &str,
        caller: Option<&Credentials>,
        parse: impl Fn(&[u8]) -> Result<T, &'static str>,
    ) -> Result<T, StsError> {
        let deadline = self.host.clock.uptime().saturating_add(TOTAL);
        let mut number = 1;
        let mut resigned = false;
        loop {
            let (error, pause) = match self.attempt(action, body, caller, deadline, &parse)? {
                Attempt::Done(value) => return Ok(value),
                // Signed again with the time that was just learnt; a second refusal is final.
                Attempt::Skewed(error) if resigned => return Err(error),
                Attempt::Skewed(error) => {
                    resigned = true;
                    (error, Some(Duration::ZERO))
                }
                Attempt::Transient { error, backoff } => {
                    let pause = backoff.after(number, &self.host.jitter);
                    let wish = error.retry_after().unwrap_or_default();
                    (error, pause.map(|pause| pause.max(wish)))
                }
            };
            let Some(pause) = pause else { return Err(error) };
            // Also where the service itself asks for a wait that is longer than a call may take: not now, then. The
            // error carries the wish on.
            if self.host.clock.uptime().saturating_add(pause) >= deadline {
                return Err(error);
            }
            debug!("attempt {number} of {action} failed: {error}");
            self.host.clock.pause(pause);
            number = number.saturating_add(1);
        }
    }

    fn attempt<T>(
        &self,
        action: &'static str,
        body: &str,
        caller: Option<&Credentials>,
        deadline: Duration,
        parse: impl Fn(&[u8]) -> Result<T, &'static str>,
    ) -> Result<Attempt<T>, StsError> {
        let transient = |error| Ok(Attempt::Transient { error, backoff: BACKOFF });
        let believed = self.host.clock_offset();
        let response = match self.send(body, caller, deadline) {
            Ok(response) => response,
            Err(StsError::Unreachable { endpoint, cause }) if cause.is_transient() => {
                return transient(StsError::Unreachable { endpoint, cause });
            }
            Err(error) => return Err(error),
        };
        let has_new_time = self.host.hear(&response, Teller::Sts { believed });
        if response.status == 200 {
            return match parse(&response.body) {
                Ok(value) => Ok(Attempt::Done(value)),
                Err(problem) => transient(StsError::BadReply { action, problem }),
            };
        }
        let mut error =
            response::parse_error(response.status, &response.body, response.header("x-amzn-requestid"));
        let class = error.class();
        error.retry_after = retry_after(&response).filter(|_| class == ErrorClass::Throttled);
        let error = StsError::Service { action, endpoint: self.endpoint.url.clone(), error: Box::new(error) };
        match class {
            ErrorClass::Transient => transient(error),
            ErrorClass::Throttled => Ok(Attempt::Transient { error, backoff: THROTTLED }),
            ErrorClass::ClockSkew if has_new_time => Ok(Attempt::Skewed(error)),
            ErrorClass::ClockSkew
            | ErrorClass::StaleCredentials
            | ErrorClass::ChainedDuration
            | ErrorClass::Denied
            | ErrorClass::Permanent => Err(error),
        }
    }

    fn send(
        &self,
        body: &str,
        caller: Option<&Credentials>,
        deadline: Duration,
    ) -> Result<Response, StsError> {
        let url = format!("{}/", self.endpoint.url);
        let sent = [("content-type", CONTENT_TYPE)];
        let request = sigv4::Request::new("POST", &url)
            .map_err(StsError::Signing)?
            .with_headers(&sent)
            .with_payload(sigv4::Payload::Bytes(body.as_bytes()));
        let mut headers = sent.to_vec();
        let signed;
        if let Some(caller) = caller {
            let credentials = caller.as_signing();
            let scope = sigv4::Scope::new(&self.endpoint.signing_region, "sts");
            let settings = sigv4::Settings::default();
            signed = sigv4::sign(&request, &credentials, scope, self.host.true_time(), settings)
                .map_err(StsError::Signing)?;
            headers.extend(signed.headers().map(|header| (header.name, header.value)));
        }
        let remaining = deadline.saturating_sub(self.host.clock.uptime());
        let request = Request {
            channel: Channel::Sts { ca_bundle: self.settings.ca_bundle.as_deref() },
            method: Method::Post,
            url: &url,
            headers: &headers,
            body: body.as_bytes(),
            connect_timeout: CONNECT_TIMEOUT,
            timeout: REQUEST_TIMEOUT.min(remaining),
            told_time: self.host.told_time(),
        };
        self.host
            .transport
            .send(&request)
            .map_err(|cause| StsError::Unreachable { endpoint: self.endpoint.url.clone(), cause })
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    response.header("x-amz-retry-after")?.trim().parse().ok().map(Duration::from_millis)
}
