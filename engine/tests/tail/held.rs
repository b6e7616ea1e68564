//! What is held leaves byte for byte, however it was written and wherever it was held meanwhile.

use crate::laws::one;
use crate::spans::{field, request_of};
use crate::world::{World, policy};
use sluice_wire::Limits;
use sluice_wire::spans::{Probes, ScopeView, SpanView, read_spans};

/// One span, written in all ways that a sender may choose.
fn ways(trace: u128, span: u64, filling: usize) -> Vec<Vec<u8>> {
    let (id, other) = (trace.to_be_bytes(), (trace + 1).to_be_bytes());
    let made = |fields: &[(u8, &[u8])]| {
        let mut out = Vec::new();
        fields.iter().for_each(|(number, payload)| field(&mut out, *number, payload));
        out
    };
    let span = span.to_be_bytes();
    let name = "n".repeat(filling);
    let name = name.as_bytes();
    // The length of its id takes two bytes.
    let mut long = vec![0x0a, 0x90, 0x00];
    long.extend_from_slice(&id);
    long.extend(made(&[(2, &span), (5, name)]));
    // A field that OTLP does not know, number 19.
    let mut unknown = vec![0x9a, 0x01, 0x01, b'?'];
    unknown.extend(made(&[(1, &id), (2, &span)]));
    vec![
        made(&[(1, &id), (2, &span), (5, name)]),
        made(&[(2, &span), (1, &id), (5, name)]),
        made(&[(1, &id), (2, &span), (1, &id)]),
        made(&[(1, &other), (2, &span), (1, &id)]),
        made(&[(1, b""), (2, &span), (1, &id)]),
        made(&[(1, &id)]),
        unknown,
        long,
    ]
}

fn messages(request: &[u8]) -> Vec<Vec<u8>> {
    let (mut all, none) = (Vec::new(), Probes::default());
    let see = |_: &ScopeView<'_>, span: &SpanView<'_>| all.push(span.payload.to_vec());
    read_spans(request, &Limits::default(), (&none, &none), see).unwrap();
    all
}

#[track_caller]
fn check(traces: u128, filling: usize, compressed: bool) {
    let mut sampling = one(policy("shop", Some(1_000_000)));
    sampling.tail.trace_bytes_max = u64::MAX;
    let mut world = World::new(&sampling, 1);
    let mut sent = Vec::new();
    for service in ["front", "cart", "front"] {
        let made: Vec<_> =
            (1..=traces).map(|trace| ways(trace << 64 | trace, trace as u64, filling)).collect();
        for way in 0..made[0].len() {
            let across: Vec<Vec<u8>> = made.iter().map(|ways| ways[way].clone()).collect();
            world.offer("shop", &request_of(service, &across));
            sent.extend(across);
            if compressed {
                world.harvest();
            }
        }
    }
    assert!(world.left.is_empty(), "nothing is decided yet");
    world.now_ms += 3_600_000;
    world.harvest();
    let mut left: Vec<_> = world.requests.iter().flat_map(|request| messages(request)).collect();
    left.sort_unstable();
    sent.sort_unstable();
    assert_eq!(left.len(), sent.len());
    assert!(left == sent, "{traces} traces, names of {filling} bytes");
    assert_eq!((world.held, world.lost, world.tail.open_traces()), (0, 0, 0));
}

#[test]
fn odd_spans_leave_as_they_came() {
    check(3, 5, false);
    check(50, 3000, true);
    check(50, 3000, false);
}

#[test]
fn a_span_larger_than_a_frame_leaves_as_it_came() {
    check(3, 1_500_000, true);
    check(2, 400_000, false);
}

#[test]
fn a_frame_of_the_smallest_spans_leaves_whole() {
    check(9000, 0, true);
}
