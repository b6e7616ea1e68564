//! Whole traces of a shop: 13 spans of 461 bytes each, by five services on three nodes.

use crate::contest::random::Random;
use crate::contest::trace::{Piece, Sender, Trace, number, text};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::Event};
use std::sync::Arc;

pub(in crate::bench) const SPANS_PER_TRACE: usize = 13;
/// Of whole requests: their resources and scopes count too.
pub(in crate::bench) const BYTES_PER_SPAN: usize = 461;

const SERVICES: [&str; 5] = ["frontend", "checkout", "payment", "catalog", "shipping"];
const NODES: usize = 3;
const ROUTES: [&str; 5] =
    ["/api/v1/carts/{id}", "/api/v1/orders", "/api/v1/products", "/api/v1/quotes", "/healthz"];
const TIERS: [&str; 3] = ["free", "silver", "business"];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
    "Java-http-client/21.0.4 okhttp/4.12.0 (checkout)",
    "grpc-java-netty/1.66.0 opentelemetry/1.42 (shop)",
];
const QUERIES: [&str; 3] = [
    "SELECT id, sku, price, currency FROM products WHERE id = $1",
    "UPDATE carts SET quantity = $1 WHERE cart_id = $2 AND sku = $3",
    "INSERT INTO orders (id, customer_id, total) VALUES ($1, $2, $3)",
];

/// How many of a thousand traces are of each kind that a policy keeps.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Mix {
    failed: u64,
    slow: u64,
    gold: u64,
}

impl Mix {
    pub(in crate::bench) const USUAL: Self = Self { failed: 10, slow: 10, gold: 10 };
    /// Nothing that a policy is about.
    pub(super) const DULL: Self = Self { failed: 0, slow: 0, gold: 0 };
}

/// Makes one trace after the other, without end.
pub(in crate::bench) struct Shop {
    random: Random,
    mix: Mix,
    senders: Vec<Arc<Sender>>,
    /// Nanoseconds since the epoch.
    now: u64,
}

/// What is the same for all spans of a trace.
struct Plan {
    id: [u8; 16],
    start: u64,
    duration: u64,
    /// The span that fails.
    failed: Option<usize>,
    tier: &'static str,
}

impl Shop {
    pub(in crate::bench) fn new(seed: u64, mix: Mix, now: u64) -> Self {
        let senders = SERVICES.iter().enumerate().map(|(number, name)| {
            Arc::new(Sender { resource: resource(name), node: number % NODES })
        });
        let senders = senders.collect();
        Self { random: Random(seed), mix, senders, now }
    }

    fn plan(&mut self) -> Plan {
        let random = &mut self.random;
        let mut is = |of_thousand| random.below(1000) < of_thousand;
        let (failed, slow, gold) = (is(self.mix.failed), is(self.mix.slow), is(self.mix.gold));
        self.now += 75_000 * SPANS_PER_TRACE as u64;
        Plan {
            id: random.bytes(),
            start: self.now,
            duration: match slow {
                true => 1_000_000_000 + random.below(3_000_000_000),
                false => 2_000_000 + random.below(800_000_000),
            },
            failed: failed.then(|| random.below(SPANS_PER_TRACE as u64) as usize),
            tier: if gold { "gold" } else { random.pick(&TIERS) },
        }
    }

    /// The root first; a span's parent is one before it.
    fn spans(&mut self, plan: &Plan) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::with_capacity(SPANS_PER_TRACE);
        for number in 0..SPANS_PER_TRACE {
            let parent = (0 < number).then(|| &pieces[self.random.below(number as u64) as usize]);
            let parent = parent.map(|piece| piece.span.span_id.clone());
            let sender = match number {
                0 => 0,
                _ => self.random.below(SERVICES.len() as u64) as usize,
            };
            let span = span(&mut self.random, plan, number, parent);
            pieces.push(Piece { sender: Arc::clone(&self.senders[sender]), span });
        }
        pieces
    }
}

impl Iterator for Shop {
    type Item = Trace;

    /// Spans leave when they end, so the root is the last; in every other trace it is the first,
    /// as it is where a caller does not wait.
    fn next(&mut self) -> Option<Trace> {
        let plan = self.plan();
        let mut spans = self.spans(&plan);
        if self.random.below(2) == 0 {
            spans.sort_by_key(|piece| piece.span.end_time_unix_nano);
        }
        Some(Trace { id: plan.id, spans })
    }
}

fn span(random: &mut Random, plan: &Plan, number: usize, parent: Option<Vec<u8>>) -> Span {
    let failed = plan.failed == Some(number);
    let offset = if number == 0 { 0 } else { 1 + random.below(plan.duration / 2) };
    let rest = plan.duration - offset;
    let length = if number == 0 { rest } else { 1 + random.below(rest - 1) };
    let route = random.pick(&ROUTES);
    let mut attributes = match number % 3 {
        2 => database(random),
        _ => http(random, route, failed),
    };
    if number == 0 {
        attributes.push(text("customer.tier", plan.tier));
    }
    Span {
        trace_id: plan.id.to_vec(),
        span_id: random.bytes::<8>().to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        flags: 0x101,
        name: if number % 3 == 2 { "SELECT shop".to_owned() } else { format!("GET {route}") },
        kind: if number % 3 == 2 { 3 } else { 2 },
        start_time_unix_nano: plan.start + offset,
        end_time_unix_nano: plan.start + offset + length,
        attributes,
        events: failed.then(|| event(plan.start + offset)).into_iter().collect(),
        status: Some(Status { message: String::new(), code: if failed { 2 } else { 0 } }),
        ..Span::default()
    }
}

fn http(random: &mut Random, route: &str, failed: bool) -> Vec<KeyValue> {
    vec![
        text("http.request.method", "GET"),
        text("http.route", route),
        text("url.path", &format!("/carts/{:016x}", random.next())),
        text("server.address", "shop.svc"),
        number("http.response.status_code", if failed { 503 } else { 200 }),
        text("user_agent.original", random.pick(&AGENTS)),
        text("thread.name", &format!("http-nio-8080-exec-{}", random.below(200))),
        text("network.peer.address", &format!("10.42.7.{}", random.below(255))),
        number("network.peer.port", 1024 + random.below(60_000)),
        text("enduser.id", &format!("{:016x}", random.next())),
    ]
}

fn database(random: &mut Random) -> Vec<KeyValue> {
    vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", "shop"),
        text("db.query.text", random.pick(&QUERIES)),
        text("db.operation.batch.id", &format!("{:016x}", random.next())),
        text("server.address", "postgres-0.postgres.shop.svc"),
        text("thread.name", &format!("hikari-pool-1-{}", random.below(50))),
        number("thread.id", random.below(500)),
        number("db.response.returned_rows", random.below(10_000)),
        text("enduser.id", &format!("{:016x}", random.next())),
    ]
}

fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", service),
            text("service.namespace", "shop"),
            text("service.version", "1.42.0"),
            text("service.instance.id", &format!("{service}-7d9c5b6f4-x2x9z")),
            text("telemetry.sdk.language", "java"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.version", "1.49.0"),
            text("process.runtime.name", "OpenJDK Runtime Environment"),
        ],
        ..Resource::default()
    }
}

fn event(time_unix_nano: u64) -> Event {
    let attributes = vec![
        text("exception.type", "java.net.SocketTimeoutException"),
        text("exception.message", "Read timed out"),
    ];
    Event { time_unix_nano, name: "exception".to_owned(), attributes, ..Event::default() }
}

#[cfg(test)]
mod tests {
    use super::super::{Load, is_interesting};
    use super::*;
    use crate::contest::message::Codec;

    const NOW: u64 = 1_760_000_000_000_000_000;

    #[test]
    fn spans_are_as_large_and_as_varied_as_they_claim_to_be() {
        let load = Load::new(7, 3000, Mix::USUAL, Codec::Plain).unwrap();
        let per_span = load.corpus.bytes_per_span();
        let compresses = load.compresses().unwrap();
        assert!((per_span - BYTES_PER_SPAN as f64).abs() < 1.5, "{per_span}");
        assert!((4.5..6.0).contains(&compresses), "{compresses}");
    }

    #[test]
    fn a_usual_mix_has_a_few_interesting_traces_and_a_dull_one_none() {
        let count = |mix| {
            let shop = Shop::new(7, mix, NOW).take(10_000);
            shop.filter(is_interesting).count()
        };
        assert!((250..350).contains(&count(Mix::USUAL)));
        assert_eq!(count(Mix::DULL), 0);
    }

    #[test]
    fn roots_come_first_and_last() {
        let traces: Vec<_> = Shop::new(7, Mix::USUAL, NOW).take(100).collect();
        let is_root = |piece: &Piece| piece.span.parent_span_id.is_empty();
        assert!(traces.iter().any(|trace| is_root(&trace.spans[0])));
        assert!(traces.iter().any(|trace| trace.spans.last().is_some_and(is_root)));
        assert!(traces.iter().all(|trace| trace.spans.len() == SPANS_PER_TRACE));
    }
}
