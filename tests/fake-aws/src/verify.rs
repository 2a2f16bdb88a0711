//! Is a request signed by who it says, for this service and this moment? The signature itself is recomputed by `aws-sigv4`
//! from the request as received. Knows nothing of actions, and leaves the wording of refusals to the services.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use time::{Duration, OffsetDateTime};

use crate::clock;
use crate::http::Request;
use crate::iam::{Directory, KeyRecord};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a service expects of a signature.
pub(crate) struct Expectation<'a> {
    /// `sts` or `s3`.
    pub(crate) service: &'a str,
    /// The region of the scope; `None` accepts any that looks like one.
    pub(crate) region: Option<&'a str>,
    /// The service's time.
    pub(crate) now: OffsetDateTime,
    /// How far the request's time may be from it.
    pub(crate) tolerance: Duration,
}

/// Why a request is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No `Authorization` at all.
    Missing,
    /// An `Authorization` that lacks something; the text says what.
    Incomplete(String),
    UnknownKey,
    /// The session token does not belong to the key, or is missing, or there is one too many.
    WrongToken,
    /// The session has ended.
    Expired,
    /// A header that must be signed and is not.
    Unsigned(String),
    /// The header with the hash of the payload is missing.
    Unhashed,
    TooOld {
        signed: OffsetDateTime,
    },
    TooNew {
        signed: OffsetDateTime,
    },
    /// The scope is not for here; the text says why.
    Scope(String),
    /// The payload is not the one that was hashed.
    Payload,
    Mismatch,
}

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

/// The access key id that `request` claims, believed or not.
pub(crate) fn claimed_key(request: &Request) -> Option<String> {
    let (_, credential) = request.header("authorization")?.split_once("Credential=")?;
    credential.split('/').next().map(str::to_owned)
}

/// Finds out who signed `request`.
pub(crate) fn verify(
    request: &Request,
    directory: &Directory,
    expected: &Expectation<'_>,
) -> Result<KeyRecord, Refusal> {
    let authorization = parse(request.header("authorization").ok_or(Refusal::Missing)?)?;
    let date_header = request.header("x-amz-date").ok_or_else(|| {
        Refusal::Incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".to_owned(),
        )
    })?;
    let signed = clock::parse_basic(date_header).ok_or_else(|| {
        Refusal::Incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{date_header}'."))
    })?;
    check_scope(&authorization, date_header, expected)?;
    let record = directory.key(authorization.access_key_id).ok_or(Refusal::UnknownKey)?;
    if request.header("x-amz-security-token") != record.keys.session_token.as_deref() {
        return Err(Refusal::WrongToken);
    }
    if expected.service == "s3" && request.header("x-amz-content-sha256").is_none() {
        return Err(Refusal::Unhashed);
    }
    check_signed_headers(request, &authorization, expected)?;
    if expected.now.saturating_sub(expected.tolerance) > signed {
        return Err(Refusal::TooOld { signed });
    }
    if expected.now.saturating_add(expected.tolerance) < signed {
        return Err(Refusal::TooNew { signed });
    }
    check_signature(request, &authorization, record, signed)?;
    if record.expiration.is_some_and(|expiration| expiration <= expected.now) {
        return Err(Refusal::Expired);
    }
    Ok(record.clone())
}

fn parse(header: &str) -> Result<Authorization<'_>, Refusal> {
    let incomplete =
        |what: &str| Refusal::Incomplete(format!("Authorization header requires '{what}' parameter."));
    let parameters = header
        .strip_prefix(ALGORITHM)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or_else(|| Refusal::Incomplete("Unsupported AWS 'algorithm'.".to_owned()))?;
    let parameter = |name: &str| {
        parameters
            .split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let credential = parameter("Credential").ok_or_else(|| incomplete("Credential"))?;
    let signed_headers = parameter("SignedHeaders").ok_or_else(|| incomplete("SignedHeaders"))?;
    let signature = parameter("Signature").ok_or_else(|| incomplete("Signature"))?;
    let fields: Vec<&str> = credential.split('/').collect();
    let [access_key_id, date, region, service, "aws4_request"] = fields.as_slice() else {
        return Err(Refusal::Incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
        )));
    };
    let signed_headers = signed_headers.split(';').collect();
    Ok(Authorization { access_key_id, date, region, service, signed_headers, signature })
}

fn check_scope(
    authorization: &Authorization<'_>,
    date_header: &str,
    expected: &Expectation<'_>,
) -> Result<(), Refusal> {
    let day = date_header.get(..8).unwrap_or_default();
    if authorization.date != day {
        return Err(Refusal::Scope(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{day}', from '{date_header}'.",
            authorization.date
        )));
    }
    let region_fits = match expected.region {
        Some(region) => authorization.region == region,
        None => looks_like_region(authorization.region),
    };
    if !region_fits {
        return Err(Refusal::Scope("Credential should be scoped to a valid region. ".to_owned()));
    }
    if authorization.service != expected.service {
        return Err(Refusal::Scope(format!(
            "Credential should be scoped to correct service: '{}'. ",
            expected.service
        )));
    }
    Ok(())
}

/// Two letters or more, words, a number, as `us-gov-west-1`.
fn looks_like_region(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    words.len() >= 3
        && words.last().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
        && words.iter().all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// What is listed as signed must be there, in order. The host, the date, the session token and, for STS, the
/// content type must be listed; S3 wants every `x-amz-` header listed that is there.
fn check_signed_headers(
    request: &Request,
    authorization: &Authorization<'_>,
    expected: &Expectation<'_>,
) -> Result<(), Refusal> {
    let listed = &authorization.signed_headers;
    let present = listed.iter().all(|name| request.header(name).is_some());
    // The official crate always sorts and lowers the list; the service takes it as it was sent.
    let lower = listed.iter().all(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase()));
    if !present || !lower || !listed.is_sorted_by(|one, other| one < other) {
        return Err(Refusal::Mismatch);
    }
    let is_s3 = expected.service == "s3";
    let must_be_listed = |name: &str| match name {
        "host" | "x-amz-date" | "x-amz-security-token" => true,
        "content-type" => !is_s3,
        other => is_s3 && other.starts_with("x-amz-"),
    };
    let names = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    match names.into_iter().find(|name| must_be_listed(name) && !listed.contains(&name.as_str())) {
        Some(name) => Err(Refusal::Unsigned(name)),
        None => Ok(()),
    }
}

fn check_signature(
    request: &Request,
    authorization: &Authorization<'_>,
    record: &KeyRecord,
    signed: OffsetDateTime,
) -> Result<(), Refusal> {
    if authorization.service != "s3" {
        let ours = signature(request, authorization, record, signed, SignableBody::Bytes(&request.body))?;
        return if ours == authorization.signature { Ok(()) } else { Err(Refusal::Mismatch) };
    }
    let claimed = request.header("x-amz-content-sha256").ok_or(Refusal::Unhashed)?;
    let body = SignableBody::Precomputed(claimed.to_owned());
    let ours = signature(request, authorization, record, signed, body)?;
    if ours != authorization.signature {
        return Err(Refusal::Mismatch);
    }
    if claimed == "UNSIGNED-PAYLOAD" {
        return Ok(());
    }
    // The signature covers the hash that the client claims. That it is the hash of what came is a second
    // question, answered by signing again with the bytes in its place.
    let ours = signature(request, authorization, record, signed, SignableBody::Bytes(&request.body))?;
    if ours == authorization.signature { Ok(()) } else { Err(Refusal::Payload) }
}

/// The signature that `request` should have, by the official crate.
fn signature(
    request: &Request,
    authorization: &Authorization<'_>,
    record: &KeyRecord,
    signed: OffsetDateTime,
    body: SignableBody<'_>,
) -> Result<String, Refusal> {
    let mut settings = SigningSettings::default();
    // What the client signed is signed, and nothing else: the list below is the whole of it.
    settings.excluded_headers = None;
    if authorization.service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let headers: Vec<(String, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .filter(|(name, _)| authorization.signed_headers.contains(&name.as_str()))
        .collect();
    let keys = &record.keys;
    let identity = Credentials::new(
        keys.access_key_id.as_str(),
        keys.secret_access_key.as_str(),
        keys.session_token.clone(),
        None,
        "fake-aws",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(authorization.region)
        .name(authorization.service)
        .time(SystemTime::from(signed))
        .settings(settings)
        .build()
        .map_err(|_| Refusal::Mismatch)?
        .into();
    let uri = format!("http://{}{}", request.header("host").unwrap_or_default(), request.target);
    let headers = headers.iter().map(|(name, value)| (name.as_str(), *value));
    let signable =
        SignableRequest::new(&request.method, uri, headers, body).map_err(|_| Refusal::Mismatch)?;
    let (_, signature) = sign(signable, &params).map_err(|_| Refusal::Mismatch)?.into_parts();
    Ok(signature)
}
