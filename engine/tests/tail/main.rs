//! The laws of tail sampling, on whole collectors without sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod held;
mod laws;
mod model;
mod odd;
mod random;
mod rates;
mod remote;
mod short;
mod spans;
mod world;

use model::Model;
use random::{Random, Sent};
use sluice_engine::config::sampling::{
    AttributeMatch, AttributeOperator, Match, Mode, Sampling, SpanStatus, Tail,
};
use spans::{Left, Span};
use std::collections::BTreeMap;
use world::{NAMESPACES, World, cap, floor, policy};

/// Two namespaces with policies, a default for all, and one that is only tried.
fn sampling() -> Sampling {
    let mut shop = policy("shop", Some(100_000));
    let vip = AttributeMatch {
        key: "customer.tier".to_owned(),
        operator: AttributeOperator::In,
        values: vec!["gold".to_owned()],
    };
    let status = Some(SpanStatus::Error);
    shop.keep = vec![
        floor("errors", 1_000_000, Match { status, ..Match::default() }),
        floor("vip", 500_000, Match { attributes: vec![vip], ..Match::default() }),
        floor("many", 300_000, Match { span_count_min: Some(6), ..Match::default() }),
        floor(
            "slow",
            1_000_000,
            Match { trace_duration_min_ns: Some(1_000_000_000), ..Match::default() },
        ),
    ];
    let operations = vec!["GET /healthz".to_owned()];
    shop.limit = vec![cap("health", 0, Match { operations, ..Match::default() })];
    let mut pay = policy("pay", None);
    let http_status = vec![(500, 599)];
    pay.keep = vec![floor("http-5xx", 1_000_000, Match { http_status, ..Match::default() })];
    let mut everybody = policy("", Some(300_000));
    everybody.scope.namespace = None;
    let mut tried = policy("shop", Some(0));
    tried.mode = Mode::DryRun;
    let policies = [("shop/a", shop), ("pay/a", pay), ("system/a", everybody), ("shop/b", tried)];
    Sampling {
        policies: policies.map(|(name, policy)| (name.to_owned(), policy)).into(),
        tail: Tail { after_root_ms: 2000, ..Tail::default() },
    }
}

/// Requests, each of one sender, by when they are sent.
type Requests = BTreeMap<(u64, &'static str), Vec<Span>>;

fn requests(traces: impl IntoIterator<Item = Vec<Sent>>) -> Requests {
    let mut requests = Requests::new();
    for (at_ms, span) in traces.into_iter().flatten() {
        requests.entry((at_ms / 100 * 100, span.namespace)).or_default().push(span);
    }
    requests
}

/// Plays requests, with a harvest each half second, until everything is decided.
fn play(world: &mut World, model: &mut Model<'_>, requests: &Requests) {
    let end_ms = requests.keys().map(|(at, _)| *at).max().unwrap_or_default() + 20_000;
    let mut at_ms = 0;
    while at_ms <= end_ms {
        world.now_ms = at_ms;
        if at_ms % 500 == 0 {
            world.harvest();
            model.harvest(at_ms);
        }
        for namespace in NAMESPACES {
            if let Some(spans) = requests.get(&(at_ms, namespace)) {
                let spans: Vec<&Span> = spans.iter().collect();
                world.send(namespace, &spans);
                model.send(at_ms, &spans);
            }
        }
        at_ms += 100;
    }
}

fn sorted(mut left: Vec<Left>) -> Vec<Left> {
    left.sort_unstable();
    left
}

#[test]
fn the_engine_decides_as_the_plain_model_does() {
    let sampling = sampling();
    for seed in 0..40 {
        let mut random = Random(seed);
        let traces: Vec<_> = (0..150).map(|at| random.trace(at * 40)).collect();
        let mut world = World::new(&sampling, 1 + (seed % 3) as usize);
        let mut model = Model::new(&sampling);
        play(&mut world, &mut model, &requests(traces));
        assert_eq!(sorted(world.left), sorted(model.left), "seed {seed}");
        assert_eq!(world.lost, model.lost, "seed {seed}");
        assert_eq!((world.held, world.tail.open_traces()), (0, 0), "seed {seed}");
    }
}
