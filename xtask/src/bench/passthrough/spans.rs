//! Traces as a shop's services send them: 13 spans a trace, 480 a request, 461 bytes a span.

use crate::contest::random::Random;
use crate::contest::trace::{number, text};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};

pub(in crate::bench) const SPANS_PER_REQUEST: usize = 480;
/// Of a whole request: its resources and scopes count too.
pub(in crate::bench) const BYTES_PER_SPAN: usize = 461;
const SPANS_PER_TRACE: usize = 13;

const SERVICES: [&str; 5] = ["frontend", "checkout", "payment", "catalog", "shipping"];
const ROUTES: [&str; 4] = ["/api/v1/carts/{id}", "/api/v1/orders", "/api/v1/products", "/healthz"];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
    "Java-http-client/21.0.4 okhttp/4.12.0 (checkout)",
    "grpc-java-netty/1.66.0 opentelemetry/1.42 (shop)",
];

/// Makes one request after the other; a trace may go on in the next one.
pub(super) struct Shop {
    random: Random,
    trace: Trace,
    /// Nanoseconds since the epoch.
    now: u64,
}

/// One block a service in each request; they never end.
impl Iterator for Shop {
    type Item = ExportTraceServiceRequest;

    fn next(&mut self) -> Option<Self::Item> {
        let mut by_service = vec![Vec::new(); SERVICES.len()];
        for _ in 0..SPANS_PER_REQUEST {
            let span = self.span();
            let service = self.random.below(SERVICES.len() as u64) as usize;
            by_service[service].push(span);
        }
        let blocks = SERVICES.iter().zip(by_service).map(|(service, spans)| block(service, spans));
        Some(ExportTraceServiceRequest { resource_spans: blocks.collect() })
    }
}

#[derive(Default)]
struct Trace {
    id: [u8; 16],
    /// Of the spans so far; a span's parent is one of them.
    spans: Vec<[u8; 8]>,
}

impl Shop {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random(seed), trace: Trace::default(), now: 1_760_000_000_000_000_000 }
    }

    fn span(&mut self) -> Span {
        let parent = self.begin();
        let random = &mut self.random;
        let route = random.pick(&ROUTES);
        let failed = random.below(50) == 0;
        let start = self.now + random.below(1_000_000);
        self.now += 75_000;
        let attributes = attributes(random, route, failed);
        Span {
            trace_id: self.trace.id.to_vec(),
            span_id: self.trace.spans.last().map_or_else(Vec::new, |id| id.to_vec()),
            parent_span_id: parent.map_or_else(Vec::new, |id| id.to_vec()),
            flags: 0x101,
            name: format!("GET {route}"),
            kind: if parent.is_some() { 3 } else { 2 },
            start_time_unix_nano: start,
            end_time_unix_nano: start + 200_000 + random.below(80_000_000),
            attributes,
            events: failed.then(|| event(start)).into_iter().collect(),
            status: Some(Status { message: String::new(), code: if failed { 2 } else { 0 } }),
            ..Span::default()
        }
    }

    /// Takes the next span id, in a new trace when the one before is whole. Gives the parent.
    fn begin(&mut self) -> Option<[u8; 8]> {
        if self.trace.spans.is_empty() || self.trace.spans.len() == SPANS_PER_TRACE {
            self.trace = Trace { id: self.random.bytes(), spans: Vec::new() };
        }
        let spans = &mut self.trace.spans;
        let parent = match spans.len() as u64 {
            0 => None,
            count => Some(spans[self.random.below(count) as usize]),
        };
        spans.push(self.random.bytes());
        parent
    }
}

fn attributes(random: &mut Random, route: &str, failed: bool) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", route),
        text("url.path", &format!("/api/v1/carts/{}", random.below(1_000_000))),
        text("server.address", "checkout.shop.svc.cluster.local"),
        number("server.port", 8080),
        number("http.response.status_code", if failed { 503 } else { 200 }),
        text("user_agent.original", random.pick(&AGENTS)),
        text("thread.name", &format!("http-nio-8080-exec-{}", random.below(200))),
        number("thread.id", random.below(500)),
    ];
    if random.below(4) > 0 {
        attributes.push(text("network.peer.address", &format!("10.42.7.{}", random.below(255))));
    }
    attributes
}

fn block(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let resource = Resource {
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
    };
    let scope = InstrumentationScope {
        name: "io.opentelemetry.tomcat-10.0".to_owned(),
        version: "2.15.0-alpha".to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        schema_url: "https://opentelemetry.io/schemas/1.24.0".to_owned(),
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
    use super::*;
    use crate::contest::corpus::{Corpus, Id, id, spans};
    use crate::contest::message::Codec;
    use prost::Message;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn requests_are_as_large_as_they_claim_to_be() {
        let corpus = Corpus::new(Shop::new(7).take(100), Codec::Plain).unwrap();
        assert_eq!(corpus.spans(), 100 * SPANS_PER_REQUEST);
        let per_span = corpus.bytes_per_span();
        assert!((per_span - BYTES_PER_SPAN as f64).abs() < 0.5, "{per_span}");
    }

    #[test]
    fn ids_are_distinct_and_traces_have_13_spans() {
        let requests: Vec<_> = Shop::new(7).take(SPANS_PER_TRACE).collect();
        let ids: Vec<Id> = requests.iter().flat_map(spans).map(id).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        let mut traces = BTreeMap::<&[u8], usize>::new();
        ids.iter().for_each(|id| *traces.entry(&id[..16]).or_default() += 1);
        assert!(traces.values().all(|spans| *spans == SPANS_PER_TRACE));
    }

    #[test]
    fn the_same_seed_makes_the_same_requests() {
        let request = |seed| Shop::new(seed).next().unwrap().encode_to_vec();
        assert!(request(7) == request(7));
        assert!(request(7) != request(8));
    }
}
