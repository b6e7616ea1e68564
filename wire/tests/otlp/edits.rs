//! Edits on bytes are edits on values: decode, edit, encode gives the same.

use super::random::Random;
use super::reference::{self, Request};
use super::{arbitrary, realistic};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use sluice_wire::{Limits, ResourceEdit, Signal, split, survey, write_block};

const SET: &[(&str, &str)] = &[("k8s.namespace.name", "shop"), ("k8s.node.name", "n1"), ("", "e")];
const REMOVED: &[&str] = &["k8s.pod.name", "k8s.pod.uid"];

fn rewrite(signal: Signal, body: &[u8], edit: Option<&ResourceEdit>) -> Vec<u8> {
    let mut out = Vec::new();
    for block in &survey(signal, body, &Limits::default()).unwrap().blocks {
        write_block(body, block, edit, &mut out);
    }
    out
}

#[test]
fn an_edit_of_the_bytes_is_an_edit_of_the_values() {
    let edit = ResourceEdit::new(SET, REMOVED);
    for seed in 0..500 {
        for signal in Signal::ALL {
            let body = arbitrary::body(signal, &mut Random(seed));
            let mut expected = Request::decode(signal, &body).unwrap();
            assert_eq!(rewrite(signal, &body, None), body, "seed {seed} of {signal}");
            for resource in expected.resources() {
                reference::edit(resource, SET, REMOVED);
            }
            let edited = rewrite(signal, &body, Some(&edit));
            let found = Request::decode(signal, &edited).unwrap();
            assert_eq!(found, expected, "seed {seed} of {signal}");
            assert_eq!(rewrite(signal, &edited, Some(&edit)), edited, "an edit again is no edit");
        }
    }
}

/// A block of these bytes, edited so that the namespace is `true`.
#[track_caller]
fn check(block: &[u8], expected: &[(&str, &str)]) {
    let body = [&[0x0a, block.len() as u8], block].concat();
    let edit = ResourceEdit::new(&[("ns", "true")], &["pod"]);
    let edited = rewrite(Signal::Traces, &body, Some(&edit));
    let attributes = expected.iter().map(|(key, value)| reference::text(key, value)).collect();
    let resource = Some(Resource { attributes, ..Default::default() });
    let expected = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, ..Default::default() }],
    };
    assert_eq!(ExportTraceServiceRequest::decode(&*edited).unwrap(), expected);
}

#[test]
fn a_block_without_a_resource_gets_one() {
    check(b"", &[("ns", "true")]);
}

#[test]
fn every_occurrence_of_a_key_is_overwritten() {
    let forged = b"\x0a\x0d\x0a\x0b\x0a\x02ns\x12\x05\x0a\x03lie";
    check(forged, &[("ns", "true")]);
    check(&[*forged, *forged].concat(), &[("ns", "true")]);
    let other = b"\x0a\x0b\x0a\x09\x0a\x01a\x12\x04\x0a\x02ok";
    check(&[&forged[..], other, forged].concat(), &[("a", "ok"), ("ns", "true")]);
}

#[test]
fn the_key_that_counts_is_the_last_one() {
    // An attribute with two keys: `a`, then `ns`.
    check(b"\x0a\x0d\x0a\x0b\x0a\x01a\x0a\x02ns\x12\x02\x0a\x00", &[("ns", "true")]);
}

#[test]
fn parts_of_a_request_hold_its_items_in_order() {
    for seed in 0..200 {
        for signal in Signal::ALL {
            let body = arbitrary::body(signal, &mut Random(seed));
            let expected = Request::decode(signal, &body).unwrap().items();
            for bytes_max in [0, 300, 3000] {
                let parts = split(signal, &body, bytes_max);
                let mut items = Vec::new();
                for (part, count) in &parts {
                    let inside = Request::decode(signal, part).unwrap().items();
                    assert_eq!(inside.len(), *count as usize, "seed {seed} of {signal}");
                    items.extend(inside);
                }
                assert_eq!(items, expected, "seed {seed} of {signal}, {bytes_max} bytes");
            }
        }
    }
}

#[test]
fn parts_are_small_enough() {
    let body = realistic::request(7, 480).encode_to_vec();
    let parts = split(Signal::Traces, &body, 20_000);
    assert!(parts.iter().all(|(part, _)| part.len() <= 20_000));
    assert_eq!(parts.iter().map(|(_, items)| items).sum::<u32>(), 480);
    let total: usize = parts.iter().map(|(part, _)| part.len()).sum();
    assert!(total < body.len() * 3 / 2, "{total} bytes of {}", body.len());
}

#[test]
fn a_huge_resource_is_not_multiplied() {
    let mut request = realistic::request(7, 480);
    let resource = request.resource_spans[0].resource.as_mut().unwrap();
    resource.attributes.push(reference::text("huge", &"x".repeat(1 << 20)));
    let body = request.encode_to_vec();
    let parts = split(Signal::Traces, &body, 10_000);
    let total: usize = parts.iter().map(|(part, _)| part.len()).sum();
    assert!(total < 3 * body.len(), "{total} bytes of {}", body.len());
    assert_eq!(parts.iter().map(|(_, items)| items).sum::<u32>(), 480);
}
