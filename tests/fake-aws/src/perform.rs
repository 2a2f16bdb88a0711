//! Answers one request on the wire, properly or as a fault says. Knows how to hang, drip, cut and flood; does not
//! know what the answers mean.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::fault::Action;
use crate::http::{Reply, Request};
use crate::state::{Origin, Shared};

/// Whether another request may follow.
pub(crate) enum Next {
    KeepAlive,
    Close,
}

/// Answers `request`.
pub(crate) fn perform(
    stream: &mut (impl Read + Write),
    raw: &TcpStream,
    shared: &Shared,
    origin: &Origin,
    request: &Request,
) -> io::Result<Next> {
    let (ticket, delay, fault) = shared.receive(origin, request);
    if !delay.is_zero() {
        shared.stop.wait(delay);
    }
    let proper = || shared.answer(ticket, origin, request);
    let Some(action) = fault else { return send(stream, &proper(), request.keep_alive) };
    match action {
        Action::Error { status, code, retry_after_ms } => {
            let reply = shared.refuse(ticket, origin, status, &code, retry_after_ms);
            send(stream, &reply, request.keep_alive)
        }
        Action::Delay(pause) => {
            shared.stop.wait(pause);
            send(stream, &proper(), request.keep_alive)
        }
        Action::Hang => hang(raw),
        Action::ResetBefore => reset(raw),
        Action::ResetMidway => {
            half(stream, &proper().render(true))?;
            reset(raw)
        }
        Action::Truncate => {
            let reply = proper();
            let body = reply.body.len();
            let bytes = reply.render(true);
            let sent = bytes.len().saturating_sub(body.div_ceil(2));
            stream.write_all(bytes.get(..sent).unwrap_or(&bytes))?;
            stream.flush()?;
            Ok(Next::Close)
        }
        Action::EmptyBody => send(stream, &proper().body(Vec::new()), request.keep_alive),
        Action::Oversized(length) => flood(stream, length),
        Action::Drip(interval) => drip(stream, shared, &proper().render(request.keep_alive), interval),
        Action::NotUtf8 => {
            let mut reply = proper();
            let middle = reply.body.len().div_euclid(2);
            reply.body.splice(middle..middle, [0xff, 0xfe, 0xc3, 0x28]);
            send(stream, &reply, request.keep_alive)
        }
        Action::Answer(reply) => {
            shared.conclude(ticket, reply.status);
            send(stream, &reply, request.keep_alive)
        }
        Action::Redirect(location) => {
            shared.conclude(ticket, 302);
            send(stream, &Reply::new(302).header("Location", &location), request.keep_alive)
        }
        Action::ContentLength(length) => {
            let reply = proper().header("Content-Length", &length.to_string());
            send(stream, &reply, true)?;
            Ok(Next::Close)
        }
        Action::EndlessHeaders => endless_headers(stream),
        Action::CloseAfter => {
            send(stream, &proper(), true)?;
            Ok(Next::Close)
        }
    }
}

fn send(stream: &mut impl Write, reply: &Reply, keep_alive: bool) -> io::Result<Next> {
    stream.write_all(&reply.render(keep_alive))?;
    stream.flush()?;
    Ok(if keep_alive { Next::KeepAlive } else { Next::Close })
}

fn half(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let (first, _) = bytes.split_at(bytes.len().div_euclid(2));
    stream.write_all(first)?;
    stream.flush()
}

/// Waits until the client gives up, or until a stop closes the connection.
fn hang(raw: &TcpStream) -> io::Result<Next> {
    let mut raw = raw.try_clone()?;
    let mut ignored = [0; 512];
    while raw.read(&mut ignored)? > 0 {}
    Ok(Next::Close)
}

/// Ends the connection with RST, which dissolving the association does at once and shutting down does not.
fn reset(raw: &TcpStream) -> io::Result<Next> {
    rustix::net::connect_unspec(raw)?;
    Ok(Next::Close)
}

fn flood(stream: &mut impl Write, length: u64) -> io::Result<Next> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n")?;
    let block = [b'a'; 16 * 1024];
    let mut left = length;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(block.len()).min(block.len());
        stream.write_all(block.get(..size).unwrap_or(&block))?;
        left = left.saturating_sub(u64::try_from(size).unwrap_or(left));
    }
    stream.flush()?;
    Ok(Next::Close)
}

fn drip(stream: &mut impl Write, shared: &Shared, bytes: &[u8], interval: Duration) -> io::Result<Next> {
    for byte in bytes {
        stream.write_all(&[*byte])?;
        stream.flush()?;
        shared.stop.wait(interval);
        if shared.stop.is_raised() {
            return Ok(Next::Close);
        }
    }
    Ok(Next::Close)
}

fn endless_headers(stream: &mut impl Write) -> io::Result<Next> {
    stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
    let mut count = 0_u64;
    loop {
        // The client ends this: by closing, or by a stop that closes for it.
        write!(stream, "X-Filler-{count}: {count:0100}\r\n")?;
        stream.flush()?;
        count = count.wrapping_add(1);
    }
}
