//! A receiver that shares no code with ours: opentelemetry-proto's services on tonic.

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status};

/// What the oracle does to the next requests.
#[derive(Clone, Debug, Default)]
pub struct Mood {
    /// Each request is refused with this, and told which credentials it showed.
    pub refuses: Option<Code>,
    /// No request is answered.
    pub hangs: bool,
    /// Spans of each request that are said to be rejected.
    pub rejects: i64,
}

#[derive(Clone, Default)]
pub struct Oracle {
    pub ids: Arc<Mutex<BTreeSet<u64>>>,
    spans: Arc<Mutex<Vec<Span>>>,
    /// Attributes of the last resource.
    pub resource: Arc<Mutex<BTreeMap<String, String>>>,
    pub requests: Arc<Mutex<u64>>,
    /// Of the last request.
    headers: Arc<Mutex<MetadataMap>>,
    mood: Arc<Mutex<Mood>>,
}

impl Oracle {
    /// On a port of the system's choice, for the rest of the test.
    pub async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Self::serve(listener), address)
    }

    pub fn serve(listener: TcpListener) -> Self {
        Self::serve_connections(TcpListenerStream::new(listener))
    }

    pub fn serve_connections<T>(
        connections: impl Stream<Item = io::Result<T>> + Send + 'static,
    ) -> Self
    where
        T: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let oracle = Self::default();
        let size = 64 << 20;
        let server = Server::builder()
            .add_service(TraceServiceServer::new(oracle.clone()).max_decoding_message_size(size))
            .add_service(MetricsServiceServer::new(oracle.clone()).max_decoding_message_size(size))
            .add_service(LogsServiceServer::new(oracle.clone()).max_decoding_message_size(size))
            .serve_with_incoming(connections);
        tokio::spawn(server);
        oracle
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn ids(&self) -> BTreeSet<u64> {
        self.ids.lock().unwrap().clone()
    }

    /// Every span, as often as it came.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    pub fn requests(&self) -> u64 {
        *self.requests.lock().unwrap()
    }

    /// Of the last request; empty when it had none of this name.
    pub fn header(&self, name: &str) -> String {
        text(&self.headers.lock().unwrap(), name).to_owned()
    }

    async fn answer(&self, headers: &MetadataMap) -> Result<Mood, Status> {
        let mood = self.mood.lock().unwrap().clone();
        self.headers.lock().unwrap().clone_from(headers);
        *self.requests.lock().unwrap() += 1;
        if mood.hangs {
            std::future::pending::<()>().await;
        }
        match mood.refuses {
            Some(code) => {
                let shown = [text(headers, "authorization"), text(headers, "x-api-key")].concat();
                Err(Status::new(code, format!("not today with '{shown}'")))
            }
            None => Ok(mood),
        }
    }

    fn see(&self, resource: Option<&Resource>, ids: impl Iterator<Item = u64>) {
        self.ids.lock().unwrap().extend(ids);
        let attributes = resource.map(|resource| resource.attributes.clone()).unwrap_or_default();
        let text = attributes.into_iter().filter_map(|attribute| {
            match attribute.value.and_then(|value| value.value) {
                Some(Value::StringValue(value)) => Some((attribute.key, value)),
                _ => None,
            }
        });
        *self.resource.lock().unwrap() = text.collect();
    }
}

fn text<'a>(headers: &'a MetadataMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tonic::async_trait]
impl TraceService for Oracle {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mood = self.answer(request.metadata()).await?;
        for block in request.into_inner().resource_spans {
            let spans = block.scope_spans.iter().flat_map(|scope| &scope.spans);
            let id = |id: &[u8]| u64::from_be_bytes(id.try_into().unwrap()) - 1;
            self.see(block.resource.as_ref(), spans.clone().map(|span| id(&span.span_id)));
            self.spans.lock().unwrap().extend(spans.cloned());
        }
        let partial_success = (0 < mood.rejects).then(|| ExportTracePartialSuccess {
            rejected_spans: mood.rejects,
            error_message: "too old".into(),
        });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Oracle {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.answer(request.metadata()).await?;
        for block in request.into_inner().resource_logs {
            let records = block.scope_logs.iter().flat_map(|scope| &scope.log_records);
            let ids = records.map(|record| match &record.body.as_ref().unwrap().value {
                Some(Value::StringValue(id)) => id.parse().unwrap(),
                other => panic!("{other:?} is no id"),
            });
            self.see(block.resource.as_ref(), ids);
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Oracle {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.answer(request.metadata()).await?;
        for block in request.into_inner().resource_metrics {
            let metrics = block.scope_metrics.iter().flat_map(|scope| &scope.metrics);
            let ids = metrics.map(|metric| metric.name.parse().unwrap());
            self.see(block.resource.as_ref(), ids);
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
