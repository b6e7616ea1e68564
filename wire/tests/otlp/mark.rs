//! Spans of services with a remote sampler say what it did; all else is as it came.

use super::arbitrary;
use super::random::Random;
use super::reference::{Request, without_state};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use sluice_wire::sampling::{Sampling, Threshold, sdk_randomness};
use sluice_wire::{Limits, Signal, Told, mark_traces, survey};

/// Its SDK was told to keep a half, and a quarter before the moment 1000.
fn told() -> Told {
    Told { threshold: Threshold::new(1 << 55), before: Threshold::new(3 << 54), since_ns: 1000 }
}

fn marked(body: &[u8], told: Told) -> Vec<u8> {
    let survey = survey(Signal::Traces, body, &Limits::default()).unwrap();
    mark_traces(body, &survey, |_| told)
}

/// The trace state of a span with this end of its trace id.
#[track_caller]
fn check(id: u64, (start_ns, trace_state): (u64, &str), expected: &str) {
    let span = Span {
        trace_id: [[7; 8], id.to_be_bytes()].concat(),
        trace_state: trace_state.to_owned(),
        start_time_unix_nano: start_ns,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let found = ExportTraceServiceRequest::decode(&*marked(&body, told())).unwrap();
    let found = &found.resource_spans[0].scope_spans[0].spans[0].trace_state;
    assert_eq!(found, expected);
}

#[test]
fn a_span_says_the_rate_that_was_in_force_when_it_began() {
    check(0, (1000, ""), "ot=th:8;rv:ffffffffffffff");
    check(0, (999, "a=b"), "ot=th:c;rv:ffffffffffffff,a=b");
}

#[test]
fn a_span_that_the_rate_did_not_keep_says_no_threshold() {
    check(0x7fff_ffff_ffff_ffff, (1000, ""), "ot=th:8;rv:80000000000000");
    check(0x8000_0000_0000_0000, (1000, ""), "ot=rv:7fffffffffffff");
}

#[test]
fn what_a_span_says_itself_stays() {
    for said in ["ot=th:4", "ot=rv:00000000000001", "a=b,ot=rv:00000000000001;th:4"] {
        check(0, (1000, said), said);
    }
}

/// As the SDKs of Go and Rust do: the id's last 8 bytes without their last bit, against the rate in
/// 2^63.
#[test]
fn the_randomness_reaches_the_threshold_if_and_only_if_the_sdk_keeps_the_trace() {
    let mut random = Random(3);
    for ppm in [1, 37, 12_345, 100_000, 333_333, 999_999] {
        let threshold = Threshold::from_ppm(ppm);
        let bound = (threshold.probability() * 2_f64.powi(63)) as u64;
        let edge = [bound - 1, bound, bound + 1].map(|x| x << 1);
        for id in edge.into_iter().chain((0..1000).map(|_| random.next())) {
            let is_kept = id >> 1 < bound;
            let randomness = sdk_randomness(&id.to_be_bytes()).unwrap();
            assert_eq!(threshold.keeps(randomness), is_kept, "{ppm} ppm, {id:016x}");
        }
    }
}

#[test]
fn what_is_marked_is_otherwise_as_it_came() {
    for seed in 0..300 {
        let body = arbitrary::body(Signal::Traces, &mut Random(seed));
        let items = |body: &[u8]| -> Vec<String> {
            let items = Request::decode(Signal::Traces, body).unwrap().items();
            items.iter().map(|item| without_state(item)).collect()
        };
        let out = marked(&body, told());
        assert_eq!(items(&out), items(&body), "seed {seed}");
        let spans = ExportTraceServiceRequest::decode(&*out).unwrap().resource_spans;
        let spans =
            spans.iter().flat_map(|block| &block.scope_spans).flat_map(|scope| &scope.spans);
        for span in spans.filter(|span| 8 <= span.trace_id.len()) {
            let said = Sampling::of(&span.trace_id, span.trace_state.as_bytes());
            assert!(said.is_explicit || said.threshold.is_some(), "seed {seed}");
        }
    }
}
