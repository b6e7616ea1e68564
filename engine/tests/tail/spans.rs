//! Spans as values, written to and read from OTLP bytes.

use sluice_wire::Limits;
use sluice_wire::sampling::{Sampling, Threshold};
use sluice_wire::spans::{Probes, read_spans};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) trace: u128,
    pub(crate) id: u64,
    /// 0: none, it is a root.
    pub(crate) parent: u64,
    pub(crate) namespace: &'static str,
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) is_error: bool,
    pub(crate) http_status: u64,
    pub(crate) tier: &'static str,
    /// Of `ot=th`; 0: not there.
    pub(crate) threshold: u64,
}

/// A span that left, and the threshold that it bears.
pub(crate) type Left = (u128, u64, u64);

/// One request, a resource for each run of spans of one service.
pub(crate) fn request(all: &[&Span]) -> Vec<u8> {
    request_by(all, None)
}

/// A request with these messages as spans.
pub(crate) fn request_of(service: &str, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut scope = Vec::new();
    messages.iter().for_each(|message| field(&mut scope, 2, message));
    let mut block = Vec::new();
    field(&mut block, 1, &nested(1, &attribute("service.name", &text_field(1, service))));
    field(&mut block, 2, &scope);
    nested(1, &block)
}

/// By an SDK of this language.
pub(crate) fn request_by(all: &[&Span], language: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    for of_service in all.chunk_by(|one, other| one.service == other.service) {
        let mut scope = Vec::new();
        field(&mut scope, 1, &text_field(1, "tests"));
        of_service.iter().for_each(|span| field(&mut scope, 2, &message(span)));
        let mut block = Vec::new();
        let service = attribute("service.name", &text_field(1, of_service[0].service));
        let mut resource = nested(1, &service);
        if let Some(language) = language {
            let language = attribute("telemetry.sdk.language", &text_field(1, language));
            resource.extend(nested(1, &language));
        }
        field(&mut block, 1, &resource);
        field(&mut block, 2, &scope);
        field(&mut body, 1, &block);
    }
    body
}

fn message(span: &Span) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, &span.trace.to_be_bytes());
    field(&mut out, 2, &span.id.to_be_bytes());
    if 0 < span.threshold {
        let digits = format!("{:014x}", span.threshold);
        field(&mut out, 3, format!("ot=th:{}", digits.trim_end_matches('0')).as_bytes());
    }
    if 0 < span.parent {
        field(&mut out, 4, &span.parent.to_be_bytes());
    }
    field(&mut out, 5, span.name.as_bytes());
    out.extend_from_slice(&[6 << 3, 2]);
    for (number, time) in [(7, span.start_ns), (8, span.end_ns)] {
        out.push(number << 3 | 1);
        out.extend_from_slice(&time.to_le_bytes());
    }
    let mut status = vec![3 << 3];
    varint(&mut status, span.http_status);
    field(&mut out, 9, &attribute("http.response.status_code", &status));
    if !span.tier.is_empty() {
        field(&mut out, 9, &attribute("customer.tier", &text_field(1, span.tier)));
    }
    if span.is_error {
        field(&mut out, 15, &[3 << 3, 2]);
    }
    out
}

/// Every span of a request.
pub(crate) fn read(body: &[u8]) -> Vec<Left> {
    let mut left = Vec::new();
    let none = Probes::default();
    let survey = read_spans(body, &Limits::default(), (&none, &none), |_, span| {
        let trace = u128::from_be_bytes(span.trace_id.try_into().unwrap());
        let id = span.span_id.try_into().map_or(0, u64::from_be_bytes);
        let sampling = Sampling::of(span.trace_id, span.trace_state);
        left.push((trace, id, sampling.threshold.map_or(0, Threshold::bits)));
    });
    survey.unwrap();
    left
}

fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = text_field(1, key);
    field(&mut out, 2, value);
    out
}

fn text_field(number: u8, text: &str) -> Vec<u8> {
    nested(number, text.as_bytes())
}

fn nested(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, number, payload);
    out
}

pub(crate) fn field(out: &mut Vec<u8>, number: u8, payload: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
