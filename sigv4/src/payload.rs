//! The last line of the canonical request: what is said about the body.

use sha2::{Digest, Sha256};

use crate::headers::{X_AMZ_CONTENT_SHA256, put_normalised};
use crate::request::{Payload, Request};
use crate::text::{Hex, Sink, hex};

/// A hash in hexadecimal, or a word in its place.
#[derive(Clone, Copy)]
pub(crate) enum PayloadHash<'a> {
    Hash(Hex),
    Word(&'a str),
}

impl PayloadHash<'static> {
    pub(crate) fn of(payload: Payload<'_>) -> Self {
        match payload {
            Payload::Bytes(bytes) => Self::Hash(hex(Sha256::digest(bytes).into())),
            Payload::Sha256(digest) => Self::Hash(hex(digest)),
            Payload::Unsigned => Self::Word("UNSIGNED-PAYLOAD"),
        }
    }
}

impl<'a> PayloadHash<'a> {
    /// The same, unless the request itself says what its hash is: the service compares the canonical request
    /// with that header, so another text could only be refused. botocore has the same rule; aws-sigv4 forbids
    /// the header.
    pub(crate) fn as_sent_with(request: &Request<'a>) -> Self {
        let given = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(X_AMZ_CONTENT_SHA256));
        match given {
            Some((_, value)) => Self::Word(value),
            None => PayloadHash::of(request.payload),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Hash(hash) => hash.as_str(),
            Self::Word(word) => word,
        }
    }

    pub(crate) fn put(&self, sink: &mut impl Sink) {
        put_normalised(sink, self.as_str());
    }
}
