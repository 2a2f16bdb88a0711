//! The keys of one signature, borrowed. Knows nothing of where they come from or how long they live.

use std::fmt;

use crate::Error;
use crate::headers::control_character;

/// Credentials as the signer borrows them. `Debug` shows the access key id and nothing else.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    /// Borrows the three parts. An empty session token counts as none.
    #[must_use]
    pub fn new(access_key_id: &'a str, secret_access_key: &'a str, session_token: Option<&'a str>) -> Self {
        let session_token = session_token.filter(|text| !text.is_empty());
        Self { access_key_id, secret_access_key, session_token }
    }

    pub(crate) fn secret_access_key(&self) -> &'a str {
        self.secret_access_key
    }

    /// The access key id, if it can stand in `Credential=`: a slash or a comma would end it early.
    pub(crate) fn checked_access_key_id(&self) -> Result<&'a str, Error> {
        let id = self.access_key_id;
        let plain = id.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b','));
        if plain && !id.is_empty() { Ok(id) } else { Err(Error::AccessKeyId) }
    }

    /// The session token, if it can travel in a header.
    pub(crate) fn checked_session_token(&self) -> Result<Option<&'a str>, Error> {
        match self.session_token {
            // No fold is accepted here: a line break in a token is a file read carelessly.
            Some(text) if control_character(text) || !text.is_ascii() => Err(Error::SessionToken),
            other => Ok(other),
        }
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}
