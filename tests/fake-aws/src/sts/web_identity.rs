//! `AssumeRoleWithWebIdentity`: not signed, believed for the sake of an OIDC token, whose claims and signature are
//! checked as an OIDC provider's keys allow. The provider of all issuers has one key, which lives as long as the fake.

use std::sync::OnceLock;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::Value;
use time::OffsetDateTime;

use super::limits::Findings;
use super::{Call, StsError, assume_role, session, session_policy};
use crate::form::escape_xml;
use crate::state::State;
use crate::{base64, clock, iam};

/// The only audience that the providers here accept.
const AUDIENCE: &str = "sts.amazonaws.com";
const ACTION: &str = "sts:AssumeRoleWithWebIdentity";

/// What the token claims.
struct Claims {
    /// The issuer without its scheme, as the provider's ARN names it.
    issuer: String,
    subject: String,
    audience: String,
}

pub(super) fn perform(state: &mut State, call: &Call<'_>) -> Result<String, StsError> {
    let wanted = assume_role::check_limits(call)?;
    let mut findings = Findings::default();
    let token = findings.require("webIdentityToken", call.parameter("WebIdentityToken"));
    if call.parameter("WebIdentityToken").is_some() {
        findings.length("webIdentityToken", token, 4, 20_000);
    }
    findings.conclude()?;
    let claims = read(token, state.sts.now(), &state.sts.issuer)?;
    let policy = wanted.policy.map(session_policy::parse).transpose()?;

    let denied = || StsError::sender(403, "AccessDenied", &format!("Not authorized to perform {ACTION}"));
    let role = state.directory.role(wanted.role_arn).ok_or_else(denied)?.clone();
    let provider =
        format!("arn:aws:iam::{}:oidc-provider/{}", iam::account_of(wanted.role_arn), claims.issuer);
    if !iam::trusts_by_name(&role.trust, &provider, ACTION) {
        return Err(denied());
    }
    if claims.audience != AUDIENCE {
        return Err(invalid("Incorrect token audience"));
    }
    assume_role::check_duration(false, &role, &wanted)?;
    let session = session::open(state, &role, &wanted, policy, None);
    let members = session::render(state, &session);
    Ok(format!(
        "  <AssumeRoleWithWebIdentityResult>\n{members}    \
         <SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken>\n    <Provider>{provider}</Provider>\n    \
         <Audience>{AUDIENCE}</Audience>\n  </AssumeRoleWithWebIdentityResult>\n",
        escape_xml(&claims.subject),
    ))
}

fn invalid(message: &str) -> StsError {
    StsError::sender(400, "InvalidIdentityToken", message)
}

fn read(token: &str, now: OffsetDateTime, issuer: &Issuer) -> Result<Claims, StsError> {
    let malformed = || invalid("The ID Token provided is not a valid JWT.");
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { return Err(malformed()) };
    // A newline at the end, which files have and tokens do not, is caught here.
    let proof = base64::decode(header).and(base64::decode(signature)).ok_or_else(malformed)?;
    if !issuer.has_signed(&format!("{header}.{payload}"), &proof) {
        return Err(invalid("The ID Token's signature is not that of its provider."));
    }
    let payload = base64::decode(payload).ok_or_else(malformed)?;
    let payload: Value = serde_json::from_slice(&payload).map_err(|_| malformed())?;
    let text =
        |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(malformed);
    let end = payload.get("exp").and_then(Value::as_i64).ok_or_else(malformed)?;
    if end <= now.unix_timestamp() {
        let end = OffsetDateTime::from_unix_timestamp(end).map_err(|_| malformed())?;
        return Err(StsError::sender(
            400,
            "ExpiredTokenException",
            &format!(
                "Token expired: current date/time {} must be before the expiration date/time {}",
                clock::rfc3339(now),
                clock::rfc3339(end),
            ),
        ));
    }
    let issuer = text("iss")?.trim_start_matches("https://").to_owned();
    Ok(Claims { issuer, subject: text("sub")?, audience: text("aud")? })
}

/// The key that tokens are signed with: ES256, by ring.
#[derive(Debug, Default)]
pub(crate) struct Issuer(OnceLock<Option<EcdsaKeyPair>>);

impl Issuer {
    fn key(&self) -> Option<&EcdsaKeyPair> {
        let make = || {
            let random = SystemRandom::new();
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).ok()
        };
        self.0.get_or_init(make).as_ref()
    }

    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        let signed = self.key().and_then(|key| key.sign(&SystemRandom::new(), text.as_bytes()).ok());
        signed.map(|signature| signature.as_ref().to_vec()).unwrap_or_default()
    }

    pub(super) fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        self.key().is_some_and(|key| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref())
                .verify(text.as_bytes(), signature)
                .is_ok()
        })
    }
}

/// A token with these claims that expires at `end`, signed by the provider.
pub(crate) fn mint(key: &Issuer, issuer: &str, subject: &str, audience: &str, end: OffsetDateTime) -> String {
    let header = serde_json::json!({ "alg": "ES256", "typ": "JWT" });
    let payload =
        serde_json::json!({ "iss": issuer, "sub": subject, "aud": audience, "exp": end.unix_timestamp() });
    let part = |value: &Value| base64::encode(value.to_string().as_bytes());
    let claims = format!("{}.{}", part(&header), part(&payload));
    let signature = base64::encode(&key.sign(&claims));
    format!("{claims}.{signature}")
}
