//! A request, read strictly: what two parsers could understand differently is refused, and so is what no SDK sends.

use std::net::{IpAddr, SocketAddr};

use httparse::{EMPTY_HEADER, Header, Request, Status};
use percent_encoding::percent_decode_str;

use super::reply::Refusal;

/// Requests of SDKs have some ten header fields.
const MOST_FIELDS: usize = 32;
/// Before the name of the profile.
const PATH: &str = "/profiles/";

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// For which profile; there need not be one.
    pub(super) profile: String,
    /// The value of `Authorization`, which is the token and nothing else.
    pub(super) authorization: Option<&'a [u8]>,
}

/// Reads `bytes`; `None` while the head is not complete. What follows it is ignored, because the connection is closed
/// after the answer.
pub(super) fn read(bytes: &[u8]) -> Option<Result<Asked<'_>, Refusal>> {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(Err(Refusal::TooLong)),
        Err(_) => return Some(Err(Refusal::Malformed)),
    };
    let head = bytes.get(..length).unwrap_or_default();
    Some(judge(head, request.method?, request.path?, request.headers))
}

fn judge<'a>(head: &[u8], method: &str, target: &str, fields: &[Header<'a>]) -> Result<Asked<'a>, Refusal> {
    // The parser takes a line feed alone for the end of a line, and leading empty lines for nothing.
    let is_broken = head.split_inclusive(|byte| *byte == b'\n').any(|line| !line.ends_with(b"\r\n"));
    if is_broken || !head.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(Refusal::Malformed);
    }
    match method {
        "GET" => {}
        "HEAD" => return Err(Refusal::Head),
        _ => return Err(Refusal::Method),
    }
    let has_body = ["content-length", "transfer-encoding"].iter().any(|name| field(fields, name) != Ok(None));
    if has_body {
        return Err(Refusal::Malformed);
    }
    // A page of another site, opened in a browser on this host, may have a name that resolves to loopback.
    if !field(fields, "host")?.is_some_and(is_loopback) {
        return Err(Refusal::Host);
    }
    let authorization = field(fields, "authorization")?;
    if !target.starts_with('/') {
        return Err(Refusal::Malformed);
    }
    let name = target.strip_prefix(PATH).ok_or(Refusal::Path)?;
    let profile = percent_decode_str(name).decode_utf8().map_err(|_| Refusal::Path)?.into_owned();
    Ok(Asked { profile, authorization })
}

/// The value of the field `name`, given in lower case.
///
/// # Errors
///
/// When there are several.
fn field<'a>(fields: &[Header<'a>], name: &str) -> Result<Option<&'a [u8]>, Refusal> {
    let mut found = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let first = found.next().map(|field| field.value);
    if found.next().is_some() { Err(Refusal::Malformed) } else { Ok(first) }
}

/// Whether `host`, with or without a port, is a loopback address or `localhost`.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let name = match host.split_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        Some(_) => return false,
        None => host,
    };
    name.eq_ignore_ascii_case("localhost")
}
