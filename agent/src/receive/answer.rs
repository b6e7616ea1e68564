//! A refusal in the words of the OTLP specification.

use crate::intake::Refusal;
use ::http::StatusCode;
use sluice_engine::books::Refused;
use sluice_wire::response::Status;

/// The gRPC status, with a delay where the sender should come back.
pub(super) fn status(refusal: &Refusal) -> Status {
    let code = match refusal.reason {
        Refused::Malformed => 3,
        Refused::TimedOut => 4,
        Refused::TooLarge => 8,
        Refused::Unsupported => 12,
        Refused::Unauthorized if refusal.retry_after.is_some() => 14,
        Refused::Unauthorized => 16,
        Refused::MemoryLimiter | Refused::QueueFull | Refused::ShuttingDown | Refused::NotOwner => {
            14
        }
    };
    Status { code, message: refusal.message.clone(), retry_delay: refusal.retry_after }
}

pub(super) fn http_status(refusal: &Refusal) -> StatusCode {
    match refusal.reason {
        Refused::Malformed => StatusCode::BAD_REQUEST,
        Refused::TimedOut => StatusCode::REQUEST_TIMEOUT,
        Refused::Unauthorized => StatusCode::UNAUTHORIZED,
        Refused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refused::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refused::QueueFull => StatusCode::TOO_MANY_REQUESTS,
        Refused::MemoryLimiter | Refused::ShuttingDown | Refused::NotOwner => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
