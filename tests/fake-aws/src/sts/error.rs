//! Refusals in AWS's words and shape. Knows what was wrong only from those who found it.

use time::OffsetDateTime;

use super::{TOLERANCE, XMLNS, finish};
use crate::form::escape_xml;
use crate::http::Reply;
use crate::iam::KeyRecord;
use crate::state::State;
use crate::verify::Refusal;
use crate::{clock, issue};

/// An error answer.
#[derive(Debug)]
pub(super) struct StsError {
    status: u16,
    fault: &'static str,
    code: String,
    message: String,
}

impl StsError {
    /// The client's fault.
    pub(super) fn sender(status: u16, code: &str, message: &str) -> Self {
        Self { status, fault: "Sender", code: code.to_owned(), message: message.to_owned() }
    }

    /// A parameter that AWS would not accept.
    pub(super) fn validation(message: &str) -> Self {
        Self::sender(400, "ValidationError", message)
    }

    /// A caller without permission, or a role that does not trust it or does not exist: one answer for all three.
    pub(super) fn denied(caller: &KeyRecord, action: &str, role_arn: &str) -> Self {
        let caller = caller.identity.arn();
        Self::sender(
            403,
            "AccessDenied",
            &format!("User: {caller} is not authorized to perform: {action} on resource: {role_arn}"),
        )
    }

    /// A signature that was refused at `now`.
    pub(super) fn unverified(refusal: Refusal, now: OffsetDateTime) -> Self {
        let mismatch = |message: &str| Self::sender(403, "SignatureDoesNotMatch", message);
        let minutes = TOLERANCE.whole_minutes();
        match refusal {
            Refusal::Missing => {
                Self::sender(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
            }
            Refusal::Incomplete(message) => Self::sender(400, "IncompleteSignature", &message),
            Refusal::UnknownKey | Refusal::WrongToken => Self::sender(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            Refusal::Expired => {
                Self::sender(403, "ExpiredToken", "The security token included in the request is expired")
            }
            Refusal::Unsigned(name) => {
                mismatch(&format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."))
            }
            Refusal::Scope(message) => mismatch(&message),
            Refusal::TooOld { signed } => mismatch(&format!(
                "Signature expired: {} is now earlier than {} ({} - {minutes} min.)",
                clock::basic(signed),
                clock::basic(now.saturating_sub(TOLERANCE)),
                clock::basic(now),
            )),
            Refusal::TooNew { signed } => mismatch(&format!(
                "Signature not yet current: {} is still later than {} ({} + {minutes} min.)",
                clock::basic(signed),
                clock::basic(now.saturating_add(TOLERANCE)),
                clock::basic(now),
            )),
            Refusal::Payload | Refusal::Mismatch => mismatch(
                "The request signature we calculated does not match the signature you provided. Check your AWS \
                 Secret Access Key and signing method. Consult the service documentation for details.",
            ),
        }
    }

    /// The error as XML.
    pub(super) fn reply(&self, request_id: &str) -> Reply {
        Reply::new(self.status).body(format!(
            "<ErrorResponse xmlns=\"{XMLNS}\">\n  <Error>\n    <Type>{}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            self.fault,
            escape_xml(&self.code),
            escape_xml(&self.message),
        ))
    }
}

/// An error that a test ordered: the server's fault from 500 on.
pub(crate) fn ordered_error(state: &State, status: u16, code: &str) -> Reply {
    let fault = if status < 500 { "Sender" } else { "Receiver" };
    let error = StsError {
        status,
        fault,
        code: code.to_owned(),
        message: format!("{code} was ordered by the test."),
    };
    let id = issue::request_id();
    finish(error.reply(&id), state, &id)
}
