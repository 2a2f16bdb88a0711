//! Is a request signed with the key of a certificate that the trust anchor vouches for? The certificate is read by
//! `x509-parser`, the signature verified by `ring`; the canonical request is put together here from what was received.

use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::base64;
use crate::clock;
use crate::http::Request;

const TOLERANCE: Duration = Duration::minutes(5);

/// Who signed.
pub(super) struct Signed {
    /// In decimal.
    pub(super) serial_number: String,
}

/// Finds out who signed `request` for `region`; the error is the text of the refusal.
pub(super) fn verify(
    request: &Request,
    region: &str,
    root: &[u8],
    now: OffsetDateTime,
) -> Result<Signed, String> {
    let header = |name: &str| request.header(name).ok_or(format!("Missing {name}"));
    let authorization = header("authorization")?;
    let (algorithm, parameters) = authorization.split_once(' ').ok_or("Malformed Authorization")?;
    let parameter = |name: &str| {
        let pairs = parameters.split(", ").filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let credential = parameter("Credential").ok_or("Missing Credential")?;
    let listed = parameter("SignedHeaders").ok_or("Missing SignedHeaders")?;
    let signature = parameter("Signature").and_then(unhex).ok_or("Missing Signature")?;

    let leaf_der = base64::decode_padded(header("x-amz-x509")?).ok_or("Untrusted certificate. Malformed")?;
    let (_, leaf) = X509Certificate::from_der(&leaf_der).map_err(|_| "Untrusted certificate. Malformed")?;
    check_chain(&leaf, request.header("x-amz-x509-chain"), root, now)?;

    let date = header("x-amz-date")?;
    let serial_number = leaf.tbs_certificate.serial.to_str_radix(10);
    let day = date.get(..8).unwrap_or_default();
    let scope = format!("{day}/{region}/rolesanywhere/aws4_request");
    if credential != format!("{serial_number}/{scope}") {
        return Err(format!("Credential should be scoped to {scope} and name the certificate"));
    }
    let signed_at = clock::parse_basic(date).ok_or("Malformed date")?;
    if (now.saturating_sub(TOLERANCE)) > signed_at {
        return Err(format!("Signature expired: {date} is now earlier than {}", clock::basic(now)));
    }
    if (now.saturating_add(TOLERANCE)) < signed_at {
        return Err(format!("Signature not yet current: {date} is still later than {}", clock::basic(now)));
    }
    let canonical = canonical(request, listed)?;
    let message =
        format!("{algorithm}\n{date}\n{scope}\n{}", hex(digest(&SHA256, canonical.as_bytes()).as_ref()));
    let verifier = verifier(algorithm, &leaf).ok_or("Algorithm and key do not match")?;
    UnparsedPublicKey::new(verifier, leaf.public_key().subject_public_key.data.as_ref())
        .verify(message.as_bytes(), &signature)
        .map_err(|_| "Signature does not match".to_owned())?;
    Ok(Signed { serial_number })
}

fn check_chain(
    leaf: &X509Certificate<'_>,
    chain: Option<&str>,
    root: &[u8],
    now: OffsetDateTime,
) -> Result<(), String> {
    const UNTRUSTED: &str = "Untrusted certificate. Insufficient certificate";
    let at = ASN1Time::from_timestamp(now.unix_timestamp()).map_err(|_| UNTRUSTED)?;
    if !leaf.validity().is_valid_at(at) {
        return Err("Untrusted certificate. Certificate is not valid at this time".to_owned());
    }
    let (_, root) = X509Certificate::from_der(root).map_err(|_| UNTRUSTED)?;
    let ders: Option<Vec<Vec<u8>>> =
        chain.map_or(Some(Vec::new()), |text| text.split(',').map(base64::decode_padded).collect());
    let ders = ders.ok_or(UNTRUSTED)?;
    let mut issuers = Vec::new();
    for der in &ders {
        issuers.push(X509Certificate::from_der(der).map_err(|_| UNTRUSTED)?.1);
    }
    issuers.push(root);
    let mut certificate = leaf;
    for issuer in &issuers {
        let is_issued = certificate.verify_signature(Some(issuer.public_key())).is_ok();
        if certificate.issuer() != issuer.subject() || !is_issued {
            return Err(UNTRUSTED.to_owned());
        }
        certificate = issuer;
    }
    Ok(())
}

fn verifier(algorithm: &str, leaf: &X509Certificate<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let key = leaf.public_key();
    let curve =
        key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    match (algorithm, key.algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
        ("AWS4-X509-RSA-SHA256", "1.2.840.113549.1.1.1", _) => Some(&RSA_PKCS1_2048_8192_SHA256),
        ("AWS4-X509-ECDSA-SHA256", "1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => {
            Some(&ECDSA_P256_SHA256_ASN1)
        }
        ("AWS4-X509-ECDSA-SHA256", "1.2.840.10045.2.1", Some("1.3.132.0.34")) => {
            Some(&ECDSA_P384_SHA256_ASN1)
        }
        _ => None,
    }
}

/// The canonical request; what has to be signed must be listed, sorted and lower case.
fn canonical(request: &Request, listed: &str) -> Result<String, String> {
    let names: Vec<&str> = listed.split(';').collect();
    let must = ["content-type", "host", "x-amz-date", "x-amz-x509", "x-amz-x509-chain"];
    let missing = must.into_iter().find(|name| request.header(name).is_some() && !names.contains(name));
    if let Some(name) = missing {
        return Err(format!("'{name}' must be a 'SignedHeader'"));
    }
    if !names.is_sorted_by(|one, other| one < other) {
        return Err("SignedHeaders must be sorted".to_owned());
    }
    let mut pairs: Vec<&str> = request.query().split('&').collect();
    pairs.sort_unstable();
    let mut headers = String::new();
    for name in &names {
        let value = request.header(name).ok_or(format!("'{name}' is signed and was not sent"))?;
        headers += &format!("{name}:{}\n", value.trim());
    }
    let payload = hex(digest(&SHA256, &request.body).as_ref());
    Ok(format!("{}\n{}\n{}\n{headers}\n{listed}\n{payload}", request.method, request.path(), pairs.join("&")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|digit| digit.is_ascii_digit() || matches!(digit, b'a'..=b'f')) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}
