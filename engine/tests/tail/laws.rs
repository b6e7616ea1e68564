//! What holds whatever the rules are: no order counts, counts are unbiased, floors beat caps.

use crate::random::{Random, Sent};
use crate::spans::{Left, Span};
use crate::world::{START_NS, World, cap, floor, policy};
use crate::{requests, sampling, sorted};
use sluice_engine::config::sampling::{Match, Policy, Sampling, SpanStatus, Tail};
use sluice_wire::sampling::Threshold;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn one(policy: Policy) -> Sampling {
    Sampling { policies: [("shop/a".to_owned(), policy)].into(), tail: Tail::default() }
}

/// All at once, then everything is decided.
fn decided(sampling: &Sampling, shards: usize, spans: &[Span]) -> World {
    let mut world = World::new(sampling, shards);
    for of_namespace in spans.chunk_by(|one, other| one.namespace == other.namespace) {
        let spans: Vec<&Span> = of_namespace.iter().collect();
        world.send(of_namespace[0].namespace, &spans);
    }
    world.harvest_all();
    world
}

fn left(sampling: &Sampling, shards: usize, spans: &[Span]) -> Vec<Left> {
    sorted(decided(sampling, shards, spans).left)
}

fn spans_of(random: &mut Random, traces: u64) -> Vec<Span> {
    let traces: Vec<Vec<Sent>> = (0..traces).map(|_| random.trace(0)).collect();
    requests(traces).into_values().flatten().collect()
}

fn shuffle<T>(random: &mut Random, values: &mut [T]) {
    for at in (1..values.len()).rev() {
        values.swap(at, random.below(at as u64 + 1) as usize);
    }
}

pub(crate) fn span(random: &mut Random) -> Span {
    Span {
        trace: u128::from(random.next()) << 64 | u128::from(random.next()),
        id: random.next(),
        parent: 0,
        namespace: "shop",
        service: "front",
        name: "GET /",
        start_ns: START_NS,
        end_ns: START_NS + 1_000_000,
        is_error: false,
        http_status: 200,
        tier: "",
        threshold: 0,
    }
}

pub(crate) fn errors() -> Match {
    Match { status: Some(SpanStatus::Error), ..Match::default() }
}

#[test]
fn the_order_of_rules_policies_and_spans_changes_no_decision() {
    for seed in 100..120 {
        let mut random = Random(seed);
        let mut spans = spans_of(&mut random, 200);
        let sampling = sampling();
        let expected = left(&sampling, 2, &spans);
        shuffle(&mut random, &mut spans);
        let mut renamed = Sampling { policies: BTreeMap::new(), ..sampling.clone() };
        for mut policy in sampling.policies.into_values() {
            shuffle(&mut random, &mut policy.keep);
            shuffle(&mut random, &mut policy.limit);
            renamed.policies.insert(format!("other/{}", random.next()), policy);
        }
        assert_eq!(left(&renamed, 3, &spans), expected, "seed {seed}");
    }
}

#[test]
fn a_trace_is_kept_or_dropped_as_a_whole() {
    let mut random = Random(5);
    let spans = spans_of(&mut random, 2000);
    let left = left(&sampling(), 2, &spans);
    let kept: BTreeSet<u128> = left.iter().map(|(trace, ..)| *trace).collect();
    let whole = spans.iter().filter(|span| kept.contains(&span.trace)).count();
    assert_eq!(left.len(), whole);
    assert!(!left.is_empty() && left.len() < spans.len());
}

#[test]
fn floors_beat_caps() {
    let mut random = Random(9);
    let mut policy = policy("shop", Some(1_000_000));
    policy.keep = vec![floor("errors", 1_000_000, errors())];
    policy.limit = vec![cap("all", 0, Match::default())];
    let (mut fine, mut broken) = (span(&mut random), span(&mut random));
    fine.is_error = false;
    broken.is_error = true;
    let kept = left(&one(policy), 1, &[fine, broken.clone()]);
    assert_eq!(kept, [(broken.trace, broken.id, 0)]);
}

#[test]
fn a_rule_of_one_namespace_does_not_match_spans_of_another() {
    let mut random = Random(11);
    let mut policy = policy("shop", Some(0));
    policy.keep = vec![floor("errors", 1_000_000, errors())];
    let fine = span(&mut random);
    let other = Span { namespace: "pay", is_error: true, parent: 7, ..fine.clone() };
    assert_eq!(left(&one(policy), 1, &[fine, other]), []);
}

#[test]
fn what_is_kept_says_how_much_it_stands_for() {
    let mut random = Random(13);
    let mut policy = policy("shop", Some(100_000));
    policy.keep = vec![floor("errors", 1_000_000, errors())];
    let spans: Vec<Span> =
        (0..4000).map(|at| Span { is_error: at % 50 == 0, ..span(&mut random) }).collect();
    let tenth = Threshold::from_ppm(100_000).bits();
    for (trace, _, threshold) in left(&one(policy), 2, &spans) {
        let is_error = spans.iter().any(|span| span.trace == trace && span.is_error);
        assert_eq!(threshold, if is_error { 0 } else { tenth });
    }
}

/// Horvitz and Thompson's estimate, from `ot=th` alone: the mean of its error over many windows is
/// not told from 0 by three standard errors.
#[test]
fn adjusted_counts_are_unbiased() {
    let mut random = Random(17);
    let mut policy = policy("shop", Some(50_000));
    policy.keep = vec![
        floor("errors", 1_000_000, errors()),
        floor(
            "payments",
            300_000,
            Match { operations: vec!["POST /pay".to_owned()], ..Match::default() },
        ),
    ];
    let sampling = one(policy);
    let mut signed = Vec::new();
    for _ in 0..1000 {
        let spans: Vec<Span> = (0..400)
            .map(|_| Span {
                is_error: random.one_in(100),
                name: random.pick(&["GET /", "GET /", "POST /pay"]),
                threshold: 0,
                ..span(&mut random)
            })
            .collect();
        let kept = left(&sampling, 1, &spans);
        let count = |(_, _, bits): &Left| 1.0 / Threshold::new(*bits).probability();
        signed.push(kept.iter().map(count).sum::<f64>() / 400.0 - 1.0);
    }
    let mean = signed.iter().sum::<f64>() / 1000.0;
    let variance = signed.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 999.0;
    let error = (variance / 1000.0).sqrt();
    assert!(mean.abs() < 3.0 * error, "mean {mean}, standard error {error}");
    assert!(0.0 < error, "nothing was sampled out");
}
