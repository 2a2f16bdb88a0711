//! The instance metadata service, version 2 only: tokens, listings, documents. Knows nothing of STS.

mod document;

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use crate::http::{Reply, Request};
use crate::record::Kind;
use crate::state::State;
use crate::{clock, form, issue, scenario};

pub(crate) use document::Issued;
pub use document::{ExpirationForm, Refusal};

const TOKEN_PATH: &str = "/latest/api/token";
const TTL_HEADER: &str = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds";
const MAX_TTL: u32 = 21_600;
const EXTENDED: &str = "/latest/meta-data/iam/security-credentials-extended/";
const LEGACY: &str = "/latest/meta-data/iam/security-credentials/";

/// What the instance is, and how its metadata service is set.
#[derive(Debug)]
pub(crate) struct ImdsState {
    /// The ARN of the attached role.
    pub(crate) role: Option<String>,
    pub(crate) instance_id: String,
    pub(crate) region: String,
    pub(crate) availability_zone: String,
    pub(crate) extended: bool,
    pub(crate) newline: bool,
    pub(crate) clock_offset: time::Duration,
    /// How long the credentials really live.
    pub(crate) lifetime: Duration,
    pub(crate) expiration_form: ExpirationForm,
    /// Shown in place of the true expiration.
    pub(crate) shown_expiration: Option<String>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) unknown_members: bool,
    pub(crate) issued: Option<Issued>,
    tokens: BTreeMap<String, OffsetDateTime>,
}

impl ImdsState {
    pub(crate) fn new() -> Self {
        Self {
            role: Some(scenario::ABCD.to_owned()),
            instance_id: scenario::INSTANCE_ID.to_owned(),
            region: "us-east-1".to_owned(),
            availability_zone: "us-east-1a".to_owned(),
            extended: true,
            newline: false,
            clock_offset: time::Duration::ZERO,
            lifetime: Duration::from_secs(6 * 3600),
            expiration_form: ExpirationForm::Zulu,
            shown_expiration: None,
            refusal: None,
            unknown_members: false,
            issued: None,
            tokens: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        clock::now().saturating_add(self.clock_offset)
    }

    /// Makes every token unknown.
    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }
}

/// What `request` asks for.
pub(crate) fn kind(request: &Request) -> Kind {
    let path = request.path();
    let under = |family: &str| path == family.trim_end_matches('/') || path == family;
    if path == TOKEN_PATH {
        Kind::Token
    } else if under(EXTENDED) {
        Kind::ExtendedListing
    } else if under(LEGACY) {
        Kind::LegacyListing
    } else if path.starts_with(EXTENDED) {
        Kind::ExtendedDocument
    } else if path.starts_with(LEGACY) {
        Kind::LegacyDocument
    } else if path == "/latest/dynamic/instance-identity/document" {
        Kind::IdentityDocument
    } else {
        Kind::OtherMetadata
    }
}

/// Answers `request`.
pub(crate) fn answer(state: &mut State, request: &Request) -> Reply {
    let reply = match (kind(request), request.method.as_str()) {
        (Kind::Token, "PUT") => return put_token(state, request),
        (Kind::Token, _) => return error_page(state, 405),
        (_, "GET" | "HEAD") => match check_token(state, request) {
            Some(left) => get(state, request).header(TTL_HEADER, &left.to_string()),
            None => return error_page(state, 401),
        },
        _ => return error_page(state, 405),
    };
    dated(state, reply)
}

fn put_token(state: &mut State, request: &Request) -> Reply {
    if request.header("x-forwarded-for").is_some() {
        return error_page(state, 403);
    }
    let granted = request
        .header(TTL_HEADER)
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse::<u32>().ok())
        .filter(|seconds| (1..=MAX_TTL).contains(seconds));
    let Some(seconds) = granted else { return error_page(state, 400) };
    let token = issue::imds_token();
    let end = state.imds.now().saturating_add(time::Duration::seconds(i64::from(seconds)));
    state.imds.tokens.insert(token.clone(), end);
    let reply = Reply::new(200)
        .header("Content-Type", "text/plain")
        .header(TTL_HEADER, &seconds.to_string())
        .body(token);
    dated(state, reply)
}

/// The seconds that the request's token has left; `None` when there is no token, or none that is good.
fn check_token(state: &State, request: &Request) -> Option<i64> {
    let end = state.imds.tokens.get(request.header("x-aws-ec2-metadata-token")?)?;
    let now = state.imds.now();
    (*end > now).then(|| end.unix_timestamp().saturating_sub(now.unix_timestamp()))
}

fn get(state: &mut State, request: &Request) -> Reply {
    let path = form::decode_path(request.path());
    let (kind, imds) = (kind(request), &state.imds);
    if matches!(kind, Kind::ExtendedListing | Kind::ExtendedDocument) && !imds.extended {
        return error_page(state, 404);
    }
    let text = match path.as_str() {
        "/latest/meta-data/placement/region" => Some(imds.region.clone()),
        "/latest/meta-data/placement/availability-zone" => Some(imds.availability_zone.clone()),
        "/latest/meta-data/instance-id" => Some(imds.instance_id.clone()),
        "/latest/meta-data/iam/info" => document::info(state),
        "/latest/dynamic/instance-identity/document" => Some(document::identity(state)),
        _ => None,
    };
    if let Some(text) = text {
        return Reply::new(200).header("Content-Type", "text/plain").body(text);
    }
    if matches!(kind, Kind::ExtendedListing | Kind::LegacyListing) {
        let Some(name) = document::role_name(imds) else { return error_page(state, 404) };
        let end = if imds.newline { "\n" } else { "" };
        return Reply::new(200).header("Content-Type", "text/plain").body(format!("{name}{end}"));
    }
    let (asked, extended) = match (path.strip_prefix(EXTENDED), path.strip_prefix(LEGACY)) {
        (Some(name), _) => (name, true),
        (None, Some(name)) => (name, false),
        (None, None) => return error_page(state, 404),
    };
    if document::role_name(imds) != Some(asked) {
        return error_page(state, 404);
    }
    match document::credentials(state, extended) {
        Some(text) => Reply::new(200).header("Content-Type", "text/plain").body(text),
        None => error_page(state, 404),
    }
}

/// The small XHTML page that IMDS answers errors with.
pub(crate) fn error_page(state: &State, status: u16) -> Reply {
    let title = match status {
        400 => "400 - Bad Request",
        401 => "401 - Unauthorized",
        403 => "403 - Forbidden",
        404 => "404 - Not Found",
        405 => "405 - Method Not Allowed",
        _ => "Internal Server Error",
    };
    let page = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
         <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \
         \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n\
         \x20<head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
    );
    dated(state, Reply::new(status).header("Content-Type", "text/html").body(page))
}

/// The same with the headers of every answer. A reply that is dated already stays as it is.
fn dated(state: &State, reply: Reply) -> Reply {
    if reply.has("date") {
        return reply;
    }
    reply.header("Date", &clock::http_date(state.imds.now())).header("Server", "EC2ws")
}
