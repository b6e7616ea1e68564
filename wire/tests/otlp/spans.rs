//! Spans seen in place say what prost's decoded ones say, and leave as they came but for the edits.

use super::arbitrary;
use super::random::Random;
use super::reference::Request;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message;
use sluice_wire::forward::{
    Frame, Handover, Kept, Part, read, read_answer, write_answer, write_frame, write_handover,
};
use sluice_wire::sampling::Threshold;
use sluice_wire::spans::{
    Probes, Scalar, SpanEdit, read_spans, resource_text, write_request, write_span,
};
use sluice_wire::{Limits, Malformed, Signal, partition, survey};

const SEEDS: u64 = 400;

fn body(seed: u64) -> Vec<u8> {
    arbitrary::body(Signal::Traces, &mut Random(seed))
}

fn decoded(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).unwrap()
}

/// What a probe for its key has to find of an attribute.
fn expected(attribute: &KeyValue) -> String {
    let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => format!("{:?}", Scalar::Text(text.as_bytes())),
        Some(Value::BoolValue(bit)) => format!("{:?}", Scalar::Bool(*bit)),
        Some(Value::IntValue(int)) => format!("{:?}", Scalar::Int(*int)),
        Some(Value::DoubleValue(double)) => format!("{:?}", Scalar::Double(*double)),
        _ => format!("{:?}", Scalar::Other),
    }
}

fn attributes(all: &[KeyValue], keys: &[&str]) -> Vec<String> {
    let asked = all.iter().filter(|attribute| keys.contains(&attribute.key.as_str()));
    asked.map(expected).collect()
}

#[test]
fn what_is_seen_is_what_prost_decodes() {
    let keys = ["service.name", "a", "", "clé/键"];
    let probes = Probes::new(keys);
    for seed in 0..SEEDS {
        let body = body(seed);
        let mut wanted = Vec::new();
        for block in decoded(&body).resource_spans {
            let resource = block.resource.clone().unwrap_or_default();
            for span in block.scope_spans.iter().flat_map(|scope| &scope.spans) {
                let status = span.status.as_ref().map_or(0, |status| status.code);
                wanted.push((
                    span.trace_id.clone(),
                    (span.span_id.clone(), span.parent_span_id.clone()),
                    (span.name.clone(), span.trace_state.clone()),
                    (span.kind as u64, status as u64),
                    (span.start_time_unix_nano, span.end_time_unix_nano),
                    attributes(&resource.attributes, &keys),
                    attributes(&span.attributes, &keys),
                ));
            }
        }
        let mut seen = Vec::new();
        let found = read_spans(&body, &Limits::default(), (&probes, &probes), |scope, span| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let shown = |found: &[(u16, Scalar<'_>)]| {
                found.iter().map(|(_, value)| format!("{value:?}")).collect::<Vec<_>>()
            };
            seen.push((
                span.trace_id.to_vec(),
                (span.span_id.to_vec(), span.parent_span_id.to_vec()),
                (text(span.name), text(span.trace_state)),
                (span.kind, span.status),
                (span.start_ns, span.end_ns),
                shown(scope.attributes),
                shown(&span.attributes),
            ));
        });
        assert_eq!(found, survey(Signal::Traces, &body, &Limits::default()), "seed {seed}");
        assert_eq!(seen, wanted, "seed {seed}");
    }
}

#[test]
fn spans_put_together_again_are_the_request() {
    let none = Probes::default();
    for seed in 0..SEEDS {
        let body = body(seed);
        let mut again = Vec::new();
        let read = read_spans(&body, &Limits::default(), (&none, &none), |scope, span| {
            let mut one = Vec::new();
            write_span(span.payload, SpanEdit::default(), &mut one);
            write_request(scope.around_scopes, scope.around_spans, &one, &mut again);
        });
        read.unwrap();
        let items = |body: &[u8]| Request::decode(Signal::Traces, body).unwrap().items();
        assert_eq!(items(&again), items(&body), "seed {seed}");
    }
}

#[test]
fn a_threshold_is_raised_and_attributes_are_added() {
    let half = Threshold::new(1 << 55);
    let tags =
        SpanEdit::attributes(&[("sampling.rule", "a/b/c")], &[("sampling.probability", 0.5)]);
    let edit = SpanEdit { threshold: half, attributes: &tags, head: &[] };
    for seed in 0..SEEDS {
        for block in decoded(&body(seed)).resource_spans {
            for span in block.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let mut out = Vec::new();
                write_span(&span.encode_to_vec(), edit, &mut out);
                write_request(&[], &[], &std::mem::take(&mut out), &mut out);
                let after = decoded(&out).resource_spans.remove(0).scope_spans.remove(0);
                let after = after.spans[0].clone();
                assert_eq!(after.attributes.len(), span.attributes.len() + 2);
                let was_higher = span.trace_state.contains("th:c");
                assert!(was_higher || after.trace_state.starts_with("ot=th:8"), "seed {seed}");
                let same = |mut span: opentelemetry_proto::tonic::trace::v1::Span| {
                    span.trace_state.clear();
                    span.attributes.truncate(0);
                    span.encode_to_vec()
                };
                assert_eq!(same(after), same(span), "seed {seed}");
            }
        }
    }
}

#[test]
fn the_last_text_of_a_resource_counts() {
    for seed in 0..SEEDS {
        for block in decoded(&body(seed)).resource_spans {
            let resource = block.resource.clone().unwrap_or_default();
            let around = opentelemetry_proto::tonic::trace::v1::ResourceSpans {
                scope_spans: Vec::new(),
                ..block
            };
            let named = resource.attributes.iter().rfind(|own| own.key == "service.name");
            let wanted = named.and_then(|own| match own.value.as_ref()?.value.as_ref()? {
                Value::StringValue(text) => Some(text.as_str()),
                _ => None,
            });
            let around = around.encode_to_vec();
            assert_eq!(resource_text(&around, "service.name"), wanted, "seed {seed}");
        }
    }
}

#[test]
fn portions_hold_each_span_once_and_a_trace_has_one_owner() {
    for seed in 0..SEEDS {
        let body = body(seed);
        let owner = |id: &[u8]| usize::from(id.last().copied().unwrap_or_default()) % 3;
        let portions = partition(&body, (3, seed as usize % 80), owner);
        let items = |body: &[u8]| Request::decode(Signal::Traces, body).unwrap().items();
        let mut together = Vec::new();
        for (number, portion) in portions.iter().enumerate() {
            let body = portion.body();
            let own = items(body);
            assert_eq!(own.len(), portion.spans as usize, "seed {seed}");
            together.extend(own);
            let blocks = decoded(body).resource_spans;
            let spans = blocks.iter().flat_map(|block| &block.scope_spans).flat_map(|s| &s.spans);
            spans.for_each(|span| assert_eq!(owner(&span.trace_id), number, "seed {seed}"));
            let frame = Frame {
                sender: b"one",
                body,
                epoch: 1 << (seed % 64),
                id: seed,
                handed_over: true,
            };
            let (forward, start) = portion.clone().into_forward(&frame);
            assert_eq!(read(&forward[start..]).unwrap(), [Part::Frame(frame)], "seed {seed}");
        }
        let mut all = items(&body);
        all.sort();
        together.sort();
        assert_eq!(together, all, "seed {seed}");
    }
}

#[test]
fn a_portion_may_have_more_blocks_than_a_sender_may_send() {
    let blocks_max = Limits::default().blocks_max;
    let scope = [&[0x12, 20, 0x12, 18, 0x0a, 16][..], &[7; 16]].concat();
    let scopes = scope.repeat(blocks_max as usize + 1);
    let mut body = Vec::new();
    write_request(&scopes, &[], &[], &mut body);
    let portion = partition(&body, (1, 0), |_| 0).remove(0);
    let (body, spans) = (portion.body(), portion.spans);
    let none = Probes::default();
    let read = |limits: &Limits| read_spans(body, limits, (&none, &none), |_, _| ());
    assert_eq!(read(&Limits::default()), Err(Malformed::TooManyBlocks));
    assert_eq!(read(&Limits::NONE).map(|survey| survey.items), Ok(spans));
    assert_eq!(spans, blocks_max + 1);
}

#[test]
fn forwards_after_one_another_are_a_forward() {
    let (epoch, handed_over) = (7, true);
    let frames = [
        Frame { sender: b"one", body: b"abc", id: 1, ..Frame::default() },
        Frame { sender: b"two", body: b"", epoch, id: 0, handed_over },
        Frame { sender: b"", body: &[7; 300], epoch: 1 << 40, id: u64::MAX, ..Frame::default() },
    ];
    let kept = Kept { trace: 1 << 100, threshold: 9, label: "shop/shop/errors" };
    let kept = vec![kept, Kept { label: "", ..kept }];
    let dropped = vec![1, u64::MAX];
    let handovers = [
        Handover { from: "g1", epoch, kept, dropped, ..Handover::default() },
        Handover { done: true, missing: vec![("g2", 5), ("g3", 6)], ..Handover::default() },
    ];
    let mut forward = Vec::new();
    frames.iter().for_each(|frame| write_frame(frame, &mut forward));
    handovers.iter().for_each(|handover| write_handover(handover, &mut forward));
    let all: Vec<Part<'_>> =
        frames.map(Part::Frame).into_iter().chain(handovers.map(Part::Handover)).collect();
    assert_eq!(read(&forward).unwrap(), all);
    assert_eq!(read(b"").unwrap(), []);
    for end in 1..forward.len() {
        let cut = read(&forward[..end]);
        assert!(cut.is_err() || cut.unwrap() != all, "cut at {end}");
    }
}

#[test]
fn an_answer_says_how_much_of_a_forward_was_taken() {
    assert_eq!(read_answer(&write_answer(3)), Some(3));
    assert_eq!(read_answer(b""), None);
}
