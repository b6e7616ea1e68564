//! Spans that no good sender sends, and buffers that are full: each has a decided, counted fate.

use crate::laws::{one, span};
use crate::random::Random;
use crate::spans::Span;
use crate::world::{START_NS, World, floor, policy};
use sluice_engine::config::sampling::{Match, OnBufferFull, Policy, Sampling};
use sluice_engine::tail::Known;
use sluice_wire::sampling::Threshold;

const DAY_NS: u64 = 24 * 3_600_000_000_000;

/// Keeps what lasts a second, nothing else.
fn slow_only() -> Policy {
    let mut policy = policy("shop", Some(0));
    let matches = Match { trace_duration_min_ns: Some(1_000_000_000), ..Match::default() };
    policy.keep = vec![floor("slow", 1_000_000, matches)];
    policy
}

fn nothing_slow() -> Sampling {
    one(slow_only())
}

/// The spans of one trace, all decided; how many of them left.
fn left(sampling: &Sampling, spans: &[Span]) -> usize {
    let mut world = World::new(sampling, 2);
    world.send("shop", &spans.iter().collect::<Vec<_>>());
    world.harvest_all();
    assert_eq!(world.left.len() as u64 + world.lost, spans.len() as u64);
    assert_eq!((world.held, world.tail.open_traces()), (0, 0));
    world.left.len()
}

#[test]
fn a_span_without_a_trace_id_is_dropped_and_counted() {
    let nobody = Span { trace: 0, ..span(&mut Random(1)) };
    let keep_all = one(policy("shop", Some(1_000_000)));
    assert_eq!(left(&keep_all, &[nobody.clone(), nobody, span(&mut Random(2))]), 1);
}

#[test]
fn a_clock_that_is_off_makes_no_trace_slow() {
    let fine = span(&mut Random(3));
    let odd =
        |start_ns, end_ns| Span { id: fine.id + 1, parent: 1, start_ns, end_ns, ..fine.clone() };
    for odd in [
        odd(0, 5),
        odd(START_NS - 2 * DAY_NS, START_NS),
        odd(START_NS, START_NS + 2 * DAY_NS),
        odd(START_NS + 3_000_000_000, START_NS),
    ] {
        assert_eq!(left(&nothing_slow(), &[fine.clone(), odd]), 0);
    }
    let slow = odd(START_NS + 999_000_000, START_NS + 1_000_000_000);
    assert_eq!(left(&nothing_slow(), &[fine, slow]), 2);
}

#[test]
fn a_trace_that_is_too_large_is_decided_at_once() {
    let mut sampling = nothing_slow();
    sampling.tail.trace_bytes_max = 10_000;
    let mut world = World::new(&sampling, 1);
    let first = span(&mut Random(5));
    for id in 0..200 {
        world.send("shop", &[&Span { id, parent: 9, ..first.clone() }]);
        world.harvest();
    }
    assert_eq!(world.tail.open_traces(), 0);
    assert_eq!((world.lost, world.left.len()), (200, 0));
    let counts = &world.tail.counts()["shop/a"];
    assert_eq!((counts.traces, counts.decided_early), (1, 1));
}

#[test]
fn a_full_buffer_decides_its_oldest_trace_early() {
    let mut sampling = nothing_slow();
    sampling.tail.traces_max = 10;
    let mut world = World::new(&sampling, 1);
    let mut random = Random(7);
    let spans: Vec<Span> = (0..15).map(|_| Span { parent: 9, ..span(&mut random) }).collect();
    world.send("shop", &spans.iter().collect::<Vec<_>>());
    assert_eq!(world.tail.open_traces(), 10);
    assert_eq!(world.tail.counts()["shop/a"].decided_early, 5);
    for (at, span) in spans.iter().enumerate() {
        let is_open = world.tail.find(span.trace) == Known::Open;
        assert_eq!(is_open, 5 <= at, "trace {at}");
    }
}

/// Keeps every trace that there is room for, and sheds the others.
fn drops_new(traces_max: u32) -> World {
    let mut sampling = one(policy("shop", Some(1_000_000)));
    sampling.tail.traces_max = traces_max;
    sampling.tail.on_full = OnBufferFull::DropNew;
    World::new(&sampling, 1)
}

#[test]
fn a_full_buffer_that_drops_new_traces_says_so() {
    let mut world = drops_new(10);
    let mut random = Random(7);
    let spans: Vec<Span> = (0..15).map(|_| span(&mut random)).collect();
    world.send("shop", &spans.iter().collect::<Vec<_>>());
    world.harvest_all();
    let left: Vec<u128> = world.left.iter().map(|(trace, ..)| *trace).collect();
    assert!(spans[..10].iter().all(|span| left.contains(&span.trace)));
    assert_eq!((left.len(), world.lost), (10, 5));
}

#[test]
fn a_buffer_that_fills_takes_fewer_traces_and_counts_stay_true() {
    let mut sampling = one(policy("shop", Some(1_000_000)));
    sampling.tail.traces_max = 1000;
    sampling.tail.on_full = OnBufferFull::SampleByHash;
    let mut world = World::new(&sampling, 1);
    let mut random = Random(13);
    let sent = 60 * 400;
    for _ in 0..60 {
        // Without a root each trace stays for ten seconds: 400 in a half second are too many.
        let spans: Vec<Span> = (0..400).map(|_| Span { parent: 9, ..span(&mut random) }).collect();
        world.send("shop", &spans.iter().collect::<Vec<_>>());
        world.now_ms += 500;
        world.harvest();
    }
    world.harvest_all();
    let of_all = |(_, _, bits): &crate::spans::Left| 1.0 / Threshold::new(*bits).probability();
    let estimate: f64 = world.left.iter().map(of_all).sum();
    let early = world.tail.counts()["shop/a"].decided_early;
    assert!(world.left.len() < 5000, "{} were taken", world.left.len());
    assert!((estimate / f64::from(sent) - 1.0).abs() < 0.1, "{estimate} of {sent}");
    assert!(early < 2000, "{early} were decided early");
}

#[test]
fn an_error_that_comes_after_a_change_of_policies_is_kept() {
    let mut errors = policy("shop", Some(0));
    errors.keep = vec![floor("errors", 1_000_000, crate::laws::errors())];
    let mut world = World::new(&one(errors.clone()), 1);
    let mut random = Random(17);
    let begun: Vec<Span> = (0..50).map(|_| Span { parent: 9, ..span(&mut random) }).collect();
    world.send("shop", &begun.iter().collect::<Vec<_>>());
    for tag_decision in [true, false] {
        errors.tag_decision = tag_decision;
        world.tail.set_rules(&one(errors.clone())).unwrap();
        let half = if tag_decision { &begun[..25] } else { &begun[25..] };
        let failed: Vec<Span> = half
            .iter()
            .map(|span| Span { id: span.id + 1, is_error: true, ..span.clone() })
            .collect();
        world.send("shop", &failed.iter().collect::<Vec<_>>());
    }
    world.now_ms = 60_000;
    world.harvest();
    assert_eq!((world.left.len(), world.lost, world.held), (100, 0, 0));
}

#[test]
fn a_policy_that_changes_decides_traces_that_begin_after_it() {
    let mut world = World::new(&nothing_slow(), 2);
    let mut random = Random(11);
    let old: Vec<Span> = (0..50).map(|_| span(&mut random)).collect();
    world.send("shop", &old.iter().collect::<Vec<_>>());
    world.tail.set_rules(&one(policy("shop", Some(1_000_000)))).unwrap();
    let new: Vec<Span> = (0..50).map(|_| span(&mut random)).collect();
    world.send("shop", &new.iter().collect::<Vec<_>>());
    world.now_ms = 60_000;
    world.harvest();
    let left: Vec<u128> = world.left.iter().map(|(trace, ..)| *trace).collect();
    assert!(new.iter().all(|span| left.contains(&span.trace)));
    assert_eq!((left.len(), world.lost, world.held), (50, 50, 0));
    let counts = &world.tail.counts()["shop/a"];
    assert_eq!((counts.traces, counts.kept), (100, 50));
}

#[test]
fn an_error_that_comes_too_late_counts_as_lost_once() {
    let mut world = World::new(&one(policy("shop", Some(0))), 2);
    let first = span(&mut Random(8));
    world.send("shop", &[&first]);
    world.harvest_all();
    let late = |id| Span { id: first.id + id, parent: 1, is_error: true, ..first.clone() };
    world.send("shop", &[&late(1)]);
    world.send("shop", &[&late(2), &late(3)]);
    let counts = world.tail.counts().remove("shop/a").unwrap();
    assert_eq!((counts.traces, counts.kept), (1, 0));
    assert_eq!((counts.error_traces, counts.error_traces_kept), (1, 0));
}

#[test]
fn what_is_shed_counts_as_dropped_and_its_errors_as_lost() {
    let mut world = drops_new(1000);
    let mut random = Random(9);
    for number in 0..1500 {
        let span = Span { is_error: number % 10 == 0, ..span(&mut random) };
        world.send("shop", &[&span]);
    }
    world.harvest_all();
    let counts = world.tail.counts().remove("shop/a").unwrap();
    assert_eq!((counts.traces, counts.kept), (1500, 1000));
    assert_eq!((counts.error_traces, counts.error_traces_kept), (150, 100));
}

#[test]
fn a_request_that_meets_the_end_of_the_last_policy_loses_no_span() {
    let mut world = World::new(&one(policy("shop", Some(0))), 2);
    // An agent asks whether a policy is in force before it offers: another thread may end it then.
    world.set_rules(&Sampling::default());
    let span = span(&mut Random(4));
    world.send("shop", &[&span]);
    assert_eq!((world.held, world.tail.open_traces()), (1, 1));
    world.harvest_all();
    assert_eq!((world.left.len(), world.held), (1, 0));
}
