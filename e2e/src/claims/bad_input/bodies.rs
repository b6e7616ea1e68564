//! Bodies that are wrong, each in one way, and one that is right.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::io::{Result, Write};

/// What an agent takes at most, compressed and inflated.
pub(super) const BYTES_MAX: usize = 16 << 20;

pub(super) fn good() -> Vec<u8> {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /cart".into(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

pub(super) fn truncated() -> Vec<u8> {
    let mut body = good();
    body.truncate(body.len() - 1);
    body
}

/// A request whose only span holds these bytes.
pub(super) fn with_span(span: &[u8]) -> Vec<u8> {
    field(0x0a, &field(0x12, &field(0x12, span)))
}

/// A span attribute: lists within lists.
pub(super) fn nested(depth: usize) -> Vec<u8> {
    let value = (0..depth).fold(Vec::new(), |inner, _| field(0x2a, &field(0x0a, &inner)));
    with_span(&field(0x4a, &[field(0x0a, b"bomb"), field(0x12, &value)].concat()))
}

pub(super) fn nested_json(depth: usize) -> Vec<u8> {
    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"bomb","value":{open}{close}}}]}}}}]}}"#
    )
    .into_bytes()
}

/// A field that holds bytes: its tag, their length, and they.
pub(super) fn field(tag: u8, payload: &[u8]) -> Vec<u8> {
    let mut field = vec![tag];
    let mut length = payload.len();
    while length >= 0x80 {
        field.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(payload);
    field
}

pub(super) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content)?;
    encoder.finish()
}

/// A bomb that says of itself that it is small.
pub(super) fn gzip_liar() -> Result<Vec<u8>> {
    let mut bomb = gzip(&zeros())?;
    let length = bomb.len() - 4;
    bomb[length..].copy_from_slice(&10_u32.to_le_bytes());
    Ok(bomb)
}

pub(super) fn zstd(content: &[u8]) -> Result<Vec<u8>> {
    zstd::stream::encode_all(content, 1)
}

/// Small, but asks for a window of 128 MiB.
pub(super) fn zstd_wide() -> Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
    encoder.window_log(27)?;
    encoder.write_all(&good())?;
    encoder.finish()
}

/// Sixteen times the limit: inflated as a whole, it would show in the memory.
pub(super) fn zeros() -> Vec<u8> {
    vec![0; 16 * BYTES_MAX]
}
