//! What the services have to tell: the spans, log records and metrics since the last export.

use super::call::{Call, Failure};
use super::meter::Meter;
use super::random::Random;
use super::service::{Service, number, text};
use super::visits::visit;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use std::collections::BTreeMap;

/// The trace is sampled (W3C trace context).
const SAMPLED: u32 = 1;

pub(super) struct Shop {
    random: Random,
    traces: Random,
    spans: Random,
    records: Random,
    meter: Meter,
    told: BTreeMap<Service, (Vec<Span>, Vec<LogRecord>)>,
}

/// One export of one service, each by its own connection in a real shop.
pub(super) struct Exports {
    pub(super) traces: Vec<ExportTraceServiceRequest>,
    pub(super) logs: Vec<ExportLogsServiceRequest>,
    pub(super) metrics: Vec<ExportMetricsServiceRequest>,
}

impl Shop {
    /// The n-th span has the n-th number of SplitMix64 from `seed` as its id; log records have those
    /// from the seed's complement as `log.record.uid`.
    pub(super) fn new(seed: u64, now_ns: u64) -> Self {
        Self {
            random: Random::new(seed.rotate_left(32)),
            traces: Random::new(seed.rotate_left(16)),
            spans: Random::new(seed),
            records: Random::new(!seed),
            meter: Meter::new(now_ns),
            told: BTreeMap::new(),
        }
    }

    /// Serves one request, which ends now.
    pub(super) fn serve(&mut self, now_ns: u64) {
        let call = visit(&mut self.random);
        let trace = [self.traces.next().to_be_bytes(), self.traces.next().to_be_bytes()].concat();
        let start_ns = now_ns.saturating_sub(length_ns(&call));
        self.tell(&call, start_ns, &trace, Vec::new());
    }

    /// What the services have to tell since the last time.
    pub(super) fn take(&mut self, now_ns: u64, with_metrics: bool) -> Exports {
        let mut exports = Exports { traces: Vec::new(), logs: Vec::new(), metrics: Vec::new() };
        for (service, (spans, records)) in std::mem::take(&mut self.told) {
            exports.traces.push(traces(service, spans));
            exports.logs.push(logs(service, records));
        }
        for service in Service::ALL.into_iter().filter(|_| with_metrics) {
            let metrics = self.meter.read(service, now_ns, &mut self.random);
            let scope = ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() };
            let resource = Some(service.resource());
            let scope_metrics = vec![scope];
            let block = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
            exports.metrics.push(ExportMetricsServiceRequest { resource_metrics: vec![block] });
        }
        exports
    }

    /// Tells of a step and of those it waited for; returns when it ended.
    fn tell(&mut self, call: &Call, start_ns: u64, trace: &[u8], parent: Vec<u8>) -> u64 {
        let id = self.spans.next().to_be_bytes().to_vec();
        let mut end_ns = start_ns + call.own_us * 500;
        for step in &call.waits_for {
            end_ns = self.tell(step, end_ns, trace, id.clone());
        }
        end_ns += call.own_us * 500;
        self.log(call, end_ns - start_ns, end_ns, (trace, &id));
        if let Some(served) = &call.served {
            self.meter.record(call.service, served, end_ns - start_ns);
        }
        let span = Span {
            trace_id: trace.to_vec(),
            span_id: id,
            parent_span_id: parent,
            flags: SAMPLED,
            name: call.name.clone(),
            kind: call.kind.into(),
            start_time_unix_nano: start_ns,
            end_time_unix_nano: end_ns,
            attributes: call.attributes.clone(),
            events: call.failure.iter().map(|failure| exception(failure, end_ns)).collect(),
            status: call.failure.map(|failure| Status {
                message: failure.message.to_owned(),
                code: StatusCode::Error.into(),
            }),
            ..Span::default()
        };
        self.told.entry(call.service).or_default().0.push(span);
        end_ns
    }

    /// A server logs each request; who fails first logs why.
    fn log(&mut self, call: &Call, length_ns: u64, end_ns: u64, (trace, span): (&[u8], &[u8])) {
        let began_it = call.waits_for.last().is_none_or(|step| step.failure.is_none());
        let (severity, body) = match (&call.failure, &call.served) {
            (Some(failure), _) if began_it => (SeverityNumber::Error, failure.message.to_owned()),
            (_, Some(served)) => {
                let ms = length_ns / 1_000_000;
                let line = format!("{} {} {} {ms}ms", served.method, served.route, served.code);
                (SeverityNumber::Info, line)
            }
            _ => return,
        };
        let uid = self.records.next();
        let mut attributes = vec![text("log.record.uid", &format!("{uid:016x}"))];
        attributes.extend(call.served.iter().flat_map(|served| {
            [text("http.route", served.route), number("http.response.status_code", served.code)]
        }));
        attributes.extend(call.failure.map(|failure| text("exception.type", failure.type_)));
        let record = LogRecord {
            time_unix_nano: end_ns,
            observed_time_unix_nano: end_ns,
            severity_number: severity.into(),
            severity_text: if severity == SeverityNumber::Error { "ERROR" } else { "INFO" }.into(),
            body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
            attributes,
            flags: SAMPLED,
            trace_id: trace.to_vec(),
            span_id: span.to_vec(),
            ..LogRecord::default()
        };
        self.told.entry(call.service).or_default().1.push(record);
    }
}

fn length_ns(call: &Call) -> u64 {
    call.own_us * 1000 + call.waits_for.iter().map(length_ns).sum::<u64>()
}

fn exception(failure: &Failure, time_ns: u64) -> Event {
    Event {
        time_unix_nano: time_ns,
        name: "exception".to_owned(),
        attributes: vec![
            text("exception.type", failure.type_),
            text("exception.message", failure.message),
        ],
        ..Event::default()
    }
}

fn traces(service: Service, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
    let resource = Some(service.resource());
    let block = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![block] }
}

fn logs(service: Service, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }];
    let resource = Some(service.resource());
    let block = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![block] }
}

fn scope() -> Option<InstrumentationScope> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let name = "sluice.demo.shop".to_owned();
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000_000;

    fn shop(seed: u64, requests: u32) -> Exports {
        let mut shop = Shop::new(seed, NOW);
        (0..requests).for_each(|_| shop.serve(NOW));
        shop.take(NOW, true)
    }

    fn spans(exports: &Exports) -> Vec<&Span> {
        let blocks = exports.traces.iter().flat_map(|request| &request.resource_spans);
        blocks.flat_map(|block| &block.scope_spans).flat_map(|scope| &scope.spans).collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let (one, two) = (shop(7, 50), shop(7, 50));
        assert_eq!(one.traces, two.traces);
        assert_eq!(one.logs, two.logs);
        assert_eq!(one.metrics, two.metrics);
        assert_ne!(one.traces, shop(8, 50).traces);
    }

    #[test]
    fn every_trace_is_whole() {
        let exports = shop(7, 200);
        let spans = spans(&exports);
        let by_id: BTreeMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
        assert_eq!(by_id.len(), spans.len());
        for span in &spans {
            assert!(span.end_time_unix_nano <= NOW + 1_000_000);
            let Some(parent) = by_id.get(&span.parent_span_id) else {
                assert!(span.parent_span_id.is_empty());
                continue;
            };
            assert_eq!(parent.trace_id, span.trace_id);
            assert!(parent.start_time_unix_nano <= span.start_time_unix_nano);
            assert!(span.end_time_unix_nano <= parent.end_time_unix_nano);
        }
    }

    #[test]
    fn some_requests_fail_and_some_are_slow() {
        let exports = shop(7, 500);
        let spans = spans(&exports);
        let failed = spans.iter().filter(|span| span.status.is_some()).count();
        let length = |span: &Span| span.end_time_unix_nano - span.start_time_unix_nano;
        let slow = spans.iter().filter(|span| length(span) > 1_000_000_000).count();
        assert!(failed > 10 && slow > 10, "{failed} failed, {slow} slow of {}", spans.len());
        assert_eq!(exports.traces.len(), Service::ALL.len());
    }
}
