//! Requests to the instance metadata service under a session token: one token for all of them, one deadline
//! for all attempts. Knows the status codes and nothing of the documents.

use std::cell::RefCell;
use std::time::Duration;

use log::debug;
use zeroize::Zeroizing;

use super::error::{ImdsError, is_transient};
use crate::config::url::Url;
use crate::host::{Host, Teller};
use crate::retry::Backoff;
use crate::transport::{Channel, Method, Request, Response};

const TOKEN_PATH: &str = "/latest/api/token";
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
/// The longest life that the service grants.
const TOKEN_TTL: Duration = Duration::from_secs(21_600);
/// A token is not used in the last two minutes of its life.
const TOKEN_MARGIN: Duration = Duration::from_secs(120);
/// A longer text is no session token of IMDS.
const MAX_TOKEN: usize = 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// All requests and waits of one conversation together.
const TOTAL: Duration = Duration::from_secs(8);
const BACKOFF: Backoff =
    Backoff { attempts: 3, first: Duration::from_millis(200), cap: Duration::from_secs(1) };

/// What is wrong with a body, in words that fit behind "answered with".
pub(super) type Problem = &'static str;

struct SessionToken {
    text: Zeroizing<String>,
    /// On the monotonic clock of the host.
    usable_until: Duration,
}

pub(super) struct Session<'a> {
    endpoint: &'a str,
    host: &'a Host<'a>,
    deadline: Duration,
    /// Whether nobody but this host, its hypervisor or its own link can answer at the endpoint: plain HTTP from
    /// further away is not believed about the time, because the time decides which certificates are valid.
    is_on_own_link: bool,
    token: RefCell<Option<SessionToken>>,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// One attempt: a result, or a failure that may pass.
enum Attempt<T> {
    Done(T),
    Transient(ImdsError),
}

impl<'a> Session<'a> {
    pub(super) fn new(endpoint: &'a str, host: &'a Host<'a>) -> Self {
        let deadline = host.clock.uptime().saturating_add(TOTAL);
        let is_on_own_link = Url::parse(endpoint).is_some_and(|url| url.is_on_own_link());
        Self { endpoint, host, deadline, is_on_own_link, token: RefCell::new(None) }
    }

    /// Fetches `path` and reads it with `parse`; `None` is a 404. A body that does not parse is asked for
    /// again, as botocore does, because a service that starts up answers with empty bodies.
    pub(super) fn get<T>(
        &self,
        path: &str,
        parse: impl Fn(&[u8]) -> Result<T, Problem>,
    ) -> Result<Option<T>, ImdsError> {
        let mut renewed = false;
        self.with_retries(|| {
            loop {
                self.ensure_token()?;
                let response = match self.send_get(path) {
                    Ok(response) => response,
                    Err(transient) => return Ok(Attempt::Transient(transient)),
                };
                match response.status {
                    200 => {
                        return Ok(match parse(&response.body) {
                            Ok(parsed) => Attempt::Done(Some(parsed)),
                            Err(problem) => {
                                Attempt::Transient(ImdsError::BadReply { path: path.to_owned(), problem })
                            }
                        });
                    }
                    404 => return Ok(Attempt::Done(None)),
                    // The token expired, or IMDS has forgotten it: exactly one new one.
                    401 if !renewed => {
                        renewed = true;
                        self.token.replace(None);
                    }
                    401 => return Err(ImdsError::Unauthorized),
                    status => {
                        let error = ImdsError::Status { path: path.to_owned(), status };
                        return if is_transient(status) { Ok(Attempt::Transient(error)) } else { Err(error) };
                    }
                }
            }
        })
    }

    fn ensure_token(&self) -> Result<(), ImdsError> {
        let now = self.host.clock.uptime();
        if self.token.borrow().as_ref().is_some_and(|token| now < token.usable_until) {
            return Ok(());
        }
        let fresh = self.with_retries(|| self.request_token())?;
        self.token.replace(Some(fresh));
        Ok(())
    }

    fn request_token(&self) -> Result<Attempt<SessionToken>, ImdsError> {
        let asked = self.host.clock.uptime();
        let ttl = TOKEN_TTL.as_secs().to_string();
        let response = match self.send(Method::Put, TOKEN_PATH, &[(TTL_HEADER, &ttl)]) {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Transient(error)),
        };
        if response.status != 200 {
            let error = ImdsError::TokenRefused(response.status);
            return if is_transient(response.status) { Ok(Attempt::Transient(error)) } else { Err(error) };
        }
        let Some(text) = token_text(&response) else {
            let problem = "something that is no session token";
            return Ok(Attempt::Transient(ImdsError::BadReply { path: TOKEN_PATH.to_owned(), problem }));
        };
        // A service that does not say how long the token lives is believed to have granted what was asked; a
        // wrong guess costs one 401.
        let granted = response.header(TTL_HEADER).and_then(|seconds| seconds.trim().parse().ok());
        let life = granted.map_or(TOKEN_TTL, Duration::from_secs).min(TOKEN_TTL);
        let usable = life.checked_sub(TOKEN_MARGIN).unwrap_or(life);
        Ok(Attempt::Done(SessionToken { text, usable_until: asked.saturating_add(usable) }))
    }

    fn send_get(&self, path: &str) -> Result<Response, ImdsError> {
        let token = self.token.borrow();
        let text = token.as_ref().map_or("", |token| token.text.as_str());
        self.send(Method::Get, path, &[(TOKEN_HEADER, text)])
    }

    fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Result<Response, ImdsError> {
        let remaining = self.deadline.saturating_sub(self.host.clock.uptime());
        let url = format!("{}{path}", self.endpoint);
        let request = Request {
            channel: Channel::Imds,
            method,
            url: &url,
            headers,
            body: &[],
            connect_timeout: CONNECT_TIMEOUT,
            timeout: REQUEST_TIMEOUT.min(remaining),
            told_time: None,
        };
        let response = self.host.transport.send(&request).map_err(|cause| ImdsError::Unreachable {
            endpoint: self.endpoint.to_owned(),
            fetching_token: method == Method::Put,
            cause,
        })?;
        if self.is_on_own_link {
            self.host.hear(&response, Teller::Imds);
        }
        Ok(response)
    }

    fn with_retries<T>(
        &self,
        mut attempt: impl FnMut() -> Result<Attempt<T>, ImdsError>,
    ) -> Result<T, ImdsError> {
        let mut number = 1;
        loop {
            let error = match attempt()? {
                Attempt::Done(value) => return Ok(value),
                Attempt::Transient(error) => error,
            };
            let Some(pause) = BACKOFF.after(number, &self.host.jitter) else { return Err(error) };
            if self.host.clock.uptime().saturating_add(pause) >= self.deadline {
                return Err(error);
            }
            debug!("attempt {number} of the instance metadata service failed: {error}");
            self.host.clock.pause(pause);
            number = number.saturating_add(1);
        }
    }
}

/// A session token is opaque, but it has to travel in a header.
fn token_text(response: &Response) -> Option<Zeroizing<String>> {
    let text = response.text()?.trim();
    let usable =
        !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    usable.then(|| Zeroizing::new(text.to_owned()))
}
