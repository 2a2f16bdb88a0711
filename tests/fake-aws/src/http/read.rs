//! Reads one request from a stream, within bounds. Knows the framing of HTTP/1.1 and nothing of its meaning.

use std::io::{self, Read, Write};

use super::Request;

const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;
const MAX_HEADERS: usize = 100;

/// Why no request came.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The client is gone, in good order or not.
    Gone,
    /// What came is no request; answer with this status and close.
    Refused(u16),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads the next request. `rest` holds what was read beyond the last one, and is left with what is beyond this.
pub(crate) fn read_request(
    stream: &mut (impl Read + Write),
    rest: &mut Vec<u8>,
) -> Result<Request, ReadError> {
    let (mut request, length) = loop {
        if let Some((request, length)) = parse_head(rest)? {
            break (request, length);
        }
        if rest.len() > MAX_HEAD {
            return Err(ReadError::Refused(431));
        }
        fill(stream, rest)?;
    };
    rest.drain(..length.min(rest.len()));
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        stream.flush()?;
    }
    request.body = read_body(&request, stream, rest)?;
    Ok(request)
}

/// More bytes at the end of `rest`; the end of the stream is an error.
fn fill(stream: &mut impl Read, rest: &mut Vec<u8>) -> Result<(), ReadError> {
    let mut buffer = [0; 16 * 1024];
    let count = stream.read(&mut buffer)?;
    match buffer.get(..count) {
        Some(bytes) if !bytes.is_empty() => {
            rest.extend_from_slice(bytes);
            Ok(())
        }
        Some(_) | None => Err(ReadError::Gone),
    }
}

/// The head at the start of `bytes` and its length; `None` while it is incomplete.
fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, ReadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ReadError::Refused(400)),
    };
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: Vec::with_capacity(parsed.headers.len()),
        body: Vec::new(),
        keep_alive: true,
    };
    for header in parsed.headers.iter() {
        let value = str::from_utf8(header.value).map_err(|_| ReadError::Refused(400))?;
        request.headers.push((header.name.to_owned(), value.to_owned()));
    }
    let connection = request.header("connection").unwrap_or("");
    request.keep_alive = if parsed.version == Some(0) {
        connection.eq_ignore_ascii_case("keep-alive")
    } else {
        !connection.eq_ignore_ascii_case("close")
    };
    Ok(Some((request, length)))
}

fn read_body(request: &Request, stream: &mut impl Read, rest: &mut Vec<u8>) -> Result<Vec<u8>, ReadError> {
    if request.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return read_chunks(stream, rest);
    }
    let length = match request.header("content-length") {
        Some(text) => text.parse::<usize>().map_err(|_| ReadError::Refused(400))?,
        None => 0,
    };
    take(stream, rest, length)
}

/// Exactly `length` bytes.
fn take(stream: &mut impl Read, rest: &mut Vec<u8>, length: usize) -> Result<Vec<u8>, ReadError> {
    if length > MAX_BODY {
        return Err(ReadError::Refused(413));
    }
    while rest.len() < length {
        fill(stream, rest)?;
    }
    Ok(rest.drain(..length).collect())
}

fn read_chunks(stream: &mut impl Read, rest: &mut Vec<u8>) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        let (start, size) = loop {
            match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) => fill(stream, rest)?,
                Err(_) => return Err(ReadError::Refused(400)),
            }
        };
        rest.drain(..start.min(rest.len()));
        let size = usize::try_from(size).map_err(|_| ReadError::Refused(413))?;
        if size == 0 {
            return skip_trailers(stream, rest).map(|()| body);
        }
        body.extend(take(stream, rest, size)?);
        if body.len() > MAX_BODY {
            return Err(ReadError::Refused(413));
        }
        if take(stream, rest, 2)? != b"\r\n" {
            return Err(ReadError::Refused(400));
        }
    }
}

/// Trailers are read and forgotten: no AWS service gives them a meaning here.
fn skip_trailers(stream: &mut impl Read, rest: &mut Vec<u8>) -> Result<(), ReadError> {
    let mut skipped = 0_usize;
    loop {
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let line: Vec<u8> = rest.drain(..end.saturating_add(2).min(rest.len())).collect();
            skipped = skipped.saturating_add(line.len());
            if end == 0 {
                return Ok(());
            }
        }
        if skipped > MAX_HEAD || rest.len() > MAX_HEAD {
            return Err(ReadError::Refused(431));
        }
        fill(stream, rest)?;
    }
}
