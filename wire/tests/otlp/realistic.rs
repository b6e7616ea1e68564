//! A request as a shop's services send it: 13 spans a trace, about 461 bytes a span.

use super::random::Random;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};

const SERVICES: [&str; 5] = ["frontend", "checkout", "payment", "catalog", "shipping"];
const ROUTES: [&str; 4] = ["/api/v1/carts/{id}", "/api/v1/orders", "/api/v1/products", "/healthz"];
const SPANS_PER_TRACE: usize = 13;

/// A request of `spans` spans, one block for each service.
pub(crate) fn request(seed: u64, spans: usize) -> ExportTraceServiceRequest {
    let mut random = Random(seed);
    let mut by_service = vec![Vec::new(); SERVICES.len()];
    let mut trace_id = Vec::new();
    for at in 0..spans {
        if at % SPANS_PER_TRACE == 0 {
            trace_id = random.bytes::<16>();
        }
        let service = random.below(SERVICES.len() as u64) as usize;
        by_service[service].push(span(&mut random, &trace_id, at % SPANS_PER_TRACE == 0));
    }
    let blocks = SERVICES.iter().zip(by_service).map(|(service, spans)| block(service, spans));
    ExportTraceServiceRequest { resource_spans: blocks.collect() }
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
        ..Default::default()
    };
    let scope = InstrumentationScope {
        name: "io.opentelemetry.tomcat-10.0".to_owned(),
        version: "2.15.0-alpha".to_owned(),
        ..Default::default()
    };
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
        schema_url: "https://opentelemetry.io/schemas/1.24.0".to_owned(),
    }
}

fn span(random: &mut Random, trace_id: &[u8], is_root: bool) -> Span {
    let start = 1_760_000_000_000_000_000 + random.below(1_000_000_000);
    let route = *random.pick(&ROUTES);
    let failed = random.below(50) == 0;
    let mut attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", route),
        text("url.path", &format!("/api/v1/carts/{}", random.below(1_000_000))),
        text("server.address", "checkout.shop.svc.cluster.local"),
        number("server.port", 8080),
        number("http.response.status_code", if failed { 503 } else { 200 }),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"),
        text("thread.name", &format!("http-nio-8080-exec-{}", random.below(200))),
        number("thread.id", random.below(500) as i64),
    ];
    if random.below(7) > 0 {
        attributes.push(text("network.peer.address", &format!("10.42.7.{}", random.below(255))));
    }
    Span {
        trace_id: trace_id.to_vec(),
        span_id: random.bytes::<8>(),
        parent_span_id: if is_root { Vec::new() } else { random.bytes::<8>() },
        flags: 0x101,
        name: format!("GET {route}"),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + random.below(80_000_000),
        attributes,
        events: failed.then(|| event(start)).into_iter().collect(),
        status: Some(Status { message: String::new(), code: if failed { 2 } else { 0 } }),
        ..Default::default()
    }
}

fn event(time_unix_nano: u64) -> Event {
    let attributes = vec![
        text("exception.type", "java.net.SocketTimeoutException"),
        text("exception.message", "Read timed out"),
    ];
    Event { time_unix_nano, name: "exception".to_owned(), attributes, ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}
