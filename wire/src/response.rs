//! What a receiver answers, and what is read from a peer's answer: partial success and status.
//!
//! The three `Export*ServiceResponse` differ only in the JSON name of their count.

use crate::Signal;
use crate::protobuf::{
    VARINT, Value, fields, payloads, put_bytes, put_message, put_tag, put_varint,
};
use serde_json::{Map, json};
use std::time::Duration;

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Items that were refused for good, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialSuccess {
    pub rejected: u64,
    pub message: String,
}

/// A `google.rpc.Status`: the body of an HTTP error, and of `grpc-status-details-bin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// A gRPC code, such as 14 for UNAVAILABLE.
    pub code: i32,
    pub message: String,
    /// With a delay the sender should retry, after it; without, see the code.
    pub retry_delay: Option<Duration>,
}

/// The body of a success in protobuf; full success is empty.
pub fn export(partial: Option<&PartialSuccess>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(PartialSuccess { rejected, message }) = partial {
        put_message(&mut out, 1, message.len() + 8, |out| {
            put_number(out, 1, *rejected);
            put_text(out, 2, message);
        });
    }
    out
}

/// The body of a success in JSON.
pub fn export_json(signal: Signal, partial: Option<&PartialSuccess>) -> Vec<u8> {
    let Some(PartialSuccess { rejected, message }) = partial else { return b"{}".to_vec() };
    let count = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let mut inner = Map::new();
    inner.insert(count.to_owned(), rejected.to_string().into());
    inner.insert("errorMessage".to_owned(), message.as_str().into());
    json!({ "partialSuccess": inner }).to_string().into_bytes()
}

/// Reads the body of a peer's success. A message without a count is only a warning.
pub fn partial_success(body: &[u8]) -> Option<PartialSuccess> {
    let mut found = PartialSuccess { rejected: 0, message: String::new() };
    for field in payloads(body, 1).flat_map(fields) {
        match (field.number, field.value) {
            (1, Value::Varint(rejected)) => found.rejected = rejected,
            (2, Value::Bytes(message)) => found.message = lossy(message),
            _ => {}
        }
    }
    (found.rejected > 0 || !found.message.is_empty()).then_some(found)
}

impl Status {
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, 1, u64::try_from(self.code).unwrap_or(2));
        put_text(&mut out, 2, &self.message);
        if let Some(delay) = self.retry_delay {
            let mut duration = Vec::new();
            put_number(&mut duration, 1, delay.as_secs());
            put_number(&mut duration, 2, u64::from(delay.subsec_nanos()));
            put_message(&mut out, 3, 64, |out| {
                put_text(out, 1, RETRY_INFO);
                put_message(out, 2, 16, |out| put_bytes(out, 1, &duration));
            });
        }
        out
    }

    pub fn to_json(&self) -> Vec<u8> {
        let mut status = Map::new();
        status.insert("code".to_owned(), self.code.into());
        status.insert("message".to_owned(), self.message.as_str().into());
        if let Some(delay) = self.retry_delay {
            let delay = format!("{}.{:09}s", delay.as_secs(), delay.subsec_nanos());
            let detail = json!([{ "@type": RETRY_INFO, "retryDelay": delay }]);
            status.insert("details".to_owned(), detail);
        }
        serde_json::Value::Object(status).to_string().into_bytes()
    }

    /// Reads a peer's status; what is missing or broken is as if it were not there.
    pub fn from_protobuf(body: &[u8]) -> Self {
        let mut status = Self { code: 0, message: String::new(), retry_delay: None };
        for field in fields(body) {
            match (field.number, field.value) {
                (1, Value::Varint(code)) => status.code = code as i32,
                (2, Value::Bytes(message)) => status.message = lossy(message),
                (3, Value::Bytes(detail)) => {
                    status.retry_delay = status.retry_delay.or(delay(detail))
                }
                _ => {}
            }
        }
        status
    }
}

/// The delay in an `Any`, if that is a `RetryInfo` with one.
fn delay(detail: &[u8]) -> Option<Duration> {
    if payloads(detail, 1).last()? != RETRY_INFO.as_bytes() {
        return None;
    }
    let duration = payloads(payloads(detail, 2).last()?, 1).last()?;
    let mut delay = Duration::ZERO;
    for field in fields(duration) {
        match (field.number, field.value) {
            // A negative number is a huge one here: no delay that anybody waits for.
            (1, Value::Varint(seconds)) if seconds < 1 << 32 => {
                delay += Duration::from_secs(seconds);
            }
            (2, Value::Varint(nanos)) if nanos < 1_000_000_000 => {
                delay += Duration::from_nanos(nanos);
            }
            _ => {}
        }
    }
    Some(delay)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_tag(out, number, VARINT);
        put_varint(out, value);
    }
}

fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}
