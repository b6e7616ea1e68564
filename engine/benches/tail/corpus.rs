//! Requests as a gateway gets them: 13 spans of about 461 bytes a trace, 64 traces interleaved.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

pub(crate) const SPANS_PER_TRACE: usize = 13;
pub(crate) const SPANS_PER_REQUEST: usize = 480;
const INTERLEAVED: usize = 64;
const SERVICES: [&str; 5] = ["frontend", "checkout", "payment", "catalog", "shipping"];
const ROUTES: [&str; 4] = ["/api/v1/carts/{id}", "/api/v1/orders", "/api/v1/products", "/healthz"];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
    "Java-http-client/21.0.4 okhttp/4.12.0 (checkout)",
    "grpc-java-netty/1.66.0 opentelemetry/1.42 (shop)",
];
/// When every corpus begins, in nanoseconds since 1970.
pub(crate) const START_NS: u64 = 1_767_225_600_000_000_000;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

struct Open {
    id: [u8; 16],
    spans: Vec<[u8; 8]>,
}

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// So many traces, as bodies of requests.
pub(crate) fn requests(seed: u64, traces: usize) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let (mut open, mut begun): (Vec<Open>, usize) = (Vec::new(), 0);
    let mut bodies = Vec::new();
    let mut by_service = vec![Vec::new(); SERVICES.len()];
    let mut gathered = 0;
    loop {
        while open.len() < INTERLEAVED && begun < traces {
            let id = u128::from(random.next()) << 64 | u128::from(random.next());
            open.push(Open { id: id.to_be_bytes(), spans: Vec::new() });
            begun += 1;
        }
        if open.is_empty() || gathered == SPANS_PER_REQUEST {
            let services = SERVICES.iter().zip(&mut by_service);
            let blocks = services.map(|(service, spans)| block(service, std::mem::take(spans)));
            let request = ExportTraceServiceRequest { resource_spans: blocks.collect() };
            bodies.push(request.encode_to_vec());
            gathered = 0;
        }
        if open.is_empty() {
            return bodies;
        }
        let at = random.below(open.len() as u64) as usize;
        let span = span(&mut random, &mut open[at]);
        by_service[random.below(SERVICES.len() as u64) as usize].push(span);
        gathered += 1;
        if open[at].spans.len() == SPANS_PER_TRACE {
            open.swap_remove(at);
        }
    }
}

fn span(random: &mut Random, trace: &mut Open) -> Span {
    let parent = match trace.spans.len() as u64 {
        0 => Vec::new(),
        count => trace.spans[random.below(count) as usize].to_vec(),
    };
    let is_error = random.below(1300) == 0;
    let route = ROUTES[random.below(4) as usize];
    let start = START_NS + random.below(5_000_000);
    trace.spans.push(random.next().to_be_bytes());
    let mut attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", route),
        text("url.path", &format!("/api/v1/carts/{}", random.below(1_000_000))),
        text("server.address", "checkout.shop"),
        number("server.port", 8080),
        number("http.response.status_code", if is_error { 503 } else { 200 }),
        text("url.query", &format!("session={:016x}", random.next())),
        text("user_agent.original", AGENTS[random.below(3) as usize]),
        text("thread.name", &format!("http-nio-8080-exec-{}", random.below(200))),
        number("thread.id", random.below(500)),
    ];
    if 0 < random.below(4) {
        attributes.push(text("network.peer.address", &format!("10.42.7.{}", random.below(255))));
    }
    Span {
        trace_id: trace.id.to_vec(),
        span_id: trace.spans[trace.spans.len() - 1].to_vec(),
        flags: 0x101,
        name: format!("GET {route}"),
        kind: if parent.is_empty() { 2 } else { 3 },
        parent_span_id: parent,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 200_000 + random.below(80_000_000),
        attributes,
        status: Some(Status { message: String::new(), code: if is_error { 2 } else { 0 } }),
        ..Span::default()
    }
}

fn block(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let attributes = vec![
        text("service.name", service),
        text("service.namespace", "shop"),
        text("service.version", "1.42.0"),
        text("service.instance.id", &format!("{service}-7d9c5b6f4-x2x9z")),
        text("telemetry.sdk.language", "java"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.49.0"),
        text("process.runtime.name", "OpenJDK Runtime Environment"),
    ];
    let scope = InstrumentationScope {
        name: "io.opentelemetry.tomcat-10.0".to_owned(),
        version: "2.15.0-alpha".to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        schema_url: "https://opentelemetry.io/schemas/1.24.0".to_owned(),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value.cast_signed()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
