//! Sampling policies as configs have them, and traces of several spans, spread over all thresholds.

use super::client::{Grpc, frame};
use super::oracle::Oracle;
use super::{config_to, otlp, resource, text};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use sluice_engine::config::sampling::{
    AtMost, Cap, Floor, Match, Mode, Policy, Sampling, Scope, SpanStatus, Tail,
};
use sluice_engine::config::{Compression, Config, Protocol};
use sluice_wire::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What the randomness of a trace must reach to be among the tenth that is kept: nine tenths of
/// 2^56, rounded to four hexadecimal digits as the specification asks.
pub const TENTH: u64 = 0xe6_6600_0000_0000;
/// The same in `tracestate`.
pub const TENTH_STATE: &str = "ot=th:e666";

/// As a decision wait: longer than a test.
pub const FOREVER_MS: u64 = 3_600_000;

/// Of the namespace `shop`: errors are kept, health checks are not, a tenth of the rest is.
pub fn policy() -> Policy {
    Policy {
        generation: 1,
        mode: Mode::Enforce,
        scope: Scope { namespace: Some("shop".into()), pipelines: None },
        keep: vec![floor("errors", 1_000_000, errors())],
        limit: vec![cap("health", 0, operations(&["GET /healthz"]))],
        default_ppm: Some(100_000),
        head: None,
        adaptive: None,
        tag_decision: false,
    }
}

pub fn errors() -> Match {
    Match { status: Some(SpanStatus::Error), ..Match::default() }
}

pub fn operations(names: &[&str]) -> Match {
    let operations = names.iter().map(|name| (*name).to_owned()).collect();
    Match { operations, ..Match::default() }
}

pub fn floor(name: &str, at_least_ppm: u32, matches: Match) -> Floor {
    Floor { name: name.to_owned(), matches, at_least_ppm }
}

pub fn cap(name: &str, ppm: u32, matches: Match) -> Cap {
    Cap { name: name.to_owned(), matches, at_most: AtMost::Ppm(ppm) }
}

/// One policy `shop/shop`, decided after `wait_ms`.
pub fn sampling(policy: Policy, wait_ms: u64) -> Sampling {
    let tail = Tail { decision_wait_ms: wait_ms, after_root_ms: 0, ..Tail::default() };
    Sampling { policies: BTreeMap::from([("shop/shop".into(), policy)]), tail }
}

/// Of every namespace to the oracle at `address`.
pub fn config_with(address: SocketAddr, sampling: Sampling) -> Config {
    let destination = otlp(address, Protocol::Grpc, Compression::None);
    Config { sampling, ..config_to(&[("shop/tempo", destination)]) }
}

/// A trace id whose last 56 bits are as good as random; each number has its own.
pub fn trace_id(number: u64) -> u128 {
    u128::from(number + 1) << 64 | u128::from(mixed(number))
}

fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

pub fn is_of_the_tenth(trace: u128) -> bool {
    TENTH <= trace as u64 & ((1 << 56) - 1)
}

/// Span `number` of a trace; 0 is its root.
pub fn span(trace: u128, number: u64) -> Span {
    let id = |number: u64| ((trace >> 64) as u64 * 1000 + number + 1).to_be_bytes().to_vec();
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id(number),
        parent_span_id: if number == 0 { Vec::new() } else { id(0) },
        name: "GET /cart".into(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_001_000_000,
        ..Span::default()
    }
}

pub fn failed(span: Span) -> Span {
    let status = Some(Status { code: 2, ..Status::default() });
    Span { status, ..span }
}

pub fn named(name: &str, span: Span) -> Span {
    Span { name: name.to_owned(), ..span }
}

/// Spans of one service of a namespace.
pub fn request(namespace: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let attributes = [("service.name", "cart"), ("k8s.namespace.name", namespace)];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = resource(&attributes);
    let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }
}

/// Sends spans of `shop`, which are taken.
pub async fn send(grpc: &mut Grpc, spans: Vec<Span>) {
    send_request(grpc, &request("shop", spans)).await;
}

/// Sends a request, which is taken.
pub async fn send_request(grpc: &mut Grpc, request: &ExportTraceServiceRequest) {
    let body = frame(false, &request.encode_to_vec());
    let status = grpc.call(Signal::Traces.grpc_path(), &[], body).await;
    assert_eq!(status.code, 0, "{}", status.message);
}

/// The `tracestate` of every span that arrived, by trace and span id. None came twice.
pub fn arrived(oracle: &Oracle) -> BTreeMap<(u128, Vec<u8>), String> {
    let mut arrived = BTreeMap::new();
    for span in oracle.spans() {
        let trace = u128::from_be_bytes(span.trace_id.try_into().unwrap());
        let before = arrived.insert((trace, span.span_id), span.trace_state);
        assert!(before.is_none(), "a span of {trace:032x} came twice");
    }
    arrived
}

/// As [`arrived`] shows it.
pub fn key(span: &Span) -> (u128, Vec<u8>) {
    let trace = u128::from_be_bytes(span.trace_id.clone().try_into().unwrap());
    (trace, span.span_id.clone())
}

/// What an attribute says, if it is a text or a number.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?;
    Some(match value.value? {
        Value::StringValue(text) => text,
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{other:?} is of no type that is set"),
    })
}

/// With an attribute that makes it large, also when compressed.
pub fn padded(span: Span, bytes: u64) -> Span {
    let seed = key(&span).0 as u64;
    let digits: String = (0..bytes / 16).map(|at| format!("{:016x}", mixed(seed ^ at))).collect();
    Span { attributes: vec![text("padding", &digits)], ..span }
}
