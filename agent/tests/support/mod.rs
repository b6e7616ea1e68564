//! A config, requests with ids, an independent receiver (tonic) and plain clients.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

pub mod client;
pub mod fleet;
pub mod http;
pub mod operator;
pub mod oracle;
pub mod sampling;
pub mod tls;
pub mod vault;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use sluice_agent::{Running, Settings, start};
use sluice_engine::books::Books;
use sluice_engine::config::{
    Auth, Batch, Cluster, Compression, Config, Delivery, Destination, DestinationKind, Enrich,
    EnrichKubernetes, FORMAT, Limiter, Namespaces, OnFull, Pipeline, Protocol, Receivers, Selector,
    Tls, TlsMode,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// No pipelines; every port is the system's choice; batches leave within 20 ms.
pub fn config() -> Config {
    Config {
        format: FORMAT,
        cluster: Cluster::default(),
        receivers: Receivers {
            grpc_port: 0,
            grpc_message_bytes_max: 1 << 20,
            grpc_connection_age_max_ms: 60_000,
            http_port: 0,
            http_body_bytes_max: 1 << 20,
            jaeger_remote_sampling: None,
        },
        batch: Batch { timeout_ms: 20, items: 1000, bytes_max: 4 << 20 },
        limiter: Limiter { soft_bytes: 400 << 20, hard_bytes: 500 << 20, check_interval_ms: 20 },
        metrics_port: 0,
        destinations: BTreeMap::new(),
        pipelines: BTreeMap::new(),
        sampling: Default::default(),
        gateway: Default::default(),
    }
}

/// One pipeline `shop/shop` of every namespace that sends every signal to `destinations`.
pub fn config_to(destinations: &[(&str, Destination)]) -> Config {
    let names: Vec<String> = destinations.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut config = config();
    config.destinations =
        destinations.iter().map(|(name, end)| ((*name).to_owned(), end.clone())).collect();
    config.pipelines.insert("shop/shop".into(), pipeline(&names));
    config
}

pub fn pipeline(destinations: &[String]) -> Pipeline {
    Pipeline {
        generation: 1,
        namespaces: Namespaces::AllExcept([].into()),
        workload: Selector::default(),
        otlp: true,
        pod_logs: None,
        enrich: Enrich {
            kubernetes: EnrichKubernetes::Standard,
            pod_labels: Vec::new(),
            resource_attributes: BTreeMap::new(),
        },
        traces: destinations.to_vec(),
        metrics: destinations.to_vec(),
        logs: destinations.to_vec(),
        delivery: Delivery {
            queue_bytes_max: 64 << 20,
            age_max_ms: 3_600_000,
            retry_initial_ms: 20,
            retry_max_ms: 100,
            retry_elapsed_max_ms: 300_000,
            on_full: OnFull::DropOldest,
        },
    }
}

pub fn otlp(address: SocketAddr, protocol: Protocol, compression: Compression) -> Destination {
    let kind =
        DestinationKind::Otlp { endpoint: address.to_string(), protocol, tenant: String::new() };
    destination(kind, compression)
}

pub fn file(path: &str) -> Destination {
    let kind = DestinationKind::File { path: path.to_owned(), bytes_max: 64 << 20, files_max: 2 };
    destination(kind, Compression::None)
}

fn destination(kind: DestinationKind, compression: Compression) -> Destination {
    Destination {
        kind,
        tls: Tls { mode: TlsMode::Plaintext, ca: None, client: None, server_name: String::new() },
        auth: Auth::None,
        headers: BTreeMap::new(),
        compression,
        timeout_ms: 5000,
    }
}

pub fn settings(folder: &tempfile::TempDir) -> Settings {
    Settings { workers: 2, ..Settings::local(folder.path().to_owned()) }
}

/// A collector in local mode, and its data folder.
pub async fn run(config: Config) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let running = start(config, settings(&folder)).await.unwrap();
    (running, folder)
}

/// Stops with time enough to send everything; the books balance.
pub async fn stop(running: Running) -> Books {
    let books = running.stop(Duration::from_secs(10)).await;
    books.check().unwrap();
    books
}

pub fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub fn resource(attributes: &[(&str, &str)]) -> Option<Resource> {
    let attributes = attributes.iter().map(|(key, value)| text(key, value)).collect();
    Some(Resource { attributes, ..Resource::default() })
}

/// A span for each id, which is its span id.
pub fn traces(ids: Range<u64>, attributes: &[(&str, &str)]) -> ExportTraceServiceRequest {
    let spans = ids.map(|id| Span {
        trace_id: u128::from(id + 1).to_be_bytes().to_vec(),
        span_id: (id + 1).to_be_bytes().to_vec(),
        name: "GET /cart".into(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_001_000_000,
        ..Span::default()
    });
    let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans {
        resource: resource(attributes),
        scope_spans,
        schema_url: String::new(),
    }];
    ExportTraceServiceRequest { resource_spans }
}

/// A record for each id, which is its body.
pub fn logs(ids: Range<u64>) -> ExportLogsServiceRequest {
    let records = ids.map(|id| LogRecord {
        body: Some(AnyValue { value: Some(Value::StringValue(id.to_string())) }),
        ..LogRecord::default()
    });
    let scope_logs = vec![ScopeLogs { log_records: records.collect(), ..ScopeLogs::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: resource(&[]), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

/// A metric for each id, which is its name.
pub fn metrics(ids: Range<u64>) -> ExportMetricsServiceRequest {
    let point = || NumberDataPoint { time_unix_nano: 1, ..NumberDataPoint::default() };
    let metrics = ids.map(|id| Metric {
        name: id.to_string(),
        data: Some(Data::Gauge(Gauge { data_points: vec![point()] })),
        ..Metric::default()
    });
    let scope_metrics =
        vec![ScopeMetrics { metrics: metrics.collect(), ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics {
        resource: resource(&[]),
        scope_metrics,
        ..ResourceMetrics::default()
    }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// Waits, for at most ten seconds, until `done` holds.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let wait = async {
        while !done() {
            looks.tick().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
    assert!(waited.is_ok(), "{what}: not within ten seconds");
}

/// A port of this machine that nobody listens on. Below those that connections get as their own: one
/// of these could be taken before it is listened on.
pub fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = TRIED.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id() * 97);
        let port = 12_000 + u16::try_from(turn % 20_000).unwrap();
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
