//! The private key of a certificate: read from any of its usual forms, held against the certificate, and used to sign.
//!
//! A key that is encrypted, or on a curve that cannot be signed on, is told from one that is damaged.

use std::fmt;

use ring::digest::{SHA256, SHA384, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256,
    RsaEncoding, RsaKeyPair,
};
use sigv4::{X509Algorithm, X509Key};
use zeroize::Zeroizing;

use super::certificate::PublicKey;
use super::der::{CONTEXT_0, Der, INTEGER, OBJECT, OCTET_STRING, SEQUENCE};
use super::error::X509Problem;
use super::p384;

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x2b\x81\x04\x00\x23";

/// The sizes of RSA keys that ring signs with, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A private key that belongs to its certificate.
pub(crate) enum PrivateKey {
    /// RSA of 2048 to 4096 bits.
    Rsa(Box<RsaKeyPair>),
    /// ECDSA on P-256.
    P256(EcdsaKeyPair),
    /// ECDSA on P-384, and the key as a number of 48 bytes.
    P384(EcdsaKeyPair, Zeroizing<Vec<u8>>),
}

/// What a file holds.
enum Material<'a> {
    /// In the form of PKCS#1.
    Rsa(&'a [u8]),
    Ec {
        curve: &'a [u8],
        number: &'a [u8],
    },
}

/// Whether `der` is a private key in any form, encrypted or not, of whatever algorithm.
pub(super) fn is_key(der: &[u8]) -> bool {
    let Some(mut outer) = Der::sequence_of(der) else { return false };
    if outer.take(INTEGER).is_some_and(|version| version.len() == 1) {
        return matches!(outer.tag(), Some(INTEGER | OCTET_STRING))
            || outer.sequence().is_some_and(|mut algorithm| algorithm.take(OBJECT).is_some())
                && outer.tag() == Some(OCTET_STRING);
    }
    is_encrypted(der)
}

/// `EncryptedPrivateKeyInfo` of PKCS#8: an algorithm and an octet string.
fn is_encrypted(der: &[u8]) -> bool {
    let Some(mut outer) = Der::sequence_of(der) else { return false };
    outer.sequence().is_some_and(|mut algorithm| algorithm.take(OBJECT).is_some())
        && outer.take(OCTET_STRING).is_some()
}

impl PrivateKey {
    /// Reads `der`, which is PKCS#8, PKCS#1 or SEC1, and holds it against the key of its certificate.
    ///
    /// # Errors
    ///
    /// When it is no such key, one that cannot be used, or not the certificate's.
    pub(super) fn parse(der: &[u8], public: &PublicKey<'_>) -> Result<Self, X509Problem> {
        if is_encrypted(der) {
            return Err(X509Problem::Encrypted);
        }
        match material(der)? {
            Material::Rsa(pkcs1) => Self::rsa(pkcs1, public),
            Material::Ec { curve, number } => Self::ec(curve, number, public),
        }
    }

    fn rsa(pkcs1: &[u8], public: &PublicKey<'_>) -> Result<Self, X509Problem> {
        const BROKEN: X509Problem = X509Problem::Malformed("an RSA key whose numbers do not fit together");
        let mut numbers = Der::sequence_of(pkcs1).ok_or(BROKEN)?;
        numbers.take(INTEGER).ok_or(BROKEN)?; // version
        let modulus = numbers.take(INTEGER).ok_or(BROKEN)?;
        let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !RSA_BITS.contains(&modulus.len().saturating_mul(8).saturating_sub(zeros)) {
            return Err(X509Problem::Unsupported("an RSA key of fewer than 2048 or more than 4096 bits"));
        }
        let pair = RsaKeyPair::from_der(pkcs1).map_err(|_| BROKEN)?;
        if public.algorithm != RSA || pair.public().as_ref() != public.key {
            return Err(X509Problem::Mismatch);
        }
        Ok(Self::Rsa(Box::new(pair)))
    }

    fn ec(curve: &[u8], number: &[u8], public: &PublicKey<'_>) -> Result<Self, X509Problem> {
        let (algorithm, length) = match curve {
            P256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, 32_usize),
            P384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, 48),
            P521 => return Err(X509Problem::Unsupported("a key on the curve P-521")),
            _ => return Err(X509Problem::Unsupported("a key on a curve other than P-256 and P-384")),
        };
        // Some writers leave leading zeros out.
        let padding =
            length.checked_sub(number.len()).ok_or(X509Problem::Malformed("a key that is too long"))?;
        let mut padded = Zeroizing::new(vec![0; padding]);
        padded.reserve_exact(number.len());
        padded.extend_from_slice(number);
        if (public.algorithm, public.curve) != (EC, curve) {
            return Err(X509Problem::Mismatch);
        }
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            algorithm,
            &padded,
            public.key,
            &SystemRandom::new(),
        )
        .map_err(|_| X509Problem::Mismatch)?;
        Ok(if length == 32 { Self::P256(pair) } else { Self::P384(pair, padded) })
    }

    /// An RSA signature; `None` where this is no RSA key.
    pub(crate) fn sign_rsa(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Option<Vec<u8>> {
        let Self::Rsa(pair) = self else { return None };
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }

    /// An ECDSA signature in DER with the hash that TLS has for the curve: SHA-256 on P-256, SHA-384 on P-384. `None`
    /// where this is no such key.
    pub(crate) fn sign_ec(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (Self::P256(pair) | Self::P384(pair, _)) = self else { return None };
        Some(in_der(pair.sign(&SystemRandom::new(), message).ok()?.as_ref()))
    }
}

impl X509Key for PrivateKey {
    fn algorithm(&self) -> X509Algorithm {
        match self {
            Self::Rsa(_) => X509Algorithm::RsaSha256,
            Self::P256(_) | Self::P384(..) => X509Algorithm::EcdsaSha256,
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(_) => self.sign_rsa(&RSA_PKCS1_SHA256, message),
            Self::P256(_) => self.sign_ec(message),
            Self::P384(pair, number) => {
                let over_sha384 = pair.sign(&SystemRandom::new(), message).ok()?;
                let (wanted, signed) = (digest(&SHA256, message), digest(&SHA384, message));
                let signature =
                    p384::over_digest(wanted.as_ref(), signed.as_ref(), number, over_sha384.as_ref())?;
                Some(in_der(&signature))
            }
        }
    }
}

/// Shows what kind of key it is, never the key.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa(_) => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(..) => "P-384",
        })
    }
}

fn material(der: &[u8]) -> Result<Material<'_>, X509Problem> {
    const NO_KEY: X509Problem = X509Problem::Malformed("no private key that can be read");
    let mut outer = Der::sequence_of(der).ok_or(NO_KEY)?;
    let version = outer.take(INTEGER).ok_or(NO_KEY)?;
    match outer.tag() {
        Some(INTEGER) => Ok(Material::Rsa(der)),
        Some(OCTET_STRING) => sec1(outer, None).ok_or(NO_KEY),
        Some(SEQUENCE) if version == [3] => Err(X509Problem::Unsupported("a PKCS#12 file")),
        Some(SEQUENCE) => {
            let mut kind = outer.sequence().ok_or(NO_KEY)?;
            let algorithm = kind.take(OBJECT).ok_or(NO_KEY)?;
            let key = outer.take(OCTET_STRING).ok_or(NO_KEY)?;
            match algorithm {
                RSA => Ok(Material::Rsa(key)),
                EC => {
                    let curve = kind.take(OBJECT).ok_or(NO_KEY)?;
                    let mut inner = Der::sequence_of(key).ok_or(NO_KEY)?;
                    inner.take(INTEGER).ok_or(NO_KEY)?; // version
                    sec1(inner, Some(curve)).ok_or(NO_KEY)
                }
                _ => Err(X509Problem::Unsupported("a key that is neither RSA nor EC")),
            }
        }
        _ => Err(NO_KEY),
    }
}

/// What follows the version in an `ECPrivateKey` of RFC 5915.
fn sec1<'a>(mut key: Der<'a>, curve: Option<&'a [u8]>) -> Option<Material<'a>> {
    let number = key.take(OCTET_STRING)?;
    let curve = match curve {
        Some(curve) => curve,
        None => key.inside(CONTEXT_0)?.take(OBJECT)?,
    };
    Some(Material::Ec { curve, number })
}

/// `r` and `s`, each half of `fixed`, as the sequence of two integers that everybody expects.
fn in_der(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let mut content = Vec::new();
    for number in [r, s] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let digits = number.get(zeros..).unwrap_or_default();
        let sign: &[u8] = if digits.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
        element(&mut content, INTEGER, &[sign, digits].concat());
    }
    let mut der = Vec::new();
    element(&mut der, SEQUENCE, &content);
    der
}

/// At most 2 + 2 + 49 + 49 bytes, whose lengths are one byte each.
fn element(der: &mut Vec<u8>, tag: u8, content: &[u8]) {
    der.extend([tag, u8::try_from(content.len()).unwrap_or_default()]);
    der.extend_from_slice(content);
}
