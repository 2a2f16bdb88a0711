//! The client's side of mutual TLS: which certificate it shows, and how it proves to hold the key.

use std::sync::Arc;

use ring::signature as encodings;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use crate::x509::{PrivateKey, X509Identity};

/// What an RSA key signs with, the best first.
static RSA_SCHEMES: [(SignatureScheme, &dyn encodings::RsaEncoding); 6] = [
    (SignatureScheme::RSA_PSS_SHA512, &encodings::RSA_PSS_SHA512),
    (SignatureScheme::RSA_PSS_SHA384, &encodings::RSA_PSS_SHA384),
    (SignatureScheme::RSA_PSS_SHA256, &encodings::RSA_PSS_SHA256),
    (SignatureScheme::RSA_PKCS1_SHA512, &encodings::RSA_PKCS1_SHA512),
    (SignatureScheme::RSA_PKCS1_SHA384, &encodings::RSA_PKCS1_SHA384),
    (SignatureScheme::RSA_PKCS1_SHA256, &encodings::RSA_PKCS1_SHA256),
];

/// Shows the certificates of `identity` to whoever asks, whichever authorities they name: the server decides.
pub(super) fn resolver(identity: &X509Identity) -> Arc<dyn ResolvesClientCert> {
    let chain = identity.certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = ClientKey(Arc::clone(&identity.key));
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, Arc::new(key))))
}

#[derive(Debug)]
struct ClientKey(Arc<PrivateKey>);

impl SigningKey for ClientKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, rsa) = match *self.0 {
            PrivateKey::Rsa(_) => {
                let (scheme, encoding) = RSA_SCHEMES.iter().find(|(scheme, _)| offered.contains(scheme))?;
                (*scheme, Some(*encoding))
            }
            PrivateKey::P256(_) => (SignatureScheme::ECDSA_NISTP256_SHA256, None),
            PrivateKey::P384(..) => (SignatureScheme::ECDSA_NISTP384_SHA384, None),
        };
        if !offered.contains(&scheme) {
            return None;
        }
        Some(Box::new(ClientSigner { key: Arc::clone(&self.0), scheme, rsa }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match *self.0 {
            PrivateKey::Rsa(_) => SignatureAlgorithm::RSA,
            PrivateKey::P256(_) | PrivateKey::P384(..) => SignatureAlgorithm::ECDSA,
        }
    }
}

/// A key with the one scheme that was agreed on.
#[derive(Debug)]
struct ClientSigner {
    key: Arc<PrivateKey>,
    scheme: SignatureScheme,
    /// Of an RSA key.
    rsa: Option<&'static dyn encodings::RsaEncoding>,
}

impl Signer for ClientSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = match self.rsa {
            Some(encoding) => self.key.sign_rsa(encoding, message),
            None => self.key.sign_ec(message),
        };
        signature.ok_or_else(|| Error::General("the private key made no signature".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
