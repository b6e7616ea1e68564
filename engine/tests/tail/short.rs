//! Memory is short: new traces are thinned, errors are not, and what is kept says how much it stands for.

use crate::laws::{one, span};
use crate::random::Random;
use crate::spans::Span;
use crate::world::{World, floor, policy};
use sluice_engine::config::sampling::{Match, Sampling, SpanStatus};
use sluice_wire::sampling::Threshold;

const HALF: u64 = 1 << 55;
const TRACES: usize = 400;

/// Errors are kept, of the rest so much.
fn errors_and(default_ppm: u32) -> Sampling {
    let mut policy = policy("shop", Some(default_ppm));
    let errors = Match { status: Some(SpanStatus::Error), ..Match::default() };
    policy.keep = vec![floor("errors", 1_000_000, errors)];
    one(policy)
}

/// Traces of two spans, `gap_ms` apart; in every fourth the second one fails. Half is admitted.
fn send(protects: bool, gap_ms: u64) -> (World, Vec<Span>) {
    let sampling = errors_and(1_000_000);
    let mut world = World::new(&sampling, 2);
    world.admitted = Threshold::new(HALF);
    if protects {
        world.protect_errors(&sampling);
    }
    let mut random = Random(12);
    let first: Vec<Span> =
        (0..TRACES).map(|_| Span { is_error: false, ..span(&mut random) }).collect();
    let second: Vec<Span> = (0..).zip(&first).map(|(number, own)| second(number, own)).collect();
    world.send("shop", &first.iter().collect::<Vec<_>>());
    world.now_ms += gap_ms;
    world.harvest();
    world.send("shop", &second.iter().collect::<Vec<_>>());
    world.now_ms = 60_000;
    world.harvest();
    assert_eq!((world.held, world.tail.open_traces()), (0, 0));
    assert_eq!(world.left.len() as u64 + world.lost, 2 * TRACES as u64);
    (world, second)
}

fn second(number: usize, first: &Span) -> Span {
    Span { id: first.id + 1, parent: first.id, is_error: number.is_multiple_of(4), ..first.clone() }
}

fn is_admitted(trace: u128) -> bool {
    HALF <= trace as u64 & ((1 << 56) - 1)
}

/// What left of a trace: how many spans, and the threshold that all of them bear.
fn left(world: &World, trace: u128) -> (usize, Option<u64>) {
    let own = || world.left.iter().filter(|(own, ..)| *own == trace);
    let threshold = own().next().map(|(.., threshold)| *threshold);
    assert!(own().all(|(.., own)| Some(*own) == threshold));
    (own().count(), threshold)
}

#[test]
fn an_error_that_shows_soon_keeps_its_trace_whole_and_no_other() {
    let (world, spans) = send(true, 500);
    for span in &spans {
        let expected = match (span.is_error, is_admitted(span.trace)) {
            (true, _) => (2, Some(0)),
            (false, true) => (2, Some(HALF)),
            (false, false) => (0, None),
        };
        assert_eq!(left(&world, span.trace), expected);
    }
}

#[test]
fn after_the_trial_an_error_changes_nothing() {
    let (world, spans) = send(true, 2000);
    for span in &spans {
        let expected = if is_admitted(span.trace) { (2, Some(HALF)) } else { (0, None) };
        assert_eq!(left(&world, span.trace), expected);
    }
    let counts = world.tail.counts().remove("shop/a").unwrap();
    let kept = spans.iter().filter(|span| is_admitted(span.trace)).count() as u64;
    assert_eq!((counts.traces, counts.kept), (TRACES as u64, kept));
    assert_eq!(counts.error_traces, TRACES as u64 / 4);
}

#[test]
fn without_protection_the_first_span_decides() {
    let (world, spans) = send(false, 0);
    for span in &spans {
        let expected = if is_admitted(span.trace) { (2, Some(HALF)) } else { (0, None) };
        assert_eq!(left(&world, span.trace), expected);
    }
}

#[test]
fn tables_that_were_large_become_small_again() {
    let mut sampling = errors_and(0);
    sampling.tail.decisions_max = 1000;
    let mut world = World::new(&sampling, 2);
    let mut random = Random(4);
    let mut long: Vec<Span> = Vec::new();
    let mut peak = 0;
    for wave in 0..30_u64 {
        // Many in the first waves, then few; of each some last for as long as they may.
        let traces = if wave < 3 { 20_000 } else { 20 };
        let spans: Vec<Span> =
            (0..traces).map(|_| Span { parent: 9, is_error: false, ..span(&mut random) }).collect();
        world.send("shop", &spans.iter().collect::<Vec<_>>());
        let second: Vec<Span> = long.iter().map(|own| second(1, own)).collect();
        world.send("shop", &second.iter().collect::<Vec<_>>());
        long = spans.into_iter().step_by(7).collect();
        world.now_ms += 3000;
        world.harvest();
        peak = world.tail.bytes().max(peak);
    }
    assert!(world.tail.bytes() < peak / 2, "{} of {peak} bytes", world.tail.bytes());
    world.now_ms += 60_000;
    world.harvest();
    assert_eq!((world.held, world.tail.open_traces()), (0, 0));
}
