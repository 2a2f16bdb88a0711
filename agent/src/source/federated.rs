//! Roles that somebody else's word makes ours: the token of an OIDC provider, the assertion of a SAML provider. The
//! file is read anew for each call, because whoever writes it replaces it.

use std::path::Path;

use zeroize::Zeroizing;

use super::error::SourceError;
use crate::config::read_input;
use crate::credentials::Secret;

/// What STS accepts, in characters.
const TOKEN: (usize, usize) = (4, 20_000);
const ASSERTION: (usize, usize) = (4, 100_000);

/// The OIDC token in `file`, without the line break that files end in.
pub(super) fn read_token(file: &Path) -> Result<Secret, SourceError> {
    let text = read_input(file).map_err(SourceError::File)?;
    let token = text.trim();
    let problem = match token.len() {
        length if length < TOKEN.0 => "holds no identity token",
        length if length > TOKEN.1 => {
            "holds more than the 20000 characters that STS takes for an identity token"
        }
        _ if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            "holds something else than one identity token"
        }
        _ => return Ok(Secret::new(token.to_owned())),
    };
    Err(SourceError::NoProof { file: file.to_owned(), problem })
}

/// The SAML assertion in `file`: base64, as identity providers post it, however the lines are broken.
pub(super) fn read_assertion(file: &Path) -> Result<Secret, SourceError> {
    let text = read_input(file).map_err(SourceError::File)?;
    // Of the size of the whole: growing would leave copies behind.
    let mut assertion = Zeroizing::new(String::with_capacity(text.len()));
    assertion.extend(text.chars().filter(|character| !character.is_ascii_whitespace()));
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let problem = match assertion.len() {
        length if length < ASSERTION.0 => "holds no SAML response",
        _ if assertion.starts_with('<') => {
            "holds XML: write the SAML response in base64, as the identity provider posts it"
        }
        _ if !assertion.bytes().all(is_base64) => "holds something else than a SAML response in base64",
        length if length > ASSERTION.1 => {
            "holds more than the 100000 characters that STS takes for a SAML response"
        }
        _ => return Ok(Secret::new(std::mem::take(&mut *assertion))),
    };
    Err(SourceError::NoProof { file: file.to_owned(), problem })
}
