//! Credentials arrive as the header that was asked for, and are shown to nobody else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use sluice_agent::cluster::{RunArguments, run as run_agent};
use sluice_agent::{FailureReason, Running, Settings, start};
use sluice_engine::config::{Auth, Compression, Destination, DestinationKind, Protocol};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::client::post;
use support::operator::{Operator, arguments, assignment};
use support::oracle::{Mood, Oracle};
use support::vault::{Vault, key, name};
use support::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

async fn oracle(protocol: Protocol) -> (Oracle, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let oracle = match protocol {
        Protocol::Grpc => Oracle::serve(listener),
        Protocol::Http => support::http::serve(TcpListenerStream::new(listener)),
    };
    (oracle, address)
}

fn with_auth(address: SocketAddr, protocol: Protocol, auth: Auth) -> Destination {
    Destination { auth, ..otlp(address, protocol, Compression::None) }
}

async fn run_to(destination: Destination, vault: &Vault) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { secrets: vault.secrets.clone(), ..settings(&folder) };
    let config = config_to(&[("shop/tempo", destination)]);
    (start(config, settings).await.unwrap(), folder)
}

async fn send(collector: SocketAddr, ids: std::ops::Range<u64>) {
    let address = format!("http://{collector}");
    let mut client = TraceServiceClient::connect(address).await.unwrap();
    client.export(traces(ids, &[])).await.unwrap();
}

fn refuses() -> Mood {
    Mood { refuses: Some(Code::Unauthenticated), ..Mood::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_arrive_as_the_header_that_was_asked_for() {
    let secret = || Auth::Header { name: "x-api-key".into(), value: key("vendor", "token") };
    let vault = Vault::of_cluster();
    let data = [("username", "alice"), ("password", "open sesame"), ("token", "t0ken\n")];
    vault.put("vendor", &data);
    for protocol in BOTH {
        let cases = [
            (Auth::None, "authorization", ""),
            (Auth::Bearer(key("vendor", "token")), "authorization", "Bearer t0ken"),
            (Auth::Basic(name("vendor")), "authorization", "Basic YWxpY2U6b3BlbiBzZXNhbWU="),
            (secret(), "x-api-key", "t0ken"),
            (secret(), "authorization", ""),
        ];
        for (auth, header, expected) in cases {
            let (oracle, address) = oracle(protocol).await;
            let (running, _folder) = run_to(with_auth(address, protocol, auth), &vault).await;
            send(running.grpc_address(), 0..5).await;
            stop(running).await;
            assert_eq!(oracle.ids(), (0..5).collect());
            assert_eq!(oracle.header(header), expected, "{protocol:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_the_tenant_arrive_as_they_are_written() {
    for protocol in BOTH {
        let (oracle, address) = oracle(protocol).await;
        let mut destination = with_auth(address, protocol, Auth::None);
        destination.headers.insert("X-Team".into(), "check out, please".into());
        let endpoint = address.to_string();
        destination.kind = DestinationKind::Otlp { endpoint, protocol, tenant: "shop".into() };
        let (running, _folder) = run_to(destination, &Vault::of_cluster()).await;
        send(running.grpc_address(), 0..5).await;
        stop(running).await;
        assert_eq!(oracle.ids(), (0..5).collect());
        assert_eq!(oracle.header("x-team"), "check out, please", "{protocol:?}");
        assert_eq!(oracle.header("x-scope-orgid"), "shop", "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_token_is_shown_with_the_next_request() {
    for protocol in BOTH {
        for vault in [Vault::of_cluster(), Vault::of_folder()] {
            let (oracle, address) = oracle(protocol).await;
            vault.put("vendor", &[("token", "first")]);
            let auth = Auth::Bearer(key("vendor", "token"));
            let (running, _folder) = run_to(with_auth(address, protocol, auth), &vault).await;
            send(running.grpc_address(), 0..1).await;
            until("the first arrives", || oracle.ids().len() == 1).await;
            assert_eq!(oracle.header("authorization"), "Bearer first");
            vault.put("vendor", &[("token", "second")]);
            send(running.grpc_address(), 1..2).await;
            until("the second arrives", || oracle.ids().len() == 2).await;
            assert_eq!(oracle.header("authorization"), "Bearer second", "{protocol:?}");
            stop(running).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_holds_everything_and_asks_for_another() {
    for protocol in BOTH {
        let (oracle, address) = oracle(protocol).await;
        oracle.set(refuses());
        let vault = Vault::of_cluster();
        vault.put("vendor", &[("token", "old")]);
        let auth = Auth::Bearer(key("vendor", "token"));
        let (running, _folder) = run_to(with_auth(address, protocol, auth), &vault).await;
        send(running.grpc_address(), 0..5).await;
        let asked = tokio::time::timeout(Duration::from_secs(10), vault.secrets.refresh_asked());
        asked.await.unwrap();
        let failure = || running.queues().into_values().find_map(|queue| queue.failure);
        until("the failure shows", || failure().is_some()).await;
        assert_eq!(failure().unwrap().reason, FailureReason::Unauthorized);
        assert_eq!(running.books().destinations.values().map(|book| book.held).sum::<u64>(), 5);
        vault.put("vendor", &[("token", "new")]);
        until("the new one is shown", || oracle.header("authorization") == "Bearer new").await;
        oracle.set(Mood::default());
        stop(running).await;
        assert_eq!(oracle.ids(), (0..5).collect(), "{protocol:?}");
    }
}

/// Everything that is logged at the level of production.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_a_peer_repeats_are_nowhere_in_what_the_agent_says() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).init();
    let vault = Vault::of_folder();
    vault.put("vendor", &[("username", "alice"), ("password", "s3same"), ("token", "t0ken\n")]);
    let auths = [
        Auth::Bearer(key("vendor", "token")),
        Auth::Basic(name("vendor")),
        Auth::Header { name: "x-api-key".into(), value: key("vendor", "token") },
    ];
    let mut destinations = Vec::new();
    for (protocol, auth) in BOTH.into_iter().flat_map(|end| auths.clone().map(|auth| (end, auth))) {
        let (oracle, address) = oracle(protocol).await;
        oracle.set(refuses());
        let name = format!("shop/{}", destinations.len());
        destinations.push((name, with_auth(address, protocol, auth)));
    }
    let named: Vec<_> = destinations.iter().map(|(name, end)| (&**name, end.clone())).collect();
    let mut config = config_to(&named);
    config.receivers.grpc_port = free_port();
    let collector = SocketAddr::from(([127, 0, 0, 1], config.receivers.grpc_port));
    let (operator, _tell, control) = Operator::start(assignment(7, &config)).await;
    let folder = tempfile::tempdir().unwrap();
    let metrics_port = free_port();
    let secrets_folder = vault.folder.as_ref().map(|folder| folder.path().to_owned());
    let agent = RunArguments { secrets_folder, metrics_port, ..arguments(folder.path(), control) };
    let agent = tokio::spawn(run_agent(agent));
    until("the config runs", || !operator.last().config_hash.is_empty()).await;
    send(collector, 0..5).await;
    let redacted = || {
        let books = operator.last().destinations;
        books.iter().filter(|book| book.failure_message.contains("[redacted]")).count()
    };
    until("each refusal is reported", || redacted() == destinations.len()).await;
    let metrics = SocketAddr::from(([127, 0, 0, 1], metrics_port));
    let metrics = post(metrics, "/metrics", &[], "").await.body;
    agent.abort();
    let reports = format!("{:?}", operator.reports.lock().unwrap());
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(destinations.len() <= logged.matches("[redacted]").count(), "{logged}");
    let said = [&reports, &logged, str::from_utf8(&metrics).unwrap()].concat();
    for credential in ["t0ken", "s3same", "YWxpY2U6czNzYW1l"] {
        assert!(!said.contains(credential), "{credential} in {said}");
    }
}
