//! STS replies, read with an XML parser: the few elements that matter, found by name wherever their order and
//! namespace put them. DTDs are refused, so entities cannot grow.

use roxmltree::{Document, Node, ParsingOptions};

use super::error::ServiceError;
use crate::credentials::IssuedCredentials;
use crate::credentials::unchecked::UncheckedCredentials;
use crate::disposition::quote_foreign;

const MAX_MESSAGE: usize = 600;
const MAX_CODE: usize = 80;
/// No STS reply has more elements; a hostile one is cut off early.
const MAX_NODES: u32 = 1000;

/// Who the caller is, as `GetCallerIdentity` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// `Account`
    pub account: String,
    /// `Arn`
    pub arn: String,
    /// `UserId`
    pub user_id: String,
}

/// What `AssumeRole` gave.
#[derive(Clone, Debug)]
pub struct AssumedRole {
    /// The credentials of the session; the account is that of the session's ARN.
    pub issued: IssuedCredentials,
    /// The ARN of the session.
    pub arn: Option<String>,
}

type Problem = &'static str;

pub(super) fn parse_assumed_role(body: &[u8]) -> Result<AssumedRole, Problem> {
    let text = xml_text(body)?;
    let document = parse(text)?;
    let credentials = element(document.root(), "Credentials").ok_or("a reply without credentials")?;
    let arn = element(document.root(), "AssumedRoleUser")
        .and_then(|user| text_of(user, "Arn"))
        .map(|arn| quote_foreign(arn, MAX_MESSAGE));
    let issued = UncheckedCredentials {
        access_key_id: text_of(credentials, "AccessKeyId"),
        secret_access_key: text_of(credentials, "SecretAccessKey"),
        session_token: text_of(credentials, "SessionToken"),
        expiration: text_of(credentials, "Expiration"),
        account_id: arn.as_deref().and_then(account_of),
    };
    Ok(AssumedRole { issued: issued.check()?, arn })
}

pub(super) fn parse_caller_identity(body: &[u8]) -> Result<CallerIdentity, Problem> {
    let text = xml_text(body)?;
    let document = parse(text)?;
    let result =
        element(document.root(), "GetCallerIdentityResult").ok_or("a reply without a caller identity")?;
    let part = |name| {
        text_of(result, name)
            .map(|value| quote_foreign(value, MAX_MESSAGE))
            .ok_or("a reply without a caller identity")
    };
    Ok(CallerIdentity { account: part("Account")?, arn: part("Arn")?, user_id: part("UserId")? })
}

/// The error that a reply of status `status` describes; a body that is no STS error becomes an error with the
/// status alone.
pub(super) fn parse_error(status: u16, body: &[u8], request_id: Option<&str>) -> ServiceError {
    let request_id = request_id.map(|id| quote_foreign(id, MAX_CODE));
    let nothing_known =
        ServiceError { status, code: None, message: None, request_id: request_id.clone(), retry_after: None };
    let Ok(document) = xml_text(body).and_then(parse) else { return nothing_known };
    let Some(error) = element(document.root(), "Error") else { return nothing_known };
    ServiceError {
        status,
        code: text_of(error, "Code").map(|code| quote_foreign(code, MAX_CODE)),
        message: text_of(error, "Message").map(|message| quote_foreign(message, MAX_MESSAGE)),
        request_id: request_id
            .or_else(|| text_of(document.root(), "RequestId").map(|id| quote_foreign(id, MAX_CODE))),
        retry_after: None,
    }
}

/// The account is the fifth field of an ARN; text that is no ARN has none.
fn account_of(arn: &str) -> Option<&str> {
    arn.starts_with("arn:").then(|| arn.split(':').nth(4)).flatten()
}

fn xml_text(body: &[u8]) -> Result<&str, Problem> {
    if body.is_empty() {
        return Err("an empty reply");
    }
    std::str::from_utf8(body).map_err(|_| "a reply that is not UTF-8")
}

fn parse(text: &str) -> Result<Document<'_>, Problem> {
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|_| "a reply that is no XML")
}

fn element<'a, 'input>(root: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    root.descendants().find(|node| node.is_element() && node.tag_name().name() == name)
}

fn text_of<'a>(parent: Node<'a, '_>, name: &str) -> Option<&'a str> {
    element(parent, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}
