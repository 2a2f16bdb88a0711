//! How a service may be told to misbehave: data only. `perform` carries it out.

use std::time::Duration;

use crate::http::Reply;
use crate::record::Kind;

/// What happens instead of, or to, the proper answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// An error in the service's own shape.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error code; IMDS has none and ignores it.
        code: String,
        /// `x-amz-retry-after`, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The proper answer, late; it is worked out after the delay.
    Delay(Duration),
    /// The request is read and never answered, as when the hop limit swallows the reply.
    Hang,
    /// The connection is reset before the first byte of an answer.
    ResetBefore,
    /// The connection is reset in the middle of the proper answer.
    ResetMidway,
    /// The proper answer is announced whole, half of its body is sent, and the connection ends in good order.
    Truncate,
    /// The proper headers with an empty body.
    EmptyBody,
    /// 200 with this many bytes of body.
    Oversized(u64),
    /// The proper answer, one byte per interval.
    Drip(Duration),
    /// The proper answer with bytes in its body that are not UTF-8.
    NotUtf8,
    /// This answer, whatever was asked.
    Answer(Reply),
    /// 302 to this location.
    Redirect(String),
    /// The proper answer, with this in place of the true `Content-Length`; the connection closes after it.
    ContentLength(u64),
    /// A status line, and then header after header until the client gives up.
    EndlessHeaders,
    /// The proper answer, after which the connection is closed without having said so.
    CloseAfter,
}

impl Action {
    /// An error with this status and code.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self::Error { status, code: code.to_owned(), retry_after_ms: None }
    }

    /// An error with this status alone, for IMDS.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::error(status, "InternalFailure")
    }
}

/// One order to misbehave: what, on which kind of request, how often.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) action: Action,
    pub(crate) kind: Option<Kind>,
    pub(crate) remaining: Option<u32>,
}

impl Fault {
    /// `action` on every request until the service is healed.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { action, kind: None, remaining: None }
    }

    /// Only on requests of this kind.
    #[must_use]
    pub fn on(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only on the next `count` requests that match.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.remaining = Some(count);
        self
    }
}

/// Takes the oldest fault that applies to `kind`, and counts it.
pub(crate) fn take(faults: &mut Vec<Fault>, kind: Kind) -> Option<Action> {
    faults.retain(|fault| fault.remaining != Some(0));
    let fault = faults.iter_mut().find(|fault| fault.kind.is_none_or(|wanted| wanted == kind))?;
    if let Some(remaining) = &mut fault.remaining {
        *remaining = remaining.saturating_sub(1);
    }
    Some(fault.action.clone())
}
