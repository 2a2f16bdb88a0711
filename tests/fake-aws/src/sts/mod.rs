//! The security token service: finds the caller, finds the action, words the answer. Each action has a file of
//! its own; who may do what is `iam`.

mod assume_role;
mod caller_identity;
mod error;
mod limits;
mod saml;
mod session;
mod session_policy;
mod session_tags;
mod web_identity;
mod xml_signature;

use std::time::Duration;

use time::OffsetDateTime;

use crate::http::{Reply, Request};
use crate::iam::KeyRecord;
use crate::record::Kind;
use crate::state::{Answer, State};
use crate::verify::{Expectation, verify};
use crate::{clock, form, issue};

use error::StsError;

pub(crate) use error::ordered_error;
pub use saml::Assertion;
pub(crate) use saml::respond;
pub(crate) use web_identity::mint;

const VERSION: &str = "2011-06-15";
const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// How far a request's time may be from the service's.
const TOLERANCE: time::Duration = time::Duration::minutes(5);

/// How the service is set.
#[derive(Debug, Default)]
pub(crate) struct StsState {
    pub(crate) clock_offset: time::Duration,
    /// The region that scopes must name, where the endpoint does not say.
    pub(crate) region: Option<String>,
    /// How long sessions really live, in place of what was asked for.
    pub(crate) session_lifetime: Option<Duration>,
    /// Whether `Credentials` comes before `AssumedRoleUser`.
    pub(crate) credentials_first: bool,
    /// The codes of MFA devices that were not used yet.
    pub(crate) mfa_codes: Option<Vec<String>>,
    /// The OIDC provider.
    pub(crate) issuer: web_identity::Issuer,
}

impl StsState {
    pub(crate) fn now(&self) -> OffsetDateTime {
        clock::now().saturating_add(self.clock_offset)
    }
}

/// What is asked.
struct Call<'a> {
    parameters: &'a [(String, String)],
}

impl Call<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        form::value(self.parameters, name)
    }

    /// The elements `NAME.1FIELD`, `NAME.2FIELD` and so on, up to the first that is missing.
    fn list(&self, name: &str, field: &str) -> Vec<String> {
        (1_usize..)
            .map_while(|number| self.parameter(&format!("{name}.{number}{field}")).map(str::to_owned))
            .collect()
    }
}

/// What `parameters` ask for.
pub(crate) fn kind(parameters: &[(String, String)]) -> Kind {
    match form::value(parameters, "Action") {
        Some("GetCallerIdentity") => Kind::GetCallerIdentity,
        Some("AssumeRole") => Kind::AssumeRole,
        Some("AssumeRoleWithWebIdentity") => Kind::AssumeRoleWithWebIdentity,
        Some("AssumeRoleWithSAML") => Kind::AssumeRoleWithSaml,
        Some(_) | None => Kind::OtherAction,
    }
}

/// Answers `request`.
pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let mut caller = None;
    let result = perform(state, request, &mut caller);
    let id = issue::request_id();
    let reply = match result {
        Ok((action, result)) => Reply::new(200).body(format!(
            "<{action}Response xmlns=\"{XMLNS}\">\n{result}  <ResponseMetadata>\n    \
             <RequestId>{id}</RequestId>\n  </ResponseMetadata>\n</{action}Response>\n"
        )),
        Err(error) => error.reply(&id),
    };
    Answer { reply: finish(reply, state, &id), caller }
}

/// The action's name and its result element.
fn perform(
    state: &mut State,
    request: &Request,
    caller_arn: &mut Option<String>,
) -> Result<(&'static str, String), StsError> {
    if request.path() != "/" {
        return Err(StsError::sender(404, "UnknownOperationException", "The requested path does not exist."));
    }
    let body = str::from_utf8(&request.body)
        .map_err(|_| StsError::sender(400, "MalformedInput", "The body is not text."))?;
    let is_form = request
        .header("content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    if request.method != "POST" || !is_form {
        return Err(StsError::sender(
            400,
            "MalformedInput",
            "Only a form in the body of a POST is understood.",
        ));
    }
    let parameters = form::parse(body);
    let call = Call { parameters: &parameters };
    let version = call.parameter("Version").unwrap_or_default();
    let action = call.parameter("Action").filter(|_| version == VERSION);
    let is_proven = matches!(action, Some("AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity"));
    if is_proven
        && (request.header("authorization").is_some() || request.header("x-amz-security-token").is_some())
    {
        // A real STS would not mind; but keys that were sent by mistake have left the host.
        return Err(StsError::sender(400, "SignedNeedlessly", "This action is not to be signed."));
    }
    // Not signed: the assertion or the identity token speaks for the caller.
    if action == Some("AssumeRoleWithSAML") {
        return Ok(("AssumeRoleWithSAML", saml::perform(state, &call)?));
    }
    if action == Some("AssumeRoleWithWebIdentity") {
        return Ok(("AssumeRoleWithWebIdentity", web_identity::perform(state, &call)?));
    }
    let caller = authenticate(state, request)?;
    *caller_arn = Some(caller.identity.arn());
    match action {
        Some("GetCallerIdentity") => Ok(("GetCallerIdentity", caller_identity::perform(&caller))),
        Some("AssumeRole") => Ok(("AssumeRole", assume_role::perform(state, &call, &caller)?)),
        Some(_) | None => Err(unknown(call.parameter("Action"), version)),
    }
}

fn unknown(action: Option<&str>, version: &str) -> StsError {
    match action {
        Some(action) => StsError::sender(
            400,
            "InvalidAction",
            &format!("Could not find operation {action} for version {version}"),
        ),
        None => StsError::sender(400, "MissingAction", "The request must contain the parameter Action."),
    }
}

/// Who signed `request`.
fn authenticate(state: &State, request: &Request) -> Result<KeyRecord, StsError> {
    let now = state.sts.now();
    let region =
        endpoint_region(request.header("host").unwrap_or_default()).or_else(|| state.sts.region.clone());
    let expected = Expectation { service: "sts", region: region.as_deref(), now, tolerance: TOLERANCE };
    verify(request, &state.directory, &expected).map_err(|refusal| StsError::unverified(refusal, now))
}

/// The region that a host name of AWS stands for; `None` for any other name.
fn endpoint_region(host: &str) -> Option<String> {
    let name = host.split(':').next().unwrap_or_default();
    if name == "sts.amazonaws.com" {
        return Some("us-east-1".to_owned());
    }
    let rest = name.strip_prefix("sts.").or_else(|| name.strip_prefix("sts-fips."))?;
    let (region, domain) = rest.split_once('.')?;
    matches!(domain, "amazonaws.com" | "amazonaws.com.cn" | "api.aws" | "amazonaws.eu")
        .then(|| region.to_owned())
}

/// The headers of every answer.
fn finish(reply: Reply, state: &State, request_id: &str) -> Reply {
    reply
        .header("x-amzn-RequestId", request_id)
        .header("Content-Type", "text/xml")
        .header("Date", &clock::http_date(state.sts.now()))
}
