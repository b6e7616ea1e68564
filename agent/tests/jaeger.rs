//! An SDK with a Jaeger remote sampler takes its rate from the agent: its spans say what they stand
//! for, and nothing thins them again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use ::http::uri::PathAndQuery;
use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sluice_agent::pods::PodTable;
use sluice_agent::{Guard, Role, Running, Senders, Settings, Trust, start};
use sluice_engine::books::{Books, SampledOut};
use sluice_engine::config::sampling::{Head, Policy};
use sluice_engine::config::{Config, JaegerRemoteSampling};
use sluice_engine::ring::{Member, Ring, SLOTS};
use sluice_engine::sender::Pod;
use sluice_wire::Signal;
use sluice_wire::sampling::Sampling;
use std::net::{Ipv4Addr, SocketAddr};
use support::client::{Grpc, frame, get, post};
use support::oracle::Oracle;
use support::sampling::*;
use support::*;

const TRACES: u64 = 20_000;
/// What one tenth is as a rate: exactly the part that `ot=th:e666` stands for.
const TENTH_RATE: f64 = 1.0 - TENTH as f64 / (1_u64 << 56) as f64;
const METHOD: &str = "/jaeger.api_v2.SamplingManager/GetSamplingStrategy";

/// As Jaeger's IDL has them, read by prost.
#[derive(Clone, PartialEq, Message)]
struct Parameters {
    #[prost(string, tag = "1")]
    service_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Strategy {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(message, optional, tag = "2")]
    probabilistic: Option<Probabilistic>,
}

#[derive(Clone, PartialEq, Message)]
struct Probabilistic {
    #[prost(double, tag = "1")]
    rate: f64,
}

/// A tenth at the head; what the tail keeps of it is in parts per million of all traces.
fn headed(default_ppm: u32) -> Policy {
    let head = Some(Head { keep_ppm: Some(100_000), rate: None });
    let default_ppm = Some(default_ppm);
    Policy { head, default_ppm, keep: Vec::new(), limit: Vec::new(), ..policy() }
}

fn asked(destination: SocketAddr, policy: Policy) -> Config {
    let mut config = config_with(destination, sampling(policy, 10));
    config.receivers.jaeger_remote_sampling =
        Some(JaegerRemoteSampling { grpc_port: 0, http_port: 0 });
    config
}

/// A collector that knows whoever comes from this machine as a pod of `shop`.
async fn run_for_pods(config: Config) -> (Running, tempfile::TempDir) {
    run_as(Role::Agent(Trust::Nothing), config).await
}

async fn run_as(role: Role, config: Config) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let table = PodTable::default();
    let pod = Pod { namespace: "shop".into(), uid: "1b9d".into(), ..Pod::default() };
    table.put(pod, vec![Ipv4Addr::LOCALHOST.into()]);
    let settings = Settings { role, senders: Senders::Pods(table), ..settings(&folder) };
    (start(config, settings).await.unwrap(), folder)
}

async fn ask_http(running: &Running, service: &str) -> f64 {
    let address = running.sampling_http_address().unwrap();
    let answer = get(address, &format!("/sampling?service={service}")).await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said["strategyType"], "PROBABILISTIC");
    said["probabilisticSampling"]["samplingRate"].as_f64().unwrap()
}

async fn ask_grpc(running: &Running, service: &str) -> Result<f64, tonic::Status> {
    let address = running.sampling_grpc_address().unwrap();
    let channel = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Parameters, Strategy>::default();
    let request = tonic::Request::new(Parameters { service_name: service.to_owned() });
    let answer = client.unary(request, PathAndQuery::from_static(METHOD), codec).await?;
    let Strategy { kind, probabilistic } = answer.into_inner();
    assert_eq!(kind, 0, "probabilistic");
    Ok(probabilistic.unwrap().rate)
}

/// What the SDK of Go keeps, of two spans each.
fn kept_by_the_sdk(rate: f64) -> Vec<Span> {
    let bound = (rate * 2_f64.powi(63)) as u64;
    let kept = (0..TRACES).map(trace_id).filter(|trace| *trace as u64 >> 1 < bound);
    kept.flat_map(|trace| [span(trace, 0), span(trace, 1)]).collect()
}

async fn send_all(running: &Running, spans: &[Span]) {
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    for some in spans.chunks(500) {
        send(&mut grpc, some.to_vec()).await;
    }
}

async fn decided(running: &Running) {
    let tail = running.tail().unwrap();
    until("everything is decided", || tail.open_traces() == 0).await;
}

fn sampled_out(books: &Books, rule: SampledOut) -> u64 {
    let book = &books.pipelines[&("shop/shop".to_owned(), Signal::Traces)];
    book.sampled_out.get(&rule).copied().unwrap_or_default()
}

/// What all that arrived stands for, in traces; each span bears a randomness that reaches its
/// threshold.
fn estimate(oracle: &Oracle) -> f64 {
    let spans = oracle.spans();
    let counts = spans.iter().map(|span| {
        let said = Sampling::of(&[], span.trace_state.as_bytes());
        let threshold = said.threshold.unwrap();
        assert!(threshold.keeps(said.randomness.unwrap()), "{}", span.trace_state);
        0.5 / threshold.probability()
    });
    counts.sum()
}

#[track_caller]
fn check_count(found: f64, kept: f64) {
    let error = (TRACES as f64 * (1.0 - kept) / kept).sqrt();
    let off = (found - TRACES as f64) / error;
    assert!(off.abs() < 4.0, "{found} of {TRACES} is {off} standard errors off");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_kept_is_not_thinned_again_and_counts_for_ten() {
    let (oracle, address) = Oracle::start().await;
    let (running, _folder) = run_for_pods(asked(address, headed(1_000_000))).await;
    let rate = ask_http(&running, "cart").await;
    assert_eq!(rate, TENTH_RATE);
    assert_eq!(ask_grpc(&running, "cart").await.unwrap(), rate);
    let spans = kept_by_the_sdk(rate);
    send_all(&running, &spans).await;
    until("all arrive", || oracle.spans().len() == spans.len()).await;
    let books = stop(running).await;
    assert_eq!(sampled_out(&books, SampledOut::Head), 0);
    assert!(oracle.spans().iter().all(|span| span.trace_state.starts_with("ot=th:e666;rv:")));
    check_count(estimate(&oracle), 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_keeps_a_twentieth_of_all_traces_of_what_the_sdk_kept() {
    let (oracle, address) = Oracle::start().await;
    let (running, _folder) = run_for_pods(asked(address, headed(50_000))).await;
    let rate = ask_grpc(&running, "cart").await.unwrap();
    send_all(&running, &kept_by_the_sdk(rate)).await;
    decided(&running).await;
    let books = stop(running).await;
    assert_eq!(sampled_out(&books, SampledOut::Head), 0);
    let kept = oracle.spans().len() as f64 / 2.0 / TRACES as f64;
    let error = (0.05_f64 * 0.95 / TRACES as f64).sqrt();
    assert!((kept - 0.05).abs() < 4.0 * error, "{kept} kept");
    check_count(estimate(&oracle), 0.05);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_count_what_agents_marked() {
    let (oracle, address) = Oracle::start().await;
    let mut config = asked(address, headed(50_000));
    config.gateway.needed = true;
    config.gateway.limiter = config.limiter.clone();
    let (name, guard, trust) = ("g".to_owned(), Guard::open(), Trust::Nothing);
    let gateway = Role::Gateway { name, guard, trust };
    let (gateway, _of_gateway) = run_as(gateway, config.clone()).await;
    assert_eq!(gateway.sampling_http_address(), None, "agents are asked");
    let (agent, _of_agent) = run_for_pods(config).await;
    let address = gateway.grpc_address().to_string();
    let member = Member { name: "a".into(), address };
    agent.set_ring(Ring::new(1, vec![member], vec![0; SLOTS]).unwrap()).await.unwrap();
    let spans = kept_by_the_sdk(ask_http(&agent, "cart").await);
    send_all(&agent, &spans).await;
    stop(agent).await;
    decided(&gateway).await;
    let books = stop(gateway).await;
    assert_eq!(sampled_out(&books, SampledOut::Head), 0);
    assert_eq!(books.receivers[&Signal::Traces].accepted, spans.len() as u64);
    check_count(estimate(&oracle), 0.05);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_head_all_is_to_be_kept() {
    let (_, address) = Oracle::start().await;
    let policy = Policy { head: None, ..headed(50_000) };
    let (running, _folder) = run_for_pods(asked(address, policy)).await;
    assert_eq!(ask_http(&running, "cart").await, 1.0);
    let others = Policy { scope: Default::default(), ..headed(50_000) };
    running.adopt(asked(address, others)).await.unwrap();
    assert_eq!(ask_http(&running, "cart").await, TENTH_RATE, "of a policy for all namespaces");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_local_mode_a_service_is_where_its_spans_say() {
    let (oracle, address) = Oracle::start().await;
    let (running, _folder) = run(asked(address, headed(1_000_000))).await;
    assert_eq!(ask_http(&running, "cart").await, 1.0, "nothing is known of it");
    send_all(&running, &[span(trace_id(0), 0)]).await;
    assert_eq!(ask_http(&running, "cart").await, TENTH_RATE);
    assert_eq!(ask_http(&running, "card").await, 1.0);
    decided(&running).await;
    stop(running).await;
    assert!(oracle.spans().len() <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_wrongly_is_told_how_and_nothing_of_it_is_in_the_books() {
    let (_, address) = Oracle::start().await;
    let (running, _folder) = run_for_pods(asked(address, headed(50_000))).await;
    let http = running.sampling_http_address().unwrap();
    let long = format!("/sampling?service={}", "x".repeat(257));
    for (path, status, advice) in [
        ("/sampling", 400, "?service=NAME"),
        ("/sampling?service=", 400, "?service=NAME"),
        ("/sampling?service=a&service=b", 400, "?service=NAME"),
        (&long, 400, "256 bytes"),
        ("/v1/traces", 404, "/sampling?service=NAME"),
    ] {
        let answer = get(http, path).await;
        let said = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(answer.status == status && said.contains(advice), "{path}: {said}");
    }
    assert_eq!(post(http, "/sampling?service=cart", &[], "").await.status, 405);
    let old = get(http, "/?service=cart").await;
    assert!(old.body.starts_with(br#"{"strategyType":0,"#), "as before Thrift 0.9.3");
    assert_eq!(get(http, "/api/sampling?service=cart").await.status, 200);

    let refused = ask_grpc(&running, "").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("serviceName"), "{refused}");
    let mut grpc = Grpc::connect(running.sampling_grpc_address().unwrap()).await;
    let otlp = grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &[])).await;
    assert_eq!((otlp.code, otlp.message.contains("GetSamplingStrategy")), (12, true));
    let large = grpc.call(METHOD, &[], frame(false, &[0; 5000])).await;
    assert_eq!(large.code, 8);
    let mut otlp = Grpc::connect(running.grpc_address()).await;
    assert_eq!(otlp.call(METHOD, &[], Bytes::new()).await.code, 12);

    let text = get(running.metrics_address(), "/metrics").await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    for line in ["sluice_remote_sampling_answers_total 2", "sluice_remote_sampling_services 1"] {
        assert!(text.contains(line), "{text}");
    }
    let books = stop(running).await;
    assert!(books.receivers.values().all(|book| book.offered == 0), "{books:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_open_and_close_with_the_config() {
    let (_, address) = Oracle::start().await;
    let config = asked(address, headed(50_000));
    let mut without = config.clone();
    without.receivers.jaeger_remote_sampling = None;
    let (running, _folder) = run_for_pods(without.clone()).await;
    assert_eq!(running.sampling_http_address(), None);
    running.adopt(config).await.unwrap();
    let http = running.sampling_http_address().unwrap();
    assert_eq!(ask_http(&running, "cart").await, TENTH_RATE);
    running.adopt(without).await.unwrap();
    assert_eq!(running.sampling_grpc_address(), None);
    until("the port is closed", || std::net::TcpStream::connect(http).is_err()).await;
    stop(running).await;
}
