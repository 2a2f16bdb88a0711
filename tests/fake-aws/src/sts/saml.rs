//! `AssumeRoleWithSAML`: not signed, believed for the sake of a SAML response, whose one assertion has to be signed by the
//! identity provider; what counts is in the assertion: audience, recipient, time, role, provider, session name. The
//! providers here have one key, which is in the sources.

use std::sync::OnceLock;

use ring::rsa::KeyPair;
use roxmltree::{Document, Node};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::assume_role::Wanted;
use super::limits::Findings;
use super::xml_signature::{is_signed, sign};
use super::{Call, StsError, assume_role, session, session_policy};
use crate::form::escape_xml;
use crate::state::State;
use crate::{base64, clock, iam};

const ACTION: &str = "sts:AssumeRoleWithSAML";
const AUDIENCE: &str = "urn:amazon:webservices";
const RECIPIENT: &str = "https://signin.aws.amazon.com/saml";
const ROLE: &str = "https://aws.amazon.com/SAML/Attributes/Role";
const SESSION_NAME: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";
const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const ID: &str = "_0f2e1d3c";

/// What an identity provider says, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Assertion<'a> {
    /// The role that the subject may take.
    pub role: &'a str,
    /// The provider's own ARN, a `saml-provider/` of the role's account.
    pub provider: &'a str,
    /// The name of the session.
    pub session_name: &'a str,
    /// Whom it is for: `urn:amazon:webservices`.
    pub audience: &'a str,
    /// Where it is to be posted: `https://signin.aws.amazon.com/saml`.
    pub recipient: &'a str,
    /// From when it counts, by the clock of STS.
    pub not_before: Duration,
    /// Until when.
    pub not_on_or_after: Duration,
    /// What becomes of the response after it was signed.
    pub changed: fn(String) -> String,
}

impl<'a> Assertion<'a> {
    /// One that STS believes for five minutes.
    #[must_use]
    pub fn new(role: &'a str, provider: &'a str, session_name: &'a str) -> Self {
        Self {
            role,
            provider,
            session_name,
            audience: AUDIENCE,
            recipient: RECIPIENT,
            not_before: Duration::minutes(-1),
            not_on_or_after: Duration::minutes(5),
            changed: |response| response,
        }
    }
}

pub(super) fn perform(state: &mut State, call: &Call<'_>) -> Result<String, StsError> {
    let mut findings = Findings::default();
    let principal = findings.require("principalArn", call.parameter("PrincipalArn"));
    let assertion = findings.require("sAMLAssertion", call.parameter("SAMLAssertion"));
    findings.length("principalArn", principal, 20, 2048);
    findings.length("sAMLAssertion", assertion, 4, 100_000);
    findings.conclude()?;
    if call.parameter("RoleSessionName").is_some() {
        return Err(StsError::sender(
            400,
            "ValidationError",
            "RoleSessionName is no parameter of this action.",
        ));
    }
    let text = base64::decode_padded(assertion)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| invalid("Invalid base64 SAMLResponse"))?;
    let document = Document::parse(&text).map_err(|_| invalid("SAML response is no XML"))?;
    let assertion = believed(&document, &text)?;
    let session_name = check(assertion, principal, call.parameter("RoleArn"), state.sts.now())?;
    let wanted: Wanted<'_> = assume_role::check_limits_named(call, Some(&session_name))?;
    let policy = session_policy::of(state, call)?;
    let denied = || StsError::sender(403, "AccessDenied", &format!("Not authorized to perform {ACTION}"));
    let role = state.directory.role(wanted.role_arn).ok_or_else(denied)?.clone();
    if !iam::trusts_by_name(&role.trust, principal, ACTION) {
        return Err(denied());
    }
    assume_role::check_duration(false, &role, &wanted)?;
    let session = session::open(state, &role, &wanted, policy, None, Vec::new());
    let members = session::render(state, &session);
    Ok(format!(
        "  <AssumeRoleWithSAMLResult>\n{members}    <Subject>{}</Subject>\n    \
         <Audience>{RECIPIENT}</Audience>\n  </AssumeRoleWithSAMLResult>\n",
        escape_xml(&session_name),
    ))
}

fn invalid(message: &str) -> StsError {
    StsError::sender(400, "InvalidIdentityToken", message)
}

/// The one assertion of the response, with its signature verified: nothing outside of it is believed.
fn believed<'a, 'input>(document: &'a Document<'input>, text: &str) -> Result<Node<'a, 'input>, StsError> {
    let root = document.root();
    let named = |node: &Node<'_, '_>| node.tag_name().name() == "Assertion";
    let mut assertions = root.descendants().filter(Node::is_element).filter(named);
    let one = assertions.next().filter(|one| one.has_tag_name((SAML, "Assertion")));
    let (Some(assertion), None) = (one, assertions.next()) else {
        return Err(invalid("SAML response without its one assertion"));
    };
    let id = assertion.attribute("ID").unwrap_or_default();
    if !provider_key().is_some_and(|key| is_signed(key, id, text)) {
        return Err(invalid("Response signature invalid"));
    }
    Ok(assertion)
}

/// Checks the assertion and returns the session name that it gives.
fn check(
    assertion: Node<'_, '_>,
    principal: &str,
    role_arn: Option<&str>,
    now: OffsetDateTime,
) -> Result<String, StsError> {
    let within = |path: &[&str]| path.iter().try_fold(assertion, |node, name| child(node, name));
    let confirmation = within(&["Subject", "SubjectConfirmation", "SubjectConfirmationData"])
        .ok_or_else(|| invalid("SAML response without a subject"))?;
    if confirmation.attribute("Recipient") != Some(RECIPIENT) {
        return Err(invalid("Invalid recipient"));
    }
    let conditions = within(&["Conditions"]).ok_or_else(|| invalid("SAML response without conditions"))?;
    let audience = within(&["Conditions", "AudienceRestriction", "Audience"]).map(all_text);
    if audience.as_deref() != Some(AUDIENCE) {
        return Err(invalid("Audience is not this service"));
    }
    let time = |node: Node<'_, '_>, name: &str| {
        node.attribute(name)
            .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
            .ok_or_else(|| invalid("SAML response without its times"))
    };
    if time(conditions, "NotBefore")? > now {
        return Err(invalid("SAML response is not valid yet"));
    }
    if time(confirmation, "NotOnOrAfter")? <= now || time(conditions, "NotOnOrAfter")? <= now {
        return Err(StsError::sender(
            400,
            "ExpiredTokenException",
            "Token must be redeemed within 5 minutes of issuance",
        ));
    }
    let attribute = |name: &str| {
        let statement = within(&["AttributeStatement"])?;
        let attribute = statement.children().find(|node| node.attribute("Name") == Some(name))?;
        child(attribute, "AttributeValue").map(all_text)
    };
    if attribute(ROLE) != Some(format!("{},{principal}", role_arn.unwrap_or_default())) {
        return Err(StsError::sender(403, "AccessDenied", &format!("Not authorized to perform {ACTION}")));
    }
    attribute(SESSION_NAME).ok_or_else(|| invalid("RoleSessionName is required in SAMLResponse"))
}

fn child<'a, 'input>(parent: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    parent.children().find(|node| node.has_tag_name((SAML, name)))
}

/// The text of an element, comments in the middle of it left out as they are from what is signed.
fn all_text(element: Node<'_, '_>) -> String {
    element.children().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// The providers' key: 2048 bits of RSA.
fn provider_key() -> Option<&'static KeyPair> {
    static KEY: OnceLock<Option<KeyPair>> = OnceLock::new();
    let pem = include_bytes!("../../../x509/rsa-2048.pkcs8.pem");
    let read = || {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()
    };
    KEY.get_or_init(read).as_ref()
}

/// A response of the identity provider, as it posts it at `now`.
pub(crate) fn respond(assertion: &Assertion<'_>, now: OffsetDateTime) -> String {
    let at = |offset| clock::rfc3339(now.saturating_add(offset));
    let (begin, end) = (at(assertion.not_before), at(assertion.not_on_or_after));
    let attribute = |name: &str, value: &str| {
        format!(
            "<Attribute Name=\"{name}\"><AttributeValue>{}</AttributeValue></Attribute>",
            escape_xml(value)
        )
    };
    let Assertion { recipient, audience, .. } = assertion;
    let template = |signature: &str| {
        format!(
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
             ID=\"_response\" Version=\"2.0\" IssueInstant=\"{issued}\" Destination=\"{recipient}\">\n\
             <Assertion xmlns=\"{SAML}\" Version=\"2.0\" ID=\"{ID}\" IssueInstant=\"{issued}\">\
             <Issuer>https://idp.example/metadata</Issuer>{signature}<Subject><NameID>{subject}</NameID>\
             <SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><SubjectConfirmationData \
             NotOnOrAfter=\"{end}\" Recipient=\"{recipient}\"/></SubjectConfirmation></Subject>\
             <Conditions NotBefore=\"{begin}\" NotOnOrAfter=\"{end}\"><AudienceRestriction>\
             <Audience>{audience}</Audience></AudienceRestriction></Conditions>\
             <AttributeStatement>{role}{name}</AttributeStatement></Assertion>\n</samlp:Response>",
            issued = at(Duration::ZERO),
            subject = escape_xml(assertion.session_name),
            role = attribute(ROLE, &format!("{},{}", assertion.role, assertion.provider)),
            name = attribute(SESSION_NAME, assertion.session_name),
        )
    };
    let signed = provider_key().and_then(|key| sign(key, ID, template)).unwrap_or_default();
    base64::encode_padded((assertion.changed)(signed).as_bytes())
}
