//! `AssumeRoleWithWebIdentity`: not signed, believed for the sake of an OIDC token. The claims are checked; the
//! token's own signature is not, because no issuer exists here.

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
    let claims = read(token, state.sts.now())?;
    let policy = session_policy::of(state, call)?;

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
    let session = session::open(state, &role, &wanted, policy, None, Vec::new());
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

fn read(token: &str, now: OffsetDateTime) -> Result<Claims, StsError> {
    let malformed = || invalid("The ID Token provided is not a valid JWT.");
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { return Err(malformed()) };
    // A newline at the end, which files have and tokens do not, is caught here.
    base64::decode(header).and(base64::decode(signature)).ok_or_else(malformed)?;
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

/// A token with these claims, unsigned, that expires at `end`.
pub(crate) fn mint(issuer: &str, subject: &str, audience: &str, end: OffsetDateTime) -> String {
    let header = serde_json::json!({ "alg": "RS256", "typ": "JWT" });
    let payload =
        serde_json::json!({ "iss": issuer, "sub": subject, "aud": audience, "exp": end.unix_timestamp() });
    let part = |value: &Value| base64::encode(value.to_string().as_bytes());
    format!("{}.{}.{}", part(&header), part(&payload), base64::encode(b"not a signature"))
}
