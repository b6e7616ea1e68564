//! Sends exports by OTLP over gRPC, again while the receiver asks for patience, and counts them.

use super::window::Exports;
use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_DELAY: Duration = Duration::from_millis(200);
const ATTEMPTS_MAX: u32 = 50;

pub(super) struct Exporter {
    traces: TraceServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    logs: LogsServiceClient<Channel>,
    pub(super) sent: Sent,
}

/// Items that the receiver has acknowledged, and those that it refused for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) spans: u64,
    pub(crate) points: u64,
    pub(crate) records: u64,
    pub(crate) refused: u64,
}

/// Sends one request until it is taken or refused for good; says which.
macro_rules! deliver {
    ($client:expr, $request:expr) => {{
        let mut attempt = 0;
        loop {
            attempt += 1;
            match $client.export($request.clone()).await {
                Ok(_) => break true,
                Err(status) if is_passing(&status) && attempt < ATTEMPTS_MAX => {
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(_) => break false,
            }
        }
    }};
}

impl Exporter {
    pub(super) async fn connect(endpoint: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).context("read the endpoint")?;
        let endpoint = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT);
        let channel = endpoint.connect().await.context("connect the demo to the collector")?;
        Ok(Self {
            traces: TraceServiceClient::new(channel.clone()),
            metrics: MetricsServiceClient::new(channel.clone()),
            logs: LogsServiceClient::new(channel),
            sent: Sent::default(),
        })
    }

    pub(super) async fn send(&mut self, exports: Exports) {
        for request in exports.traces {
            let scopes = request.resource_spans.iter().flat_map(|block| &block.scope_spans);
            let items = scopes.map(|scope| scope.spans.len()).sum();
            let taken = deliver!(self.traces, request);
            count(&mut self.sent.spans, &mut self.sent.refused, items, taken);
        }
        for request in exports.logs {
            let scopes = request.resource_logs.iter().flat_map(|block| &block.scope_logs);
            let items = scopes.map(|scope| scope.log_records.len()).sum();
            let taken = deliver!(self.logs, request);
            count(&mut self.sent.records, &mut self.sent.refused, items, taken);
        }
        for request in exports.metrics {
            let scopes = request.resource_metrics.iter().flat_map(|block| &block.scope_metrics);
            let items = scopes.flat_map(|scope| &scope.metrics).map(points).sum();
            let taken = deliver!(self.metrics, request);
            count(&mut self.sent.points, &mut self.sent.refused, items, taken);
        }
    }
}

fn count(sent: &mut u64, refused: &mut u64, items: usize, taken: bool) {
    let counter = if taken { sent } else { refused };
    *counter += items as u64;
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    }
}

/// Whether the OTLP specification lets a client try again.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::OutOfRange
            | Code::DataLoss
    )
}
