//! AWS Signature Version 4.

/// Credentials as the signer borrows them.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    /// Borrows the three parts.
    #[must_use]
    pub fn new(access_key_id: &'a str, secret_access_key: &'a str, session_token: Option<&'a str>) -> Self {
        Self { access_key_id, secret_access_key, session_token }
    }
}
