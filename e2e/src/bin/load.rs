//! The sender of the claims: an app pod that sends numbered items by OTLP and retries until each
//! is accepted. It also prints numbered lines, for pod logs. Built on the public OTLP library, not on ours.

use anyhow::{Context, Result, bail};
use clap::Parser;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
    number_data_point::Value as Number,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// Sends numbered items by OTLP/gRPC; each carries `e2e.id`.
#[derive(Parser)]
struct Arguments {
    /// Such as `http://sluice-agent.sluice-system:4317`.
    #[arg(long, default_value = "")]
    endpoint: String,
    /// Each item's id is `<prefix>-<number>`; of a line on stdout, `<prefix>.line-<number>`.
    #[arg(long)]
    prefix: String,
    /// Comma-separated: traces, metrics, logs, stdout.
    #[arg(long, value_delimiter = ',')]
    signals: Vec<String>,
    /// Items of each signal.
    #[arg(long, default_value_t = 100)]
    count: usize,
    #[arg(long, default_value_t = 20)]
    per_request: usize,
    /// Items of traces that are one trace: a root and its children, in the order of their numbers.
    #[arg(long, default_value_t = 1)]
    per_trace: usize,
    /// The last span of each trace whose number is a multiple of this has an error; 0: none.
    #[arg(long, default_value_t = 0)]
    error_every: usize,
    /// From the start of one round to that of the next, or longer; at least 1.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Resource attributes that the sender claims, as `key=value`.
    #[arg(long)]
    claim: Vec<String>,
    /// How the requests for traces say their resource.
    #[arg(long, value_enum, default_value_t = Shape::Plain)]
    shape: Shape,
    /// A request that is not accepted for this long ends the run with an error.
    #[arg(long, default_value_t = 120)]
    give_up_s: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    /// As every library writes it: once, first.
    Plain,
    /// Behind the spans.
    Late,
    /// Before and behind the spans, to be merged.
    Repeated,
}

/// A request whose parts are written by hand; on the wire the same as any other.
#[derive(Clone, PartialEq, prost::Message)]
struct Torn {
    #[prost(bytes = "vec", repeated, tag = "1")]
    resource_spans: Vec<Vec<u8>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let numbers: Vec<usize> = (0..arguments.count).collect();
    let mut pace = interval(Duration::from_millis(arguments.pause_ms.max(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in numbers.chunks(arguments.per_request) {
        pace.tick().await;
        let round = round[0]..round[round.len() - 1] + 1;
        for signal in &arguments.signals {
            deliver(&arguments, signal, round.clone()).await?;
        }
    }
    eprintln!("all accepted");
    Ok(())
}

/// Sends one round of one signal, again and again until it is accepted.
async fn deliver(arguments: &Arguments, signal: &str, round: Range<usize>) -> Result<()> {
    if signal == "stdout" {
        print_lines(arguments, round);
        return Ok(());
    }
    let started = Instant::now();
    let mut tries = interval(Duration::from_millis(100));
    tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tries.tick().await;
        let Err(error) = send(arguments, signal, round.clone()).await else { return Ok(()) };
        if let Some(status) = error.downcast_ref::<tonic::Status>()
            && is_final(status)
        {
            return Err(error.context(format!("{signal} {round:?} was refused for good")));
        }
        if started.elapsed() > Duration::from_secs(arguments.give_up_s) {
            return Err(error.context(format!("{signal} {round:?} was not accepted")));
        }
        eprintln!("{signal} {round:?} again: {error:#}");
    }
}

/// An answer after which a client drops the data; a broken connection is no answer.
/// <https://opentelemetry.io/docs/specs/otlp/#failures>
fn is_final(status: &tonic::Status) -> bool {
    let of_the_peer = std::error::Error::source(status).is_none();
    let may_be_retried = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    of_the_peer && !may_be_retried
}

#[expect(clippy::print_stdout, reason = "the lines are the telemetry")]
fn print_lines(arguments: &Arguments, round: Range<usize>) {
    for number in round {
        println!("e2e.id={}.line-{number}", arguments.prefix);
    }
}

async fn send(arguments: &Arguments, signal: &str, round: Range<usize>) -> Result<()> {
    let channel = connect(&arguments.endpoint).await?;
    match signal {
        "traces" if arguments.shape != Shape::Plain => {
            send_torn(channel, torn(arguments, round)).await?;
        }
        "traces" => {
            TraceServiceClient::new(channel).export(traces(arguments, round)).await?;
        }
        "metrics" => {
            MetricsServiceClient::new(channel).export(metrics(arguments, round)).await?;
        }
        "logs" => {
            LogsServiceClient::new(channel).export(logs(arguments, round)).await?;
        }
        other => bail!("unknown signal {other:?}"),
    }
    Ok(())
}

async fn send_torn(channel: Channel, torn: Torn) -> Result<()> {
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let codec = ProstCodec::<Torn, ExportTraceServiceResponse>::default();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    client.unary(tonic::Request::new(torn), PathAndQuery::from_static(path), codec).await?;
    Ok(())
}

/// The parts of a message may come in any order, and one that comes twice is merged:
/// <https://protobuf.dev/programming-guides/encoding/#last-one-wins>.
fn torn(arguments: &Arguments, round: Range<usize>) -> Torn {
    let parts = traces(arguments, round).resource_spans.into_iter().map(|mut spans| {
        let resource = ResourceSpans { resource: spans.resource.take(), ..Default::default() };
        let (resource, spans) = (resource.encode_to_vec(), spans.encode_to_vec());
        match arguments.shape {
            Shape::Plain => [resource, spans].concat(),
            Shape::Late => [spans, resource].concat(),
            Shape::Repeated => [resource.clone(), spans, resource].concat(),
        }
    });
    Torn { resource_spans: parts.collect() }
}

/// A connection a request, so that each finds the agent that serves the node now.
async fn connect(endpoint: &str) -> Result<Channel> {
    Endpoint::from_shared(endpoint.to_owned())?
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(10))
        .connect()
        .await
        .context("connect")
}

fn traces(arguments: &Arguments, round: Range<usize>) -> ExportTraceServiceRequest {
    let spans = round.map(|number| span(arguments, number));
    let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    let resource = Some(resource(arguments));
    let spans = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}

fn span(arguments: &Arguments, number: usize) -> Span {
    let (trace, place) = (number / arguments.per_trace, number % arguments.per_trace);
    let id = |number: usize| (number as u64 + 1).to_be_bytes().to_vec();
    let is_last = place + 1 == arguments.per_trace;
    let is_failed = is_last && 0 < arguments.error_every && trace % arguments.error_every == 0;
    Span {
        trace_id: trace_id(&arguments.prefix, trace).to_vec(),
        span_id: id(number),
        parent_span_id: if place == 0 { Vec::new() } else { id(number - place) },
        name: "GET /cart".into(),
        start_time_unix_nano: now_ns(),
        end_time_unix_nano: now_ns() + 1_000_000,
        attributes: vec![id_of(arguments, number)],
        status: is_failed.then(|| Status { code: 2, ..Status::default() }),
        ..Span::default()
    }
}

fn metrics(arguments: &Arguments, round: Range<usize>) -> ExportMetricsServiceRequest {
    let points = round.map(|number| NumberDataPoint {
        attributes: vec![id_of(arguments, number)],
        time_unix_nano: now_ns(),
        value: Some(Number::AsInt(1)),
        ..NumberDataPoint::default()
    });
    let data = Some(Data::Gauge(Gauge { data_points: points.collect() }));
    let metric = Metric { name: "e2e.items".into(), data, ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource = Some(resource(arguments));
    let metrics = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
}

fn logs(arguments: &Arguments, round: Range<usize>) -> ExportLogsServiceRequest {
    let records = round.map(|number| LogRecord {
        time_unix_nano: now_ns(),
        body: Some(AnyValue { value: Some(Value::StringValue("a line".into())) }),
        attributes: vec![id_of(arguments, number)],
        ..LogRecord::default()
    });
    let scope_logs = vec![ScopeLogs { log_records: records.collect(), ..ScopeLogs::default() }];
    let resource = Some(resource(arguments));
    let logs = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![logs] }
}

fn resource(arguments: &Arguments) -> Resource {
    let claims = arguments.claim.iter().filter_map(|claim| claim.split_once('='));
    let service = attribute("service.name", "e2e-app");
    let attributes = claims.map(|(key, value)| attribute(key, value)).chain([service]).collect();
    Resource { attributes, ..Resource::default() }
}

fn id_of(arguments: &Arguments, number: usize) -> KeyValue {
    attribute("e2e.id", &format!("{}-{number}", arguments.prefix))
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// Distinct for each prefix and number. Its second half is as good as random, which consistent
/// sampling asks for: the claims compute it too.
fn trace_id(prefix: &str, number: usize) -> [u8; 16] {
    let hash = prefix.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // SplitMix64.
    let mut mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&hash.to_be_bytes());
    id[8..].copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    id
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
