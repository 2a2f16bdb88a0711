//! The handle of a running fake: starts the three services, tells where they are, stops them. Control of what
//! they do is in `control`.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::certificates;
use crate::control::{Container, Devices, Iam, Imds, S3, Sts};
use crate::device::{Authority, Certificate, DeviceState, Order};
use crate::error::StartError;
use crate::options::Options;
use crate::record::{Counts, Received, Service};
use crate::scenario;
use crate::server::Server;
use crate::state::Shared;

/// A running fake AWS. It stops when dropped.
#[derive(Debug)]
pub struct FakeAws {
    shared: Arc<Shared>,
    imds: Server,
    sts: Server,
    s3: Server,
    container: Vec<Server>,
    iot: Server,
    roles_anywhere: Server,
    authority: Authority,
    ca_pem: String,
    ca_file: Option<PathBuf>,
}

impl FakeAws {
    /// Starts all services; they answer when this returns.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound, the certificates cannot be made, or `ca.pem` cannot be written.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let certificates = certificates::make(&options)?;
        let ca_file = options
            .directory
            .map(|directory| write_file(&directory.join("ca.pem"), &certificates.ca_pem))
            .transpose()?;
        let authority = Authority::new()?;
        let devices = DeviceState::new(authority.root.der().to_vec());
        let shared = Arc::new(Shared::new(scenario::directory(), devices));
        let tls = || Some(Arc::clone(&certificates.tls));
        let imds = Server::start(Service::Imds, options.imds, None, Arc::clone(&shared))?;
        let sts = Server::start(Service::Sts, options.sts, tls(), Arc::clone(&shared))?;
        let s3 = Server::start(Service::S3, options.s3, tls(), Arc::clone(&shared))?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = if options.container.is_empty() { vec![any] } else { options.container };
        let start = |address| Server::start(Service::Container, address, None, Arc::clone(&shared));
        let container = addresses.into_iter().map(start).collect::<Result<_, _>>()?;
        let mutual = certificates.mutual(authority.root.der())?;
        let iot = Server::start(Service::Iot, any, Some(mutual), Arc::clone(&shared))?;
        let roles_anywhere = Server::start(Service::RolesAnywhere, any, tls(), Arc::clone(&shared))?;
        Ok(Self {
            shared,
            imds,
            sts,
            s3,
            container,
            iot,
            roles_anywhere,
            authority,
            ca_pem: certificates.ca_pem,
            ca_file,
        })
    }

    /// Where IMDS is, as `AWS_EC2_METADATA_SERVICE_ENDPOINT` takes it: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn imds_url(&self) -> String {
        format!("http://{}", self.imds.address)
    }

    /// Where STS is: `https://localhost:PORT`.
    #[must_use]
    pub fn sts_url(&self) -> String {
        format!("https://localhost:{}", self.sts.address.port())
    }

    /// Where S3 is: `https://localhost:PORT`.
    #[must_use]
    pub fn s3_url(&self) -> String {
        format!("https://localhost:{}", self.s3.address.port())
    }

    /// Where a container's credentials are, as `AWS_CONTAINER_CREDENTIALS_FULL_URI` takes it; of several addresses, the
    /// first.
    #[must_use]
    pub fn container_url(&self) -> String {
        let address = self.container.first().map_or_else(String::new, |server| server.address.to_string());
        format!("http://{address}{}", crate::container::PATH)
    }

    /// Where the credentials provider of AWS IoT Core is, as a host name and port.
    #[must_use]
    pub fn iot_endpoint(&self) -> String {
        format!("localhost:{}", self.iot.address.port())
    }

    /// Where Roles Anywhere is: `https://localhost:PORT`.
    #[must_use]
    pub fn roles_anywhere_url(&self) -> String {
        format!("https://localhost:{}", self.roles_anywhere.address.port())
    }

    /// Issues a certificate to a device.
    ///
    /// # Errors
    ///
    /// When the key of the order is none.
    pub fn issue(&self, order: &Order<'_>) -> Result<Certificate, StartError> {
        self.authority.issue(order)
    }

    /// Control of AWS IoT Core and Roles Anywhere.
    #[must_use]
    pub fn devices(&self) -> Devices<'_> {
        Devices::new(&self.shared)
    }

    /// The CA that signed the certificate of STS and S3.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The file with [`Self::ca_pem`], where a directory was given.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Control of IMDS.
    #[must_use]
    pub fn imds(&self) -> Imds<'_> {
        Imds::new(&self.shared)
    }

    /// Control of STS.
    #[must_use]
    pub fn sts(&self) -> Sts<'_> {
        Sts::new(&self.shared)
    }

    /// Control of S3.
    #[must_use]
    pub fn s3(&self) -> S3<'_> {
        S3::new(&self.shared)
    }

    /// Control of the endpoint that a container has its credentials from.
    #[must_use]
    pub fn container(&self) -> Container<'_> {
        Container::new(&self.shared)
    }

    /// Control of users and roles.
    #[must_use]
    pub fn iam(&self) -> Iam<'_> {
        Iam::new(&self.shared)
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts.clone()
    }

    /// What was received, in order; the last twenty thousand requests.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().log.iter().map(|(_, received)| received.clone()).collect()
    }

    /// Begins log and counts anew.
    pub fn clear_log(&self) {
        let mut state = self.shared.lock();
        state.counts = Counts::default();
        state.log.clear();
    }

    /// Stops all services and ends all connections. When this returns no thread is left and the ports are free.
    pub fn stop(&mut self) {
        self.shared.stop.raise();
        self.imds.stop();
        self.sts.stop();
        self.s3.stop();
        self.iot.stop();
        self.roles_anywhere.stop();
        self.container.iter_mut().for_each(Server::stop);
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes a file that no reader looks at before the fake is ready.
fn write_file(path: &Path, text: &str) -> Result<PathBuf, StartError> {
    let cause = |cause| StartError::Write { path: path.to_owned(), cause };
    File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(cause)?;
    Ok(path.to_owned())
}
