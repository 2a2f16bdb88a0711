//! What was received: a log of requests and the counts that tests assert on. Knows nothing of the answers but
//! their status.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use time::OffsetDateTime;

/// One of the three services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The instance metadata service.
    Imds,
    /// The security token service.
    Sts,
    /// The object store.
    S3,
    /// The endpoint that a container has its credentials from.
    Container,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// PUT of an IMDS token.
    Token,
    /// GET of the extended listing of roles.
    ExtendedListing,
    /// GET of the legacy listing of roles.
    LegacyListing,
    /// GET of a role's credentials under the extended path.
    ExtendedDocument,
    /// GET of a role's credentials under the legacy path.
    LegacyDocument,
    /// GET of the instance identity document.
    IdentityDocument,
    /// Any other path of IMDS.
    OtherMetadata,
    /// STS `GetCallerIdentity`.
    GetCallerIdentity,
    /// STS `AssumeRole`.
    AssumeRole,
    /// STS `AssumeRoleWithWebIdentity`.
    AssumeRoleWithWebIdentity,
    /// STS `AssumeRoleWithSAML`.
    AssumeRoleWithSaml,
    /// STS with another action, or none.
    OtherAction,
    /// S3 `ListObjectsV2`.
    ListObjects,
    /// S3 `HeadBucket`.
    HeadBucket,
    /// Anything else of S3.
    OtherObject,
    /// GET of a container's credentials.
    ContainerCredentials,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who was asked.
    pub service: Service,
    /// For what.
    pub kind: Kind,
    /// The method.
    pub method: String,
    /// The request target: path and query, undecoded.
    pub target: String,
    /// All headers, in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The decoded parameters of a form body, or else of the query.
    pub parameters: Vec<(String, String)>,
    /// The access key id that the request claims to be signed with.
    pub access_key_id: Option<String>,
    /// The ARN of the caller, once the signature was found good.
    pub caller: Option<String>,
    /// The name that the client asked for in the TLS handshake.
    pub server_name: Option<String>,
    /// The number of the TCP connection, counted over all services from 1.
    pub connection: u64,
    /// The client's end of it.
    pub peer: SocketAddr,
    /// When the request was complete, by the host's clock.
    pub at: OffsetDateTime,
    /// The status that was answered, once it is known; a hung request has none.
    pub status: Option<u16>,
}

impl Received {
    /// The first value of header `name`, in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of parameter `name`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        crate::form::value(&self.parameters, name)
    }

    /// The host that the client believes to talk to.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.header("host")
    }
}

/// How much arrived since the start, or since the counts were last cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub(crate) requests: BTreeMap<Kind, u64>,
    pub(crate) connections: BTreeMap<Service, u64>,
    pub(crate) handshakes: BTreeMap<Service, u64>,
    pub(crate) failed_handshakes: BTreeMap<Service, u64>,
}

/// Adds one to the count of `key`.
pub(crate) fn increment<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

impl Counts {
    /// Requests of one kind.
    #[must_use]
    pub fn requests(&self, kind: Kind) -> u64 {
        self.requests.get(&kind).copied().unwrap_or(0)
    }

    /// Requests of all kinds.
    #[must_use]
    pub fn all_requests(&self) -> u64 {
        self.requests.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// TCP connections accepted by a service.
    #[must_use]
    pub fn connections(&self, service: Service) -> u64 {
        self.connections.get(&service).copied().unwrap_or(0)
    }

    /// TLS handshakes that a service completed.
    #[must_use]
    pub fn handshakes(&self, service: Service) -> u64 {
        self.handshakes.get(&service).copied().unwrap_or(0)
    }

    /// TLS handshakes that failed, for instance because the client refused the certificate.
    #[must_use]
    pub fn failed_handshakes(&self, service: Service) -> u64 {
        self.failed_handshakes.get(&service).copied().unwrap_or(0)
    }
}
