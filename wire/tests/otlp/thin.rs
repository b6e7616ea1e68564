//! Thinning keeps what the specification keeps, and says how much each kept span stands for.

use super::random::Random;
use super::reference::{Request, without_state};
use super::{arbitrary, realistic};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use sluice_wire::sampling::Threshold;
use sluice_wire::{Block, Limits, Signal, Thinned, survey, thin_blocks, thin_traces};
use std::collections::BTreeMap;

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// The trace state of one span after thinning; `None`: sampled out.
#[track_caller]
fn check(randomness: u64, trace_state: &str, threshold: u64, expected: Option<&str>) {
    let mut trace_id = vec![0xff; 8];
    trace_id.extend((randomness | 0xff << 56).to_be_bytes());
    let trace_state = trace_state.to_owned();
    let body =
        request(vec![Span { trace_id, trace_state, name: "s".into(), ..Default::default() }]);
    let mut out = Vec::new();
    let thinned = thin_traces(&body, threshold, &mut out);
    let kept = u32::from(expected.is_some());
    assert_eq!(thinned, Thinned { kept, sampled_out: 1 - kept });
    let decoded = ExportTraceServiceRequest::decode(&*out).unwrap();
    let found = decoded.resource_spans.first().map(|block| &block.scope_spans[0].spans[0]);
    assert_eq!(found.map(|span| span.trace_state.as_str()), expected);
    assert!(found.is_none_or(|span| span.name == "s"));
}

const HALF: u64 = 1 << 55;

#[test]
fn a_span_stays_if_its_randomness_reaches_the_threshold() {
    check(HALF, "", HALF, Some("ot=th:8"));
    check(HALF - 1, "", HALF, None);
    check(HALF + 1, "a=b", HALF, Some("ot=th:8,a=b"));
}

#[test]
fn explicit_randomness_counts_before_the_trace_id() {
    check(0, "ot=rv:80000000000000", HALF, Some("ot=th:8;rv:80000000000000"));
    check(HALF, "ot=rv:7fffffffffffff", HALF, None);
}

#[test]
fn a_threshold_is_never_lowered() {
    check(HALF + HALF / 2, "ot=th:c", HALF, Some("ot=th:c"));
    check(HALF + HALF / 2, "ot=th:4", HALF, Some("ot=th:8"));
    check(HALF / 2, "ot=th:4", HALF, None);
}

#[test]
fn nothing_changes_at_threshold_0() {
    for seed in 0..100 {
        let body = realistic::request(seed, 30).encode_to_vec();
        let mut out = Vec::new();
        assert_eq!(thin_traces(&body, 0, &mut out), Thinned { kept: 30, sampled_out: 0 });
        assert_eq!(out, body);
    }
}

#[test]
fn what_is_kept_is_otherwise_as_it_came() {
    for seed in 0..300 {
        let body = arbitrary::body(Signal::Traces, &mut Random(seed));
        let before = Request::decode(Signal::Traces, &body).unwrap().items();
        let before: Vec<String> = before.iter().map(|item| without_state(item)).collect();
        let mut out = Vec::new();
        let thinned = thin_traces(&body, HALF, &mut out);
        let after = Request::decode(Signal::Traces, &out).unwrap().items();
        assert_eq!(after.len(), thinned.kept as usize, "seed {seed}");
        assert_eq!(before.len(), (thinned.kept + thinned.sampled_out) as usize, "seed {seed}");
        let mut rest = before.iter();
        for item in after {
            let item = without_state(&item);
            assert!(rest.any(|other| *other == item), "seed {seed}: {item}");
        }
    }
}

fn with_spans(mut blocks: Vec<ResourceSpans>) -> Vec<ResourceSpans> {
    blocks.iter_mut().for_each(|block| block.scope_spans.retain(|scope| !scope.spans.is_empty()));
    blocks.retain(|block| !block.scope_spans.is_empty());
    blocks
}

#[test]
fn each_block_is_thinned_to_a_threshold_of_its_own() {
    for seed in 0..300 {
        let body = arbitrary::body(Signal::Traces, &mut Random(seed));
        let survey = survey(Signal::Traces, &body, &Limits::default()).unwrap();
        let threshold = |block: &Block| {
            let is_odd = survey.blocks.iter().position(|own| own == block).unwrap() % 2 == 1;
            if is_odd { Threshold::new(HALF) } else { Threshold::EVERYTHING }
        };
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        let thinned = thin_blocks(&body, &survey, threshold, &mut found);
        for (block, thinned) in survey.blocks.iter().zip(thinned) {
            let own = &body[block.field.clone()];
            let of_block = thin_traces(own, threshold(block).bits(), &mut expected);
            assert_eq!(thinned, of_block, "seed {seed}");
        }
        let [found, expected] = [found, expected]
            .map(|body| ExportTraceServiceRequest::decode(&*body).unwrap().resource_spans);
        assert_eq!(with_spans(found), with_spans(expected), "seed {seed}");
    }
}

#[test]
fn whole_traces_stay_and_counts_can_be_recovered() {
    let body = realistic::request(3, 13 * 2000).encode_to_vec();
    let mut out = Vec::new();
    let kept = thin_traces(&body, 3 * HALF / 2, &mut out).kept;
    let request = ExportTraceServiceRequest::decode(&*out).unwrap();
    let mut spans_by_trace = BTreeMap::new();
    for span in request.resource_spans.iter().flat_map(|block| &block.scope_spans[0].spans) {
        assert_eq!(span.trace_state, "ot=th:c");
        *spans_by_trace.entry(&span.trace_id).or_insert(0) += 1;
    }
    assert!(spans_by_trace.values().all(|spans| *spans == 13));
    let recovered = f64::from(kept) * 4.0;
    assert!((recovered / 26_000.0 - 1.0).abs() < 0.1, "{recovered} of 26000");
}
