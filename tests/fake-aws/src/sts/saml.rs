//! `AssumeRoleWithSAML`: not signed, believed for the sake of a SAML response, whose audience, recipient, time, role,
//! provider and signature are checked. The signature is one over the very bytes instead of an XML signature over their
//! canonical form: what matters here is that a response that was changed on its way is found out.

use roxmltree::{Document, Node};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::assume_role::Wanted;
use super::limits::Findings;
use super::web_identity::Issuer;
use super::{Call, StsError, assume_role, session, session_policy};
use crate::form::escape_xml;
use crate::state::State;
use crate::{base64, clock, iam};

const ACTION: &str = "sts:AssumeRoleWithSAML";
const AUDIENCE: &str = "urn:amazon:webservices";
const RECIPIENT: &str = "https://signin.aws.amazon.com/saml";
const ROLE: &str = "https://aws.amazon.com/SAML/Attributes/Role";
/// Ends what is signed.
const SIGNATURE: &str = "<Signature>";
const SESSION_NAME: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";

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
    let in_url = assertion.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let text = Some(in_url)
        .filter(|_| assertion.len().is_multiple_of(4) && !assertion.contains(['-', '_']))
        .and_then(|text| base64::decode(&text))
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| invalid("Invalid base64 SAMLResponse"))?;
    let document = Document::parse(&text).map_err(|_| invalid("SAML response is no XML"))?;
    let signed =
        text.split_once(SIGNATURE).and_then(|(signed, rest)| Some((signed, rest.split_once('<')?.0)));
    let proof = signed.and_then(|(signed, proof)| Some((signed, base64::decode(proof)?)));
    if !proof.is_some_and(|(signed, proof)| state.sts.issuer.has_signed(signed, &proof)) {
        return Err(invalid("Response signature invalid"));
    }
    let session_name = check(&document, principal, call.parameter("RoleArn"), state.sts.now())?;
    let wanted: Wanted<'_> = assume_role::check_limits_named(call, Some(session_name))?;
    let policy = wanted.policy.map(session_policy::parse).transpose()?;
    let denied = || StsError::sender(403, "AccessDenied", &format!("Not authorized to perform {ACTION}"));
    let role = state.directory.role(wanted.role_arn).ok_or_else(denied)?.clone();
    if !iam::trusts_by_name(&role.trust, principal, ACTION) {
        return Err(denied());
    }
    assume_role::check_duration(false, &role, &wanted)?;
    let session = session::open(state, &role, &wanted, policy, None);
    let members = session::render(state, &session);
    Ok(format!(
        "  <AssumeRoleWithSAMLResult>\n{members}    <Subject>{}</Subject>\n    \
         <Audience>{RECIPIENT}</Audience>\n  </AssumeRoleWithSAMLResult>\n",
        escape_xml(session_name),
    ))
}

fn invalid(message: &str) -> StsError {
    StsError::sender(400, "InvalidIdentityToken", message)
}

/// Checks the response and returns the session name that it gives.
fn check<'a>(
    document: &'a Document<'_>,
    principal: &str,
    role_arn: Option<&str>,
    now: OffsetDateTime,
) -> Result<&'a str, StsError> {
    let confirmation = element(document.root(), "SubjectConfirmationData")
        .ok_or_else(|| invalid("SAML response without a subject"))?;
    if confirmation.attribute("Recipient") != Some(RECIPIENT) {
        return Err(invalid("Invalid recipient"));
    }
    if element(document.root(), "Audience").and_then(|audience| audience.text()) != Some(AUDIENCE) {
        return Err(invalid("Audience is not this service"));
    }
    let end = confirmation
        .attribute("NotOnOrAfter")
        .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or_else(|| invalid("SAML response without an end"))?;
    if end <= now {
        return Err(StsError::sender(
            400,
            "ExpiredTokenException",
            "Token must be redeemed within 5 minutes of issuance",
        ));
    }
    let pair = format!("{},{principal}", role_arn.unwrap_or_default());
    if attribute(document, ROLE) != Some(pair.as_str()) {
        return Err(StsError::sender(403, "AccessDenied", &format!("Not authorized to perform {ACTION}")));
    }
    attribute(document, SESSION_NAME).ok_or_else(|| invalid("RoleSessionName is required in SAMLResponse"))
}

fn element<'a, 'input>(root: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    root.descendants().find(|node| node.is_element() && node.tag_name().name() == name)
}

fn attribute<'a>(document: &'a Document<'_>, name: &str) -> Option<&'a str> {
    let attribute = document.descendants().find(|node| node.attribute("Name") == Some(name))?;
    element(attribute, "AttributeValue")?.text()
}

/// A response of the identity provider, as it posts it.
pub(crate) fn assertion(
    key: &Issuer,
    role: &str,
    provider: &str,
    session_name: &str,
    end: OffsetDateTime,
) -> String {
    let end = clock::rfc3339(end);
    let attribute = |name: &str, value: &str| {
        format!(
            "<Attribute Name=\"{name}\"><AttributeValue>{}</AttributeValue></Attribute>",
            escape_xml(value)
        )
    };
    let signed = format!(
        "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" Destination=\"{RECIPIENT}\">\
         <Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"><Subject><NameID>{}</NameID>\
         <SubjectConfirmation><SubjectConfirmationData NotOnOrAfter=\"{end}\" Recipient=\"{RECIPIENT}\"/>\
         </SubjectConfirmation></Subject><Conditions NotOnOrAfter=\"{end}\"><AudienceRestriction>\
         <Audience>{AUDIENCE}</Audience></AudienceRestriction></Conditions><AttributeStatement>{}{}\
         </AttributeStatement></Assertion>",
        escape_xml(session_name),
        attribute(ROLE, &format!("{role},{provider}")),
        attribute(SESSION_NAME, session_name),
    );
    let signature = base64::encode(&key.sign(&signed));
    let text = format!("{signed}{SIGNATURE}{signature}</Signature></samlp:Response>");
    // The other alphabet, and padding: responses are posted in forms, not in URLs.
    let mut encoded = base64::encode(text.as_bytes()).replace('-', "+").replace('_', "/");
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    encoded
}
