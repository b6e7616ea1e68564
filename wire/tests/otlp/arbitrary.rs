//! Valid requests of every shape: every field, every kind of value, also what no SDK would send.

use super::random::Random;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status,
    span::{Event, Link},
};
use prost::Message;
use sluice_wire::Signal;

/// The keys that the tests edit are among them.
pub(crate) const KEYS: [&str; 6] =
    ["k8s.namespace.name", "k8s.pod.name", "service.name", "a", "", "clé/键"];
const TEXTS: [&str; 5] = ["", "x", "plain ascii of some length", "ünï €", "\u{1F980}\"\\\n\u{0}"];
const TRACE_STATES: [&str; 5] =
    ["", "a=1,b=2", "ot=th:8", "x=y,ot=rv:d29d6a7215ced0;th:c;z:1", "ot=th:0000000000001"];

/// The body of a request; as bytes it may be unusual, with its fields in any order.
pub(crate) fn body(signal: Signal, random: &mut Random) -> Vec<u8> {
    let body = match signal {
        Signal::Traces => traces(random).encode_to_vec(),
        Signal::Metrics => metrics(random).encode_to_vec(),
        Signal::Logs => logs(random).encode_to_vec(),
    };
    if random.below(2) == 0 { unusual(&body, random) } else { body }
}

/// Repeated and late resources, and fields that OTLP does not know: all legal protobuf.
fn unusual(body: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (payload, after) = field(&mut rest);
        let mut block = payload.to_vec();
        for _ in 0..random.below(3) {
            let resource = resource(random).encode_to_vec();
            let extra = [&[0x0a], &*length(resource.len()), &resource].concat();
            if random.below(2) == 0 {
                block.extend(extra)
            } else {
                block.splice(0..0, extra).count();
            }
        }
        // Field 50 as a varint, field 1000 as bytes.
        block.extend([0x90, 0x03, 0x2a, 0xc2, 0x3e, 0x01, 0xff]);
        out.extend([&[0x0a], &*length(block.len()), &block].concat());
        rest = after;
    }
    out
}

fn field<'b>(rest: &mut &'b [u8]) -> (&'b [u8], &'b [u8]) {
    assert_eq!(rest[0], 0x0a, "a request has only blocks");
    *rest = &rest[1..];
    let length = prost::decode_length_delimiter(*rest).unwrap();
    rest[prost::length_delimiter_len(length)..].split_at(length)
}

fn length(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encode_length_delimiter(length, &mut out).unwrap();
    out
}

fn some<T>(random: &mut Random, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
    (0..random.below(4)).map(|_| make(random)).collect()
}

fn text(random: &mut Random) -> String {
    (*random.pick(&TEXTS)).to_owned()
}

fn double(random: &mut Random) -> f64 {
    *random.pick(&[0.0, -1.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, 5e-324])
}

fn id<const N: usize>(random: &mut Random) -> Vec<u8> {
    if random.below(8) == 0 { Vec::new() } else { random.bytes::<N>() }
}

fn attributes(random: &mut Random) -> Vec<KeyValue> {
    some(random, |random| attribute(random, 1))
}

fn attribute(random: &mut Random, depth: u64) -> KeyValue {
    let value = (random.below(9) > 0).then(|| any(random, depth));
    KeyValue { key: (*random.pick(&KEYS)).to_owned(), value, ..Default::default() }
}

fn any(random: &mut Random, depth: u64) -> AnyValue {
    let kinds = if depth < 16 { 8 } else { 6 };
    let value = match random.below(kinds) {
        0 => None,
        1 => Some(Value::StringValue(text(random))),
        2 => Some(Value::BoolValue(random.below(2) == 0)),
        3 => Some(Value::IntValue(*random.pick(&[0, -1, i64::MIN, i64::MAX]))),
        4 => Some(Value::DoubleValue(double(random))),
        5 => Some(Value::BytesValue(random.bytes::<5>())),
        6 => {
            let values = some(random, |random| any(random, depth + 1));
            Some(Value::ArrayValue(ArrayValue { values }))
        }
        _ => {
            let values = some(random, |random| attribute(random, depth + 1));
            Some(Value::KvlistValue(KeyValueList { values }))
        }
    };
    AnyValue { value }
}

fn resource(random: &mut Random) -> Resource {
    Resource {
        attributes: attributes(random),
        dropped_attributes_count: random.below(3) as u32,
        entity_refs: some(random, |random| EntityRef {
            schema_url: text(random),
            r#type: text(random),
            id_keys: some(random, text),
            description_keys: some(random, text),
        }),
    }
}

fn scope(random: &mut Random) -> InstrumentationScope {
    InstrumentationScope {
        name: text(random),
        version: text(random),
        attributes: attributes(random),
        dropped_attributes_count: random.below(3) as u32,
    }
}

fn maybe<T>(random: &mut Random, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
    (random.below(4) > 0).then(|| make(random))
}

fn traces(random: &mut Random) -> ExportTraceServiceRequest {
    let resource_spans = some(random, |random| ResourceSpans {
        resource: maybe(random, resource),
        scope_spans: some(random, |random| ScopeSpans {
            scope: maybe(random, scope),
            spans: some(random, span),
            schema_url: text(random),
        }),
        schema_url: text(random),
    });
    ExportTraceServiceRequest { resource_spans }
}

fn span(random: &mut Random) -> Span {
    Span {
        trace_id: id::<16>(random),
        span_id: id::<8>(random),
        trace_state: (*random.pick(&TRACE_STATES)).to_owned(),
        parent_span_id: id::<8>(random),
        flags: random.next() as u32,
        name: text(random),
        kind: random.below(7) as i32,
        start_time_unix_nano: random.next(),
        end_time_unix_nano: random.next(),
        attributes: attributes(random),
        dropped_attributes_count: random.next() as u32,
        events: some(random, |random| Event {
            time_unix_nano: random.next(),
            name: text(random),
            attributes: attributes(random),
            dropped_attributes_count: random.below(3) as u32,
        }),
        dropped_events_count: random.below(3) as u32,
        links: some(random, |random| Link {
            trace_id: id::<16>(random),
            span_id: id::<8>(random),
            trace_state: text(random),
            attributes: attributes(random),
            dropped_attributes_count: random.below(3) as u32,
            flags: random.next() as u32,
        }),
        dropped_links_count: random.below(3) as u32,
        status: maybe(random, |random| Status {
            message: text(random),
            code: random.below(3) as i32,
        }),
    }
}

fn logs(random: &mut Random) -> ExportLogsServiceRequest {
    let resource_logs = some(random, |random| ResourceLogs {
        resource: maybe(random, resource),
        scope_logs: some(random, |random| ScopeLogs {
            scope: maybe(random, scope),
            log_records: some(random, log_record),
            schema_url: text(random),
        }),
        schema_url: text(random),
    });
    ExportLogsServiceRequest { resource_logs }
}

fn log_record(random: &mut Random) -> LogRecord {
    LogRecord {
        time_unix_nano: random.next(),
        observed_time_unix_nano: random.next(),
        severity_number: random.below(25) as i32,
        severity_text: text(random),
        body: maybe(random, |random| any(random, 1)),
        attributes: attributes(random),
        dropped_attributes_count: random.below(3) as u32,
        flags: random.next() as u32,
        trace_id: id::<16>(random),
        span_id: id::<8>(random),
        event_name: text(random),
    }
}

fn metrics(random: &mut Random) -> ExportMetricsServiceRequest {
    let resource_metrics = some(random, |random| metrics::ResourceMetrics {
        resource: maybe(random, resource),
        scope_metrics: some(random, |random| metrics::ScopeMetrics {
            scope: maybe(random, scope),
            metrics: some(random, metric),
            schema_url: text(random),
        }),
        schema_url: text(random),
    });
    ExportMetricsServiceRequest { resource_metrics }
}

fn metric(random: &mut Random) -> metrics::Metric {
    metrics::Metric {
        name: text(random),
        description: text(random),
        unit: text(random),
        metadata: attributes(random),
        data: maybe(random, data),
    }
}

fn data(random: &mut Random) -> metrics::metric::Data {
    use metrics::metric::Data;
    let aggregation_temporality = random.below(3) as i32;
    match random.below(5) {
        0 => Data::Gauge(metrics::Gauge { data_points: some(random, number_point) }),
        1 => Data::Sum(metrics::Sum {
            data_points: some(random, number_point),
            aggregation_temporality,
            is_monotonic: random.below(2) == 0,
        }),
        2 => Data::Histogram(metrics::Histogram {
            data_points: some(random, histogram_point),
            aggregation_temporality,
        }),
        3 => Data::ExponentialHistogram(metrics::ExponentialHistogram {
            data_points: some(random, exponential_point),
            aggregation_temporality,
        }),
        _ => Data::Summary(metrics::Summary { data_points: some(random, summary_point) }),
    }
}

fn number_point(random: &mut Random) -> metrics::NumberDataPoint {
    use metrics::number_data_point::Value;
    metrics::NumberDataPoint {
        attributes: attributes(random),
        start_time_unix_nano: random.next(),
        time_unix_nano: random.next(),
        exemplars: some(random, exemplar),
        flags: random.below(2) as u32,
        value: maybe(random, |random| match random.below(2) {
            0 => Value::AsDouble(double(random)),
            _ => Value::AsInt(random.next() as i64),
        }),
    }
}

fn exemplar(random: &mut Random) -> metrics::Exemplar {
    use metrics::exemplar::Value;
    metrics::Exemplar {
        filtered_attributes: attributes(random),
        time_unix_nano: random.next(),
        span_id: id::<8>(random),
        trace_id: id::<16>(random),
        value: maybe(random, |random| match random.below(2) {
            0 => Value::AsDouble(double(random)),
            _ => Value::AsInt(random.next() as i64),
        }),
    }
}

fn histogram_point(random: &mut Random) -> metrics::HistogramDataPoint {
    metrics::HistogramDataPoint {
        attributes: attributes(random),
        start_time_unix_nano: random.next(),
        time_unix_nano: random.next(),
        count: random.next(),
        sum: maybe(random, double),
        bucket_counts: some(random, Random::next),
        explicit_bounds: some(random, double),
        exemplars: some(random, exemplar),
        flags: random.below(2) as u32,
        min: maybe(random, double),
        max: maybe(random, double),
    }
}

fn exponential_point(random: &mut Random) -> metrics::ExponentialHistogramDataPoint {
    metrics::ExponentialHistogramDataPoint {
        attributes: attributes(random),
        start_time_unix_nano: random.next(),
        time_unix_nano: random.next(),
        count: random.next(),
        sum: maybe(random, double),
        scale: random.next() as i32,
        zero_count: random.next(),
        positive: maybe(random, buckets),
        negative: maybe(random, buckets),
        flags: random.below(2) as u32,
        exemplars: some(random, exemplar),
        min: maybe(random, double),
        max: maybe(random, double),
        zero_threshold: double(random),
    }
}

fn buckets(random: &mut Random) -> Buckets {
    Buckets { offset: random.next() as i32, bucket_counts: some(random, Random::next) }
}

fn summary_point(random: &mut Random) -> metrics::SummaryDataPoint {
    metrics::SummaryDataPoint {
        attributes: attributes(random),
        start_time_unix_nano: random.next(),
        time_unix_nano: random.next(),
        count: random.next(),
        sum: double(random),
        quantile_values: some(random, |random| ValueAtQuantile {
            quantile: double(random),
            value: double(random),
        }),
        flags: random.below(2) as u32,
    }
}
