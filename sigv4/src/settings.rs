//! The choices that services leave open. Knows which services want which; never looks at a request.

/// How the request is canonicalised. The default suits STS and every service but S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Whether dot segments and repeated slashes of the path are resolved.
    pub path: PathNormalisation,
    /// How often the path is encoded.
    pub encoding: UriEncoding,
    /// Whether the session token is part of what is signed.
    pub session_token: SessionToken,
    /// Whether `x-amz-content-sha256` is added. Presigned URLs never carry it.
    pub content_sha256: ContentSha256,
}

impl Settings {
    /// What S3 wants: the path as it is, encoded once, and the payload's hash in a header.
    pub const S3: Self = Self {
        path: PathNormalisation::Off,
        encoding: UriEncoding::Single,
        session_token: SessionToken::Signed,
        content_sha256: ContentSha256::Added,
    };
}

/// What happens to `.`, `..` and empty segments of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathNormalisation {
    /// They are resolved; the path never climbs above the root and keeps a slash at its end.
    #[default]
    On,
    /// They stay. S3 needs this: an object's name may hold them.
    Off,
}

/// How often the path is percent-encoded on its way into the canonical request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UriEncoding {
    /// The path as it stands on the wire is encoded again: `%3A` becomes `%253A`. A path that is still raw is
    /// thereby encoded once.
    #[default]
    Double,
    /// The path is decoded and encoded strictly, so that raw and encoded spelling sign alike. S3 needs this.
    Single,
}

/// What the signature says about the session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionToken {
    /// It is signed. STS and nearly every other service want this.
    #[default]
    Signed,
    /// It travels beside the signature and is not covered by it. AWS IoT's endpoints want this.
    AddedAfter,
}

/// Whether the payload's hash travels in a header of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentSha256 {
    /// No header is added.
    #[default]
    Omitted,
    /// `x-amz-content-sha256` is added and signed. S3 demands it.
    Added,
}
