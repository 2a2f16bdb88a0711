//! Answers: credentials, or an error document with a code and a message, as SDKs show it to their users.

use zeroize::Zeroizing;

use crate::refresh::NotServed;

const UNAUTHORIZED: &str = "401 Unauthorized";
const NOT_ALLOWED: &str = "405 Method Not Allowed";
const UNAVAILABLE: &str = "503 Service Unavailable";

/// Why a request is not answered with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It follows no rule, or has a body.
    Malformed,
    /// Its head is too long.
    TooLong,
    /// `HEAD`, whose answer has no body.
    Head,
    /// Neither `GET` nor `HEAD`.
    Method,
    /// It was meant for another host.
    Host,
    /// No profile has this path.
    Path,
    /// It carries no token.
    NoToken,
    /// Its token is not that of the profile.
    WrongToken,
    /// There are no credentials.
    NotServed(NotServed),
}

impl Refusal {
    /// The status line's code and reason, the error's code and its message.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Malformed => (
                "400 Bad Request",
                "BadRequest",
                "this is no plain GET request without a body, as an SDK sends it",
            ),
            Self::TooLong => ("431 Request Header Fields Too Large", "BadRequest", "the request is too long"),
            Self::Head | Self::Method => (NOT_ALLOWED, "MethodNotAllowed", "only GET is answered"),
            Self::Host => (
                "403 Forbidden",
                "HostNotAllowed",
                "the Host field names neither a loopback address nor localhost",
            ),
            Self::Path => (
                "404 Not Found",
                "ProfileNotFound",
                "no profile is served here; the path is /profiles/NAME, where NAME is a managed profile",
            ),
            Self::NoToken => (
                UNAUTHORIZED,
                "NoToken",
                "set AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE to the file `token` in the directory of the profile",
            ),
            Self::WrongToken => (
                "403 Forbidden",
                "WrongToken",
                "this is not the token of the profile; it changes at each start, so read its file for each request",
            ),
            Self::NotServed(NotServed::LongTerm) => (
                "404 Not Found",
                "LongTermKeys",
                "the profile has long-term keys, which this protocol has no form for; use its files",
            ),
            Self::NotServed(NotServed::Unpublished) => (
                UNAVAILABLE,
                "NotPublished",
                "nothing has been published yet that could be handed out; see `rolekeeper status`",
            ),
            Self::NotServed(NotServed::Expired) => {
                (UNAVAILABLE, "Expired", "the published credentials have expired; see `rolekeeper status`")
            }
        }
    }
}

/// The whole answer that hands out `document`.
pub(super) fn credentials(document: &str) -> Zeroizing<Vec<u8>> {
    render("200 OK", "", document)
}

/// The whole answer to a request that is refused.
pub(super) fn refusal(refusal: Refusal) -> Zeroizing<Vec<u8>> {
    let (status, code, message) = refusal.words();
    // RFC 9110, sections 11.6.1 and 15.5.6, asks for these fields.
    let field = match status {
        UNAUTHORIZED => "WWW-Authenticate: Token\r\n",
        NOT_ALLOWED => "Allow: GET\r\n",
        _ => "",
    };
    let document = if refusal == Refusal::Head {
        String::new()
    } else {
        format!("{{\"code\":\"{code}\",\"message\":\"{message}\"}}\n")
    };
    render(status, field, &document)
}

fn render(status: &str, field: &str, document: &str) -> Zeroizing<Vec<u8>> {
    let length = document.len().to_string();
    let parts = [
        "HTTP/1.1 ",
        status,
        "\r\nContent-Type: application/json\r\nContent-Length: ",
        &length,
        "\r\nCache-Control: no-store\r\nConnection: close\r\n",
        field,
        "\r\n",
        document,
    ];
    // In its final size, because growing would leave unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
    bytes
}
