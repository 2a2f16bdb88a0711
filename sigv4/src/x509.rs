//! The variant of SigV4 that signs with the private key of an X.509 certificate: `CreateSession` of IAM Roles
//! Anywhere. Nothing is derived; the key signs the string to sign itself.
//!
//! Knows no key format and no cryptography but the hash: the key is behind [`X509Key`].

use std::fmt;

use time::OffsetDateTime;

use crate::canonical::{Canonical, Identity, ToSign};
use crate::headers::{Headers, Location, X_AMZ_DATE, X_AMZ_X509, X_AMZ_X509_CHAIN};
use crate::payload::PayloadHash;
use crate::scope::Timestamp;
use crate::text::hex_digits;
use crate::{AddedHeader, Error, Request, Scope, Settings};

/// What a key signs with. The hash is SHA-256 for every size of key and for every curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum X509Algorithm {
    /// RSASSA-PKCS1-v1_5: `AWS4-X509-RSA-SHA256`.
    RsaSha256,
    /// ECDSA, the signature in DER: `AWS4-X509-ECDSA-SHA256`.
    EcdsaSha256,
}

impl X509Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::RsaSha256 => "AWS4-X509-RSA-SHA256",
            Self::EcdsaSha256 => "AWS4-X509-ECDSA-SHA256",
        }
    }
}

/// The private key that belongs to a certificate, wherever it is.
pub trait X509Key {
    /// What it signs with.
    fn algorithm(&self) -> X509Algorithm;

    /// Its signature over `message`, which is hashed here; `None` where it makes none.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
}

/// Who signs: a certificate and what leads from it to the root that the service trusts.
#[derive(Clone, Copy)]
pub struct X509Identity<'a> {
    /// The serial number of the certificate, most significant byte first, of any length; leading zeros do not
    /// matter.
    pub serial_number: &'a [u8],
    /// The certificate in DER.
    pub certificate: &'a [u8],
    /// The intermediate certificates in DER, the certificate's issuer first. No root, which the service has.
    pub chain: &'a [&'a [u8]],
}

impl fmt::Debug for X509Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "X509Identity({}, {} in the chain)", decimal(self.serial_number), self.chain.len())
    }
}

/// Signs `request` with the key of a certificate, for the region and service of `scope`, as of the instant `at`.
///
/// Path, query, headers and body are treated as [`sign`](crate::sign) does with [`Settings::default`]. Headers that
/// are left over from an earlier attempt are ignored: those of [`REPLACED_HEADERS`](crate::REPLACED_HEADERS),
/// `x-amz-x509` and `x-amz-x509-chain`.
///
/// ```
/// use sigv4::{Payload, Request, Scope, X509Algorithm, X509Identity, X509Key, sign_x509};
///
/// /// A key in a device that signs by itself.
/// struct InDevice;
///
/// impl X509Key for InDevice {
///     fn algorithm(&self) -> X509Algorithm {
///         X509Algorithm::EcdsaSha256
///     }
///
///     fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
///         ask_the_device(message)
///     }
/// }
/// # fn ask_the_device(_: &[u8]) -> Option<Vec<u8>> { Some(vec![0x30, 0x06, 2, 1, 1, 2, 1, 1]) }
/// # let at = time::OffsetDateTime::UNIX_EPOCH;
///
/// let json = [("Content-Type", "application/json")];
/// let request = Request::new("POST", "https://rolesanywhere.eu-central-1.amazonaws.com/sessions")?
///     .with_headers(&json)
///     .with_payload(Payload::Bytes(b"{}"));
/// let identity = X509Identity { serial_number: &[1, 0], certificate: b"the certificate in DER", chain: &[] };
/// let scope = Scope::new("eu-central-1", "rolesanywhere");
/// let signed = sign_x509(&request, &identity, &InDevice, scope, at)?;
///
/// let names: Vec<_> = signed.headers().map(|header| header.name).collect();
/// assert_eq!(names, ["x-amz-date", "x-amz-x509", "authorization"]);
/// assert_eq!(
///     signed.authorization(),
///     "AWS4-X509-ECDSA-SHA256 Credential=256/19700101/eu-central-1/rolesanywhere/aws4_request, \
///      SignedHeaders=content-type;host;x-amz-date;x-amz-x509, Signature=3006020101020101"
/// );
/// # Ok::<(), sigv4::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::PrivateKey`] when the key makes no signature; and those of [`sign`](crate::sign).
pub fn sign_x509(
    request: &Request<'_>,
    identity: &X509Identity<'_>,
    key: &dyn X509Key,
    scope: Scope<'_>,
    at: OffsetDateTime,
) -> Result<X509Signed, Error> {
    let timestamp = Timestamp::new(at)?;
    let scope = scope.dated(&timestamp)?;
    let certificate = base64(identity.certificate);
    let chain: Vec<String> = identity.chain.iter().map(|der| base64(der)).collect();
    let chain = chain.join(",");

    let mut headers = Headers::of(request, Location::Header, &[X_AMZ_X509, X_AMZ_X509_CHAIN])?;
    headers.add(X_AMZ_DATE, timestamp.as_str());
    headers.add(X_AMZ_X509, &certificate);
    if !chain.is_empty() {
        headers.add(X_AMZ_X509_CHAIN, &chain);
    }
    let payload = PayloadHash::as_sent_with(request);
    let canonical = Canonical::of(request, headers, payload, Settings::default())?;

    let serial_number = decimal(identity.serial_number);
    let identity = Identity { algorithm: key.algorithm().name(), credential: &serial_number };
    let to_sign = ToSign::new(&canonical, identity, &timestamp, scope);
    let mut text = String::new();
    to_sign.put(&mut text);
    let signature = key.sign(text.as_bytes()).ok_or(Error::PrivateKey)?;
    let mut authorization = String::new();
    to_sign.put_authorization(&mut authorization, &canonical.headers);
    authorization.extend(signature.into_iter().flat_map(hex_digits).map(char::from));
    Ok(X509Signed { timestamp, certificate, chain, authorization })
}

/// What a signature with a certificate adds to a request. Nothing of it is secret.
#[derive(Clone)]
pub struct X509Signed {
    timestamp: Timestamp,
    certificate: String,
    /// Empty where there is none.
    chain: String,
    authorization: String,
}

impl X509Signed {
    /// The headers to set, in this order; each replaces one of the same name: `x-amz-date`, `x-amz-x509`,
    /// `x-amz-x509-chain` where there is a chain, and `authorization`.
    pub fn headers(&self) -> impl Iterator<Item = AddedHeader<'_>> {
        [
            (X_AMZ_DATE, self.timestamp.as_str()),
            (X_AMZ_X509, &self.certificate),
            (X_AMZ_X509_CHAIN, &self.chain),
            ("authorization", &self.authorization),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| AddedHeader { name, value })
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.authorization
    }
}

/// Shows the headers.
impl fmt::Debug for X509Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.headers()).finish()
    }
}

/// The unsigned number of `bytes`, most significant first, in decimal digits; no digits mean zero.
fn decimal(bytes: &[u8]) -> String {
    // Least significant digit first. Every byte multiplies what is there by 256 and adds itself.
    let mut digits = vec![0_u8];
    for &byte in bytes {
        let mut carry = u16::from(byte);
        for digit in &mut digits {
            // At most 9 * 256 + 255, and the carry stays below 256.
            let value = u16::from(*digit).wrapping_mul(256).wrapping_add(carry);
            *digit = u8::try_from(value % 10).unwrap_or_default();
            carry = value / 10;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 10).unwrap_or_default());
            carry /= 10;
        }
    }
    digits.into_iter().rev().map(|digit| char::from(b'0'.wrapping_add(digit))).collect()
}

/// `bytes` in the alphabet of RFC 4648, section 4, on one line and padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = ALPHABET.get(usize::try_from(bits >> shift & 0x3f).unwrap_or_default()).copied();
            // Two letters tell one byte, three tell two.
            let letter = letter.filter(|_| index <= group.len()).unwrap_or(b'=');
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base64, decimal};

    #[test]
    fn serial_numbers_of_any_length_are_written_in_decimal() {
        let power = |bits: usize| {
            let mut bytes = vec![0; bits / 8 + 1];
            bytes[0] = 1 << (bits % 8);
            bytes
        };
        let mut of_120_bits = power(120);
        of_120_bits[15] = 7;
        for (bytes, expected) in [
            (vec![], "0"),
            (vec![0], "0"),
            (vec![0, 0, 9], "9"),
            (vec![10], "10"),
            (vec![255], "255"),
            (vec![1, 0], "256"),
            (of_120_bits, "1329227995784915872903807060280344583"),
            (power(128), "340282366920938463463374607431768211456"),
            (vec![255; 20], "1461501637330902918203684832716283019655932542975"),
        ] {
            assert_eq!(decimal(&bytes), expected, "{bytes:?}");
        }
        for number in (0..u64::MAX - 9_999_999_999_999_999).step_by(9_999_999_999_999_999) {
            assert_eq!(decimal(&number.to_be_bytes()), number.to_string());
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (b"\xfb\xff\xbf", "+/+/"),
        ] {
            assert_eq!(base64(bytes), expected);
        }
    }
}
