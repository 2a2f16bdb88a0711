//! The CA and the leaf that the TLS services present, made anew at each start. Knows nothing of sockets.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer as Signer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use time::Duration;

use crate::clock;
use crate::error::StartError;
use crate::options::{Issuer, Options};

/// Ten years: the CA must outlive every clock that a test may pretend.
const CA_HALF_LIFE: Duration = Duration::days(3650);

/// The CA as clients are given it, and the TLS settings of the services.
pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    pub(crate) tls: Arc<ServerConfig>,
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certificates {
    /// TLS settings that ask the client for a certificate of `authority`.
    pub(crate) fn mutual(
        &self,
        authority: &CertificateDer<'static>,
    ) -> Result<Arc<ServerConfig>, StartError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(StartError::Tls)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|cause| StartError::Tls(rustls::Error::General(cause.to_string())))?;
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(StartError::Tls)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.leaf.clone()], self.key.clone_key())
            .map_err(StartError::Tls)?;
        Ok(Arc::new(tls))
    }
}

/// Makes a CA and a leaf as `options` say.
pub(crate) fn make(options: &Options) -> Result<Certificates, StartError> {
    let ca_params = ca_params();
    let own_key = KeyPair::generate().map_err(StartError::Certificate)?;
    let ca = ca_params.self_signed(&own_key).map_err(StartError::Certificate)?;
    let signing_key = match options.issuer {
        Issuer::Own => own_key,
        Issuer::Unknown => KeyPair::generate().map_err(StartError::Certificate)?,
    };
    let signer = Signer::new(ca_params, signing_key);

    let leaf_key = KeyPair::generate().map_err(StartError::Certificate)?;
    let leaf = leaf_params(options)?.signed_by(&leaf_key, &signer).map_err(StartError::Certificate)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(StartError::Tls)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.clone_key())
        .map_err(StartError::Tls)?;
    // AWS's query services offer nothing newer, and a client that offers only HTTP/2 must be seen to fail.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Certificates { ca_pem: ca.pem(), tls: Arc::new(tls), leaf: leaf.der().clone(), key })
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = clock::now();
    params.not_before = now.saturating_sub(CA_HALF_LIFE);
    params.not_after = now.saturating_add(CA_HALF_LIFE);
    params.distinguished_name.push(DnType::CommonName, "fake AWS CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(options: &Options) -> Result<CertificateParams, StartError> {
    let mut names = options.names.clone();
    if options.default_names {
        let defaults = [
            "localhost",
            "*.localhost",
            "127.0.0.1",
            "::1",
            "sts.amazonaws.com",
            "sts.us-east-1.amazonaws.com",
            "sts.us-west-2.amazonaws.com",
            "sts.eu-central-1.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
            "sts-fips.us-east-1.amazonaws.com",
            "sts.us-east-1.api.aws",
            "s3.us-east-1.amazonaws.com",
        ];
        names.extend(defaults.map(str::to_owned));
    }
    let mut params = CertificateParams::new(names).map_err(StartError::Certificate)?;
    let now = clock::now();
    params.not_before = now.saturating_add(options.validity.not_before);
    params.not_after = now.saturating_add(options.validity.not_after);
    params.distinguished_name.push(DnType::CommonName, "fake AWS");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
