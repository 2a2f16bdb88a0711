//! The canonical request, the string to sign and the signature: the three checkpoints, each written into a
//! sink.
//!
//! Everything that differs between header and query, and between AWS4-HMAC-SHA256 and another algorithm, is
//! decided by the callers of this module.

use hmac::Mac;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::headers::Headers;
use crate::key::KeyedMac;
use crate::path::Path;
use crate::payload::PayloadHash;
use crate::query::Query;
use crate::request::Request;
use crate::scope::{DatedScope, Timestamp};
use crate::settings::Settings;
use crate::text::{Hex, Sink, hex};

/// Who signs, and how: the name in front of the string to sign, and what stands before the scope in
/// `Credential=`.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) algorithm: &'a str,
    pub(crate) credential: &'a str,
}

impl<'a> Identity<'a> {
    pub(crate) fn hmac(access_key_id: &'a str) -> Self {
        Self { algorithm: "AWS4-HMAC-SHA256", credential: access_key_id }
    }

    /// Writes the credential with its scope.
    pub(crate) fn put_credential(&self, sink: &mut impl Sink, scope: DatedScope<'_>) {
        sink.put(self.credential);
        sink.put("/");
        scope.put(sink);
    }
}

/// A request with everything that will be signed, in canonical order.
pub(crate) struct Canonical<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: Path<'a>,
    pub(crate) query: Query<'a>,
    pub(crate) headers: Headers<'a>,
    pub(crate) payload: PayloadHash<'a>,
    pub(crate) settings: Settings,
}

impl<'a> Canonical<'a> {
    /// A request that will carry its signature in a header. `headers` are all that are signed, in any order.
    pub(crate) fn of(
        request: &Request<'a>,
        mut headers: Headers<'a>,
        payload: PayloadHash<'a>,
        settings: Settings,
    ) -> Result<Self, Error> {
        headers.sort();
        let mut query = Query::parse(request.query);
        query.sort();
        Ok(Self {
            method: request.checked_method()?,
            path: Path::parse(request.path)?,
            query,
            headers,
            payload,
            settings,
        })
    }

    /// Writes the canonical request. The session token may be in it.
    pub(crate) fn put(&self, sink: &mut impl Sink) {
        sink.put(self.method);
        sink.put("\n");
        self.path.put(sink, self.settings);
        sink.put("\n");
        self.query.put(sink);
        sink.put("\n");
        self.headers.put(sink);
        sink.put("\n");
        self.headers.put_names(sink);
        sink.put("\n");
        self.payload.put(sink);
    }
}

/// What the string to sign is made of.
pub(crate) struct ToSign<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) timestamp: &'a Timestamp,
    pub(crate) scope: DatedScope<'a>,
    digest: Hex,
}

impl<'a> ToSign<'a> {
    pub(crate) fn new(
        canonical: &Canonical<'_>,
        identity: Identity<'a>,
        timestamp: &'a Timestamp,
        scope: DatedScope<'a>,
    ) -> Self {
        let mut hash = Sha256::new();
        canonical.put(&mut hash);
        Self { identity, timestamp, scope, digest: hex(hash.finalize().into()) }
    }

    /// Writes the string to sign.
    pub(crate) fn put(&self, sink: &mut impl Sink) {
        sink.put(self.identity.algorithm);
        sink.put("\n");
        sink.put(self.timestamp.as_str());
        sink.put("\n");
        self.scope.put(sink);
        sink.put("\n");
        sink.put(self.digest.as_str());
    }

    /// The signature with a derived key.
    pub(crate) fn signature(&self, mut mac: KeyedMac) -> Hex {
        self.put(&mut mac);
        hex(mac.finalize().into_bytes().into())
    }

    /// Writes the value of the `Authorization` header up to the signature, which is its end.
    pub(crate) fn put_authorization(&self, sink: &mut impl Sink, headers: &Headers<'_>) {
        sink.put(self.identity.algorithm);
        sink.put(" Credential=");
        self.identity.put_credential(sink, self.scope);
        sink.put(", SignedHeaders=");
        headers.put_names(sink);
        sink.put(", Signature=");
    }
}
