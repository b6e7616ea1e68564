//! Rules that depend on what came before: rates, steered defaults, percentiles, rare operations.

use crate::laws::{self, errors};
use crate::random::Random;
use crate::spans::Span;
use crate::world::{World, floor, policy};
use sluice_engine::config::sampling::{
    Adaptive, AtMost, Cap, ErrorSpike, Head, HeadRate, Match, Policy, RareOperation, Sampling,
    SlowerThan, Tail,
};
use sluice_wire::sampling::Threshold;
use std::collections::{BTreeMap, BTreeSet};

/// Traces of one span, a root, so that they are decided a half second later.
struct Stream {
    world: World,
    random: Random,
    spans: BTreeMap<u128, Span>,
    seen: usize,
}

impl Stream {
    fn new(policy: Policy) -> Self {
        let tail = Tail { after_root_ms: 400, ..Tail::default() };
        let sampling = Sampling { policies: [("shop/a".to_owned(), policy)].into(), tail };
        let (random, spans) = (Random(3), BTreeMap::new());
        Self { world: World::new(&sampling, 2), random, spans, seen: 0 }
    }

    /// One second of traces, and those of them that left.
    fn second(&mut self, traces: u64, make: impl Fn(&mut Random, u64, &mut Span)) -> Vec<Span> {
        for half in 0..2 {
            let spans: Vec<Span> = (0..traces / 2)
                .map(|at| {
                    let mut span = laws::span(&mut self.random);
                    make(&mut self.random, 2 * at + half, &mut span);
                    span
                })
                .collect();
            self.world.send("shop", &spans.iter().collect::<Vec<_>>());
            self.spans.extend(spans.into_iter().map(|span| (span.trace, span)));
            self.world.now_ms += 500;
            self.world.harvest();
        }
        let left = self.world.left[self.seen..].iter().map(|(trace, ..)| *trace);
        let left = left.map(|trace| self.spans[&trace].clone()).collect();
        self.seen = self.world.left.len();
        left
    }

    /// What all that left stands for, by `ot=th` alone.
    fn estimate(&self) -> f64 {
        let counts = self.world.left.iter();
        counts.map(|(.., bits)| 1.0 / Threshold::new(*bits).probability()).sum()
    }
}

fn near(found: f64, expected: f64, part: f64) {
    assert!((found - expected).abs() <= part * expected, "{found} is not about {expected}");
}

#[test]
fn a_cap_in_traces_a_second_holds_and_its_counts_are_true() {
    let mut policy = policy("shop", None);
    let at_most = AtMost::PerSecond(50);
    policy.limit = vec![Cap { name: "all".to_owned(), matches: Match::default(), at_most }];
    let mut stream = Stream::new(policy);
    stream.second(1000, |_, _, _| {});
    stream.second(1000, |_, _, _| {});
    let (before, kept_before) = (stream.estimate(), stream.seen);
    (0..60).for_each(|_| drop(stream.second(1000, |_, _, _| {})));
    let kept = (stream.seen - kept_before) as f64;
    assert!(kept <= 60.0 * 50.0 * 1.02, "{kept} kept in 60 seconds at most 50 a second");
    near(stream.estimate() - before, 60_000.0, 0.06);
}

#[test]
fn a_cap_that_is_not_reached_changes_nothing() {
    let mut policy = policy("shop", Some(100_000));
    let at_most = AtMost::PerSecond(500);
    policy.limit = vec![Cap { name: "all".to_owned(), matches: Match::default(), at_most }];
    let mut stream = Stream::new(policy);
    (0..10).for_each(|_| drop(stream.second(1000, |_, _, _| {})));
    let tenth = Threshold::from_ppm(100_000).bits();
    assert!(stream.world.left.iter().all(|(.., bits)| *bits == tenth));
}

#[test]
fn a_steered_default_keeps_the_wanted_traces_a_second() {
    let mut policy = policy("shop", Some(10_000));
    policy.adaptive = Some(Adaptive {
        traces_per_second: 80,
        min_ppm: 1000,
        max_ppm: 200_000,
        error_spike: None,
    });
    let mut stream = Stream::new(policy);
    (0..3).for_each(|_| drop(stream.second(1000, |_, _, _| {})));
    let kept: usize = (0..40).map(|_| stream.second(1000, |_, _, _| {}).len()).sum();
    near(kept as f64, 40.0 * 80.0, 0.06);
    (0..3).for_each(|_| drop(stream.second(200, |_, _, _| {})));
    let kept: usize = (0..40).map(|_| stream.second(200, |_, _, _| {}).len()).sum();
    near(kept as f64, 40.0 * 200.0 * 0.2, 0.1);
}

#[test]
fn a_spike_of_errors_raises_the_default_and_ends() {
    let mut policy = policy("shop", Some(10_000));
    policy.keep = vec![floor("errors", 1_000_000, errors())];
    policy.adaptive = Some(Adaptive {
        traces_per_second: 0,
        min_ppm: 0,
        max_ppm: 1_000_000,
        error_spike: Some(ErrorSpike {
            factor: 3,
            errors_per_second_min: 1,
            raise_to_ppm: 1_000_000,
            hold_ms: 20_000,
        }),
    });
    let mut stream = Stream::new(policy);
    let usual = |_: &mut Random, at: u64, span: &mut Span| span.is_error = at.is_multiple_of(100);
    let spike = |_: &mut Random, at: u64, span: &mut Span| span.is_error = at.is_multiple_of(4);
    let fine = |left: Vec<Span>| left.iter().filter(|span| !span.is_error).count();
    (0..120).for_each(|_| drop(stream.second(200, usual)));
    assert!(fine(stream.second(200, usual)) < 10);
    (0..3).for_each(|_| drop(stream.second(200, spike)));
    assert_eq!(fine(stream.second(200, spike)), 150);
    (0..25).for_each(|_| drop(stream.second(200, usual)));
    assert!(fine(stream.second(200, usual)) < 10);
}

#[test]
fn what_is_slower_than_its_percentile_is_kept() {
    let mut policy = policy("shop", Some(0));
    let slower_than =
        Some(SlowerThan { percentile_ppm: 990_000, window_ms: 600_000, samples_min: 1000 });
    policy.keep = vec![floor("p99", 1_000_000, Match { slower_than, ..Match::default() })];
    let mut stream = Stream::new(policy);
    let lasts = |random: &mut Random, _: u64, span: &mut Span| {
        span.end_ns = span.start_ns + 1_000_000 + random.below(100_000_000);
    };
    assert_eq!(stream.second(900, lasts), [], "too few samples");
    (0..20).for_each(|_| drop(stream.second(1000, lasts)));
    let kept: Vec<Span> = (0..20).flat_map(|_| stream.second(1000, lasts)).collect();
    assert!(kept.iter().all(|span| 98_000_000 < span.end_ns - span.start_ns));
    near(kept.len() as f64, 200.0, 0.4);
}

#[test]
fn a_rare_operation_is_kept() {
    let mut policy = policy("shop", Some(0));
    let rare_operation =
        Some(RareOperation { below_ppm: 10_000, window_ms: 3_600_000, per_second_max: 20 });
    policy.keep = vec![floor("rare", 1_000_000, Match { rare_operation, ..Match::default() })];
    let mut stream = Stream::new(policy);
    let name = |_: &mut Random, at: u64, span: &mut Span| {
        span.name = if at.is_multiple_of(200) { "GET /healthz" } else { "GET /" };
    };
    (0..3).for_each(|_| drop(stream.second(1000, name)));
    let kept: Vec<Span> = (0..10).flat_map(|_| stream.second(1000, name)).collect();
    let names: BTreeSet<&str> = kept.iter().map(|span| span.name).collect();
    assert_eq!((kept.len(), names), (50, ["GET /healthz"].into()));
}

#[test]
fn a_head_is_an_upper_bound_that_counts_know_of() {
    let mut policy = policy("shop", Some(1_000_000));
    policy.head = Some(Head { keep_ppm: Some(100_000), rate: None });
    policy.keep = vec![floor("errors", 1_000_000, errors())];
    let mut stream = Stream::new(policy);
    (0..20).for_each(|_| {
        drop(stream.second(1000, |_, at, span| span.is_error = at.is_multiple_of(2)));
    });
    near(stream.world.left.len() as f64, 2000.0, 0.1);
    near(stream.estimate(), 20_000.0, 0.1);
}

/// At most 50 traces a second begin, at once 100.
fn rated_head() -> Policy {
    let rate = Some(HeadRate { traces_per_second: 50, burst: 100 });
    Policy { head: Some(Head { keep_ppm: None, rate }), ..policy("shop", Some(1_000_000)) }
}

#[test]
fn the_rate_of_a_head_holds_and_its_counts_are_true() {
    let mut own = rated_head();
    own.keep = vec![floor("errors", 1_000_000, errors())];
    let mut stream = Stream::new(own);
    let make = |_: &mut Random, at: u64, span: &mut Span| span.is_error = at.is_multiple_of(2);
    (0..5).for_each(|_| drop(stream.second(1000, make)));
    let (before, kept_before) = (stream.estimate(), stream.seen);
    (0..60).for_each(|_| drop(stream.second(1000, make)));
    near((stream.seen - kept_before) as f64, 60.0 * 50.0, 0.1);
    near(stream.estimate() - before, 60_000.0, 0.06);
    // An error that is not let in is lost, and counts as such.
    let counts = stream.world.tail.counts().remove("shop/a").unwrap();
    assert_eq!((counts.traces, counts.error_traces), (65_000, 32_500));
}

#[test]
fn the_rate_of_a_head_lets_a_burst_pass_and_less_untouched() {
    let mut stream = Stream::new(rated_head());
    let mut seconds = [40, 40, 90, 40, 40, 40].into_iter();
    let sent: u64 = seconds.clone().sum();
    seconds.by_ref().for_each(|traces| drop(stream.second(traces, |_, _, _| {})));
    stream.world.harvest_all();
    let left = &stream.world.left;
    assert!(left.iter().all(|(.., bits)| *bits == 0));
    assert_eq!(left.len() as u64, sent);
}

#[test]
fn a_trace_that_was_let_in_stays_whole() {
    let mut stream = Stream::new(rated_head());
    let mut random = Random(5);
    for _ in 0..30 {
        let first: Vec<Span> =
            (0..500).map(|_| Span { parent: 9, ..laws::span(&mut random) }).collect();
        stream.world.send("shop", &first.iter().collect::<Vec<_>>());
        stream.world.now_ms += 1000;
        stream.world.harvest();
        let second: Vec<Span> =
            first.iter().map(|own| Span { id: own.id + 1, ..own.clone() }).collect();
        stream.world.send("shop", &second.iter().collect::<Vec<_>>());
    }
    stream.world.harvest_all();
    let mut spans = BTreeMap::<u128, BTreeSet<u64>>::new();
    for (trace, _, bits) in &stream.world.left {
        spans.entry(*trace).or_default().insert(*bits);
    }
    assert_eq!(stream.world.left.len(), 2 * spans.len());
    assert!(spans.values().all(|thresholds| thresholds.len() == 1));
    near(spans.len() as f64, 100.0 + 30.0 * 50.0 + 450.0, 0.2);
}

/// All that depends on what came before, at once.
fn everything_tracked() -> Sampling {
    let slower_than =
        Some(SlowerThan { percentile_ppm: 990_000, window_ms: 600_000, samples_min: 1000 });
    let rare_operation =
        Some(RareOperation { below_ppm: 10_000, window_ms: 3_600_000, per_second_max: 20 });
    let mut own = policy("shop", Some(50_000));
    own.keep = vec![
        floor("p99", 500_000, Match { slower_than, ..Match::default() }),
        floor("rare", 1_000_000, Match { rare_operation, ..Match::default() }),
    ];
    let at_most = AtMost::PerSecond(1);
    own.limit = vec![Cap { name: "errors".to_owned(), matches: errors(), at_most }];
    own.adaptive = Some(Adaptive {
        traces_per_second: 60,
        min_ppm: 1000,
        max_ppm: 500_000,
        error_spike: Some(ErrorSpike {
            factor: 3,
            errors_per_second_min: 1,
            raise_to_ppm: 1_000_000,
            hold_ms: 5000,
        }),
    });
    let tail = Tail { after_root_ms: 400, ..Tail::default() };
    Sampling { policies: [("shop/a".to_owned(), own)].into(), tail }
}

#[test]
fn two_collectors_that_saw_the_same_decide_alike() {
    let sampling = everything_tracked();
    let mut worlds = [World::seeded(&sampling, 1, 11), World::seeded(&sampling, 3, 12)];
    let mut random = Random(4);
    for half_second in 0..120 {
        let errors_in = if (60..80).contains(&half_second) { 4 } else { 100 };
        let spans: Vec<Span> = (0..500)
            .map(|at| {
                let span = laws::span(&mut random);
                Span {
                    end_ns: span.start_ns + 1_000_000 + random.below(100_000_000),
                    name: if at % 200 == 7 { "GET /healthz" } else { "GET /" },
                    is_error: random.one_in(errors_in),
                    ..span
                }
            })
            .collect();
        for world in &mut worlds {
            world.send("shop", &spans.iter().collect::<Vec<_>>());
            world.now_ms += 500;
            world.harvest();
        }
    }
    let [one, other] = worlds.map(|mut world| {
        world.left.sort_unstable();
        (world.left, world.tail.counts())
    });
    assert_eq!(one.0, other.0);
    assert_eq!(one.1, other.1);
    let rules = &one.1["shop/a"].rules;
    let decided = ["p99", "rare", "errors", "default"].map(|rule| rules[rule].decided);
    assert!(decided.iter().all(|traces| 0 < *traces), "{decided:?}");
}
