//! TLS for ureq, over rustls directly: the roots, the versions and the verification are chosen here and
//! nowhere else. ureq's own connector offers neither a client certificate of a changing file nor a clock.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::client_key;
use super::error::{CaBundleProblem, TransportError};
use super::provider::provider;
use super::verify::{Times, Verifier};
use crate::config::read::read_bounded;
use crate::x509::X509Identity;

/// Verification against the embedded roots, or against those of `ca_bundle` alone, as the AWS CLI does it.
/// `identity` is what the client shows, where it shows anything; `times` are those that certificates are held against.
pub(super) fn client_config(
    ca_bundle: Option<&Path>,
    identity: Option<&X509Identity>,
    times: &Arc<Times>,
) -> Result<Arc<ClientConfig>, TransportError> {
    let roots = match ca_bundle {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(path) => bundle_roots(path)?,
    };
    let provider = provider();
    let verifier = Verifier::new(roots, &provider, Arc::clone(times));
    // "Dangerous" is rustls' word for every verifier that it does not make itself; ours is made of the same pieces.
    let builder = ClientConfig::builder_with_details(provider, Arc::clone(times) as Arc<dyn TimeProvider>)
        .with_safe_default_protocol_versions()
        .map_err(TransportError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(client_key::resolver(identity)),
        None => builder.with_no_client_auth(),
    };
    // Connections are kept for a batch and batches are minutes apart: a session would not be resumed.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The bundles of distributions have a quarter of a megabyte.
const LARGEST_BUNDLE: usize = 4 * 1024 * 1024;

fn bundle_roots(path: &Path) -> Result<RootCertStore, TransportError> {
    let problem = |problem| TransportError::CaBundle { path: path.to_owned(), problem };
    let pem = read_bounded(path, LARGEST_BUNDLE)
        .map_err(|cause| problem(CaBundleProblem::Unreadable(Box::new(cause))))?;
    let mut roots = RootCertStore::empty();
    // Bundles of distributions hold a few certificates that no verifier accepts; those are passed over.
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(problem(CaBundleProblem::Empty)) } else { Ok(roots) }
}

/// Wraps the TCP connection of an `https` request in TLS.
pub(super) struct TlsConnector(pub(super) Arc<ClientConfig>);

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(tcp) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(tcp)));
        }
        let host = details.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| ureq::Error::BadUri(details.uri.to_string()))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(tls_error)?;
        let mut socket = TransportAdapter::new(tcp.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, socket) })))
    }
}

fn tls_error(cause: rustls::Error) -> ureq::Error {
    ureq::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, cause))
}

/// A TLS connection.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
