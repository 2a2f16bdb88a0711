//! At which time a server's certificate has to be valid: by this host's clock, and only where that fails for
//! validity, at the time that a service has told. Everything else about a certificate is left to rustls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use time::OffsetDateTime;

/// When these sources were written, 2026-11-01, in seconds since 1970. No later clock than the builder's is needed to
/// know that much, so that the same sources give the same binary.
const SOURCES_DATE: u64 = 1_793_491_200;
/// The time of the build, in the variable of reproducible builds: the date of the commit, as packaging sets it.
const BUILD_DATE: Option<&str> = option_env!("SOURCE_DATE_EPOCH");

/// The times of the request that is being sent, in seconds since 1970. Requests on several threads at once have the
/// same ones but for the length of a request.
#[derive(Debug, Default)]
pub(super) struct Times {
    local: AtomicU64,
    /// Zero where nobody told.
    told: AtomicU64,
}

impl Times {
    pub(super) fn set(&self, local: OffsetDateTime, told: Option<OffsetDateTime>) {
        let seconds = |at: OffsetDateTime| u64::try_from(at.unix_timestamp()).unwrap_or(0);
        self.local.store(seconds(local), Ordering::Relaxed);
        // What was told is not unlearnt by a request that was prepared before that.
        if let Some(told) = told {
            self.told.store(seconds(told), Ordering::Relaxed);
        }
    }

    /// The told time, but never one before this program was built: that is wrong for certain, and would let whoever
    /// tells it revive certificates that have expired, and leaked, long ago.
    fn corrected(&self) -> Option<UnixTime> {
        let told = self.told.load(Ordering::Relaxed);
        (told != 0).then(|| at(told.max(build_date())))
    }
}

impl TimeProvider for Times {
    fn current_time(&self) -> Option<UnixTime> {
        Some(at(self.local.load(Ordering::Relaxed)))
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// Some builders set the variable to a constant of long ago.
fn build_date() -> u64 {
    BUILD_DATE.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or(0).max(SOURCES_DATE)
}

/// Whether a certificate was refused for nothing but its dates: expired, or not valid yet.
pub(super) fn is_over_dates(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

/// Whether a certificate was refused because it is that of an authority, not of a server.
fn is_of_a_ca(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause)))
            if matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
    )
}

/// rustls' own verification, asked a second time where the first answer was about the dates and a better time is known.
///
/// Made of the pieces of rustls' verifier instead of the whole, which brings the reading of revocation lists along:
/// nobody gives us any.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    times: Arc<Times>,
}

impl Verifier {
    pub(super) fn new(roots: RootCertStore, provider: &CryptoProvider, times: Arc<Times>) -> Self {
        Self { roots, algorithms: provider.signature_verification_algorithms, times }
    }

    /// Whether it has the name and key of a root: a certificate that signed itself, as `openssl req -x509` makes it,
    /// which OpenSSL takes where it stands in the bundle. Whoever has a root's key can vouch for any certificate.
    fn is_root(&self, certificate: &CertificateDer<'_>) -> bool {
        webpki::anchor_from_trusted_cert(certificate).is_ok_and(|anchor| self.roots.roots.contains(&anchor))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let all = self.algorithms.all;
        let verify = |time| {
            match verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                intermediates,
                time,
                all,
            ) {
                // The dates are right: they are looked at before this.
                Err(error) if is_of_a_ca(&error) && self.is_root(end_entity) => Ok(()),
                verdict => verdict,
            }
        };
        match (verify(now), self.times.corrected()) {
            (Err(error), Some(corrected)) if is_over_dates(&error) => verify(corrected)?,
            (verdict, _) => verdict?,
        }
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;
    use crate::transport::provider::provider;

    /// A certificate for `localhost` that signed itself, valid in 2040 alone.
    fn own_root() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2040, 1, 1);
        params.not_after = date_time_ymd(2041, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    #[test]
    fn a_server_may_show_what_stands_in_the_bundle_itself() {
        let (known, stranger) = (own_root(), own_root());
        let mut roots = RootCertStore::empty();
        roots.add(known.clone()).unwrap();
        let verifier = Verifier::new(roots, &provider(), Arc::default());
        let verify = |shown, host: &'static str, year| {
            let now = at(date_time_ymd(year, 7, 1).unix_timestamp().try_into().unwrap());
            verifier.verify_server_cert(shown, &[], &ServerName::try_from(host).unwrap(), &[], now).err()
        };
        assert_eq!(verify(&known, "localhost", 2040), None);
        assert!(verify(&stranger, "localhost", 2040).is_some_and(|error| is_of_a_ca(&error)), "another key");
        assert!(verify(&known, "localhost", 2041).is_some_and(|error| is_over_dates(&error)));
        assert!(verify(&known, "example.com", 2040).is_some(), "another name");
    }
}
