//! What is decided before the fake starts: addresses, certificates, where files go. Everything that may change
//! while it runs belongs to the control handles.

use std::net::SocketAddr;
use std::path::PathBuf;

use time::Duration;

/// When the leaf certificate is valid, counted from the start of the fake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when, usually in the past.
    pub not_before: Duration,
    /// Until when.
    pub not_after: Duration,
}

impl Validity {
    /// Ninety days, of which one hour has passed.
    pub const NINETY_DAYS: Self =
        Self { not_before: Duration::hours(-1), not_after: Duration::hours(90 * 24 - 1) };
    /// Ended a day ago.
    pub const EXPIRED: Self = Self { not_before: Duration::days(-91), not_after: Duration::days(-1) };
    /// Begins in a day.
    pub const NOT_YET: Self = Self { not_before: Duration::days(1), not_after: Duration::days(91) };
}

/// Who signs the leaf certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The CA that `ca_pem` shows.
    Own,
    /// Another CA of the same name, which no client knows.
    Unknown,
}

/// How a fake is started.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) imds: SocketAddr,
    pub(crate) sts: SocketAddr,
    pub(crate) s3: SocketAddr,
    pub(crate) container: Vec<SocketAddr>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) validity: Validity,
    pub(crate) issuer: Issuer,
    pub(crate) names: Vec<String>,
    pub(crate) default_names: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Free ports on 127.0.0.1, a leaf for ninety days, no files.
    #[must_use]
    pub fn new() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            imds: any,
            sts: any,
            s3: any,
            container: Vec::new(),
            directory: None,
            validity: Validity::NINETY_DAYS,
            issuer: Issuer::Own,
            names: Vec::new(),
            default_names: true,
        }
    }

    /// Writes `ca.pem` into `directory`, which must exist.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Where IMDS listens.
    #[must_use]
    pub fn imds_address(mut self, address: SocketAddr) -> Self {
        self.imds = address;
        self
    }

    /// Where STS listens.
    #[must_use]
    pub fn sts_address(mut self, address: SocketAddr) -> Self {
        self.sts = address;
        self
    }

    /// Where S3 listens.
    #[must_use]
    pub fn s3_address(mut self, address: SocketAddr) -> Self {
        self.s3 = address;
        self
    }

    /// One more address where the credentials of a container are; without any, a free port on 127.0.0.1.
    #[must_use]
    pub fn container_address(mut self, address: SocketAddr) -> Self {
        self.container.push(address);
        self
    }

    /// When the leaf is valid. The CA is valid for twenty years around the start, so that only the leaf decides.
    #[must_use]
    pub fn validity(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// Who signs the leaf.
    #[must_use]
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuer = issuer;
        self
    }

    /// One more name or address for the leaf.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    /// Leaves `localhost`, the loopback addresses and AWS's names out of the leaf: only names given by
    /// [`Self::name`] are in it.
    #[must_use]
    pub fn only_given_names(mut self) -> Self {
        self.default_names = false;
        self
    }
}
