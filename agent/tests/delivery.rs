//! Every id that was accepted arrives, whatever the destination or the config does meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use sluice_agent::Running;
use sluice_engine::books::{Dropped, total};
use sluice_engine::config::{Compression, OnFull, Protocol};
use sluice_wire::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::client::{Grpc, frame, post};
use support::oracle::{Mood, Oracle};
use support::*;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Channel;

async fn client(running: &Running) -> TraceServiceClient<Channel> {
    TraceServiceClient::connect(format!("http://{}", running.grpc_address())).await.unwrap()
}

fn all(count: u64) -> BTreeSet<u64> {
    (0..count).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_arrives_over_grpc() {
    let (oracle, address) = Oracle::start().await;
    let destination = otlp(address, Protocol::Grpc, Compression::None);
    let (running, _folder) = run(config_to(&[("shop/tempo", destination)])).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let bodies = [
        (Signal::Traces, traces(0..50, &[]).encode_to_vec()),
        (Signal::Metrics, metrics(50..70).encode_to_vec()),
        (Signal::Logs, logs(70..100).encode_to_vec()),
    ];
    for (signal, body) in bodies {
        let status = grpc.call(signal.grpc_path(), &[], frame(false, &body)).await;
        assert_eq!(status.code, 0, "{signal}: {}", status.message);
    }
    let books = stop(running).await;
    assert_eq!(oracle.ids(), all(100));
    assert_eq!(books.receivers[&Signal::Metrics].accepted, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_and_protocol_between_two_collectors_keeps_every_id() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (oracle, address) = Oracle::start().await;
            let destination = otlp(address, Protocol::Grpc, Compression::None);
            let (second, _kept) = run(config_to(&[("shop/tempo", destination)])).await;
            let address = match protocol {
                Protocol::Grpc => second.grpc_address(),
                Protocol::Http => second.http_address().unwrap(),
            };
            let destination = otlp(address, protocol, compression);
            let (first, _kept_too) = run(config_to(&[("shop/second", destination)])).await;
            let mut client = client(&first).await;
            for start in 0..20 {
                let ids = start * 100..start * 100 + 100;
                client.export(traces(ids, &[("service.name", "cart")])).await.unwrap();
            }
            stop(first).await;
            stop(second).await;
            assert_eq!(oracle.ids(), all(2000), "{protocol:?} {compression:?}");
            assert_eq!(oracle.resource.lock().unwrap()["service.name"], "cart");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_protobuf_over_http_end_in_the_same_file() {
    let (running, folder) = run(config_to(&[("shop/file", file("out"))])).await;
    let address = running.http_address().unwrap();
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"from json",
        "traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}]}]}]}"#;
    let answer = post(address, "/v1/traces", &[("content-type", "application/json")], json).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    let body = traces(0..1, &[]).encode_to_vec();
    let answer =
        post(address, "/v1/traces", &[("content-type", "application/x-protobuf")], body).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    stop(running).await;
    let lines = std::fs::read_to_string(folder.path().join("out/traces.jsonl")).unwrap();
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(lines.contains("from json") && lines.contains("GET /cart"), "{lines}");
    assert!(lines.contains("5b8efff798038103d269b633813fc60c"), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_comes_back_gets_everything() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let destination = otlp(address, Protocol::Grpc, Compression::None);
    let (running, _folder) = run(config_to(&[("shop/tempo", destination)])).await;
    let mut client = client(&running).await;
    for id in 0..20 {
        client.export(traces(id..id + 1, &[])).await.unwrap();
    }
    let failing = || running.queues().values().any(|queue| queue.failure.is_some());
    until("the failure shows", failing).await;
    running.books().check().unwrap();
    let oracle = Oracle::serve(TcpListener::bind(address).await.unwrap());
    until("everything arrives", || oracle.ids() == all(20)).await;
    until("the failure is over", || !failing()).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_refuses_for_a_while_gets_everything() {
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Unauthenticated] {
        let (oracle, address) = Oracle::start().await;
        oracle.set(Mood { refuses: Some(code), ..Mood::default() });
        let destination = otlp(address, Protocol::Grpc, Compression::None);
        let (running, _folder) = run(config_to(&[("shop/tempo", destination)])).await;
        client(&running).await.export(traces(0..10, &[])).await.unwrap();
        until("it is tried again", || 2 < oracle.requests()).await;
        oracle.set(Mood::default());
        stop(running).await;
        assert_eq!(oracle.ids(), all(10), "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_destination_refuses_for_good_is_counted() {
    let (oracle, address) = Oracle::start().await;
    let destination = otlp(address, Protocol::Grpc, Compression::None);
    let (running, _folder) = run(config_to(&[("shop/tempo", destination)])).await;
    oracle.set(Mood { refuses: Some(Code::InvalidArgument), ..Mood::default() });
    let mut client = client(&running).await;
    client.export(traces(0..10, &[])).await.unwrap();
    let dropped = || {
        let books = running.books();
        books.destinations.values().map(|book| total(&book.dropped)).sum::<u64>()
    };
    until("all are dropped", || dropped() == 10).await;
    oracle.set(Mood { rejects: 3, ..Mood::default() });
    client.export(traces(10..20, &[])).await.unwrap();
    let books = stop(running).await;
    let book = books.destinations.values().find(|book| 0 < book.queued).unwrap();
    assert_eq!((book.sent, book.dropped[&Dropped::Rejected]), (7, 13));
    assert_eq!(oracle.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_destination_does_not_stall_another() {
    let (slow, slow_address) = Oracle::start().await;
    let (quick, quick_address) = Oracle::start().await;
    slow.set(Mood { hangs: true, ..Mood::default() });
    let (running, _folder) = run(config_to(&[
        ("shop/quick", otlp(quick_address, Protocol::Grpc, Compression::None)),
        ("shop/slow", otlp(slow_address, Protocol::Grpc, Compression::None)),
    ]))
    .await;
    let mut client = client(&running).await;
    for id in 0..50 {
        client.export(traces(id..id + 1, &[])).await.unwrap();
    }
    until("the quick one has everything", || quick.ids() == all(50)).await;
    let books = running.stop(Duration::from_millis(400)).await;
    books.check().unwrap();
    let lost: u64 = books.destinations.values().map(|book| total(&book.dropped)).sum();
    assert_eq!(lost, 50, "what the slow one never took is dropped by the shutdown");
    assert!(books.destinations.values().all(|book| book.held == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn adopting_configs_under_load_loses_nothing() {
    let (oracle, address) = Oracle::start().await;
    let destination = otlp(address, Protocol::Grpc, Compression::None);
    let config = config_to(&[("shop/tempo", destination.clone())]);
    let (running, _folder) = run(config.clone()).await;
    let mut client = client(&running).await;
    let mut other = config_to(&[("shop/renamed", destination)]);
    other.batch.items = 7;
    let (accepted, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, end) = (Arc::clone(&accepted), Arc::clone(&enough));
    let sending = tokio::spawn(async move {
        while !end.load(Ordering::Relaxed) {
            let id = count.load(Ordering::Relaxed);
            client.export(traces(id..id + 1, &[])).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    for turn in 0..20 {
        let before = accepted.load(Ordering::Relaxed);
        until("more is accepted", || before + 5 < accepted.load(Ordering::Relaxed)).await;
        let next = if turn % 2 == 0 { other.clone() } else { config.clone() };
        running.adopt(next).await.unwrap();
        running.books().check().unwrap();
    }
    enough.store(true, Ordering::Relaxed);
    sending.await.unwrap();
    let books = stop(running).await;
    let sent = accepted.load(Ordering::Relaxed);
    assert_eq!(oracle.ids(), all(sent));
    assert_eq!(books.destinations.values().map(|book| book.sent).sum::<u64>(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_cannot_run_changes_nothing() {
    let (oracle, address) = Oracle::start().await;
    let destination = otlp(address, Protocol::Grpc, Compression::None);
    let (running, _folder) = run(config_to(&[("shop/tempo", destination)])).await;
    let mut broken = config();
    broken.pipelines.insert("shop/shop".into(), pipeline(&["shop/absent".into()]));
    let error = running.adopt(broken).await.unwrap_err();
    assert!(error.to_string().contains("shop/absent"), "{error}");
    client(&running).await.export(traces(0..5, &[])).await.unwrap();
    stop(running).await;
    assert_eq!(oracle.ids(), all(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_ports_are_listened_on_and_old_ones_are_not() {
    let (running, _folder) = run(config()).await;
    let before = running.grpc_address();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut other = config();
    other.receivers.grpc_port = port;
    running.adopt(other).await.unwrap();
    assert_eq!(running.grpc_address().port(), port);
    client(&running).await.export(traces(0..1, &[])).await.unwrap();
    until("the old port is closed", || std::net::TcpStream::connect(before).is_err()).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_queue_sends_the_source_away_until_there_is_room() {
    let (oracle, address) = Oracle::start().await;
    oracle.set(Mood { refuses: Some(Code::Unavailable), ..Mood::default() });
    let mut config = config_to(&[("shop/tempo", otlp(address, Protocol::Grpc, Compression::None))]);
    let delivery = &mut config.pipelines.get_mut("shop/shop").unwrap().delivery;
    delivery.on_full = OnFull::Block;
    delivery.queue_bytes_max = 2000;
    let (running, _folder) = run(config).await;
    let mut client = client(&running).await;
    let mut refused = None;
    for id in 0..50 {
        if let Err(status) = client.export(traces(id..id + 1, &[])).await {
            refused = Some((id, status));
            break;
        }
    }
    let (id, status) = refused.expect("a queue of 2000 bytes is full before 50 requests");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.details().is_empty(), "a retryable refusal says when to come back");
    oracle.set(Mood::default());
    for id in id..50 {
        while client.export(traces(id..id + 1, &[])).await.is_err() {
            let held = || running.books().destinations.values().map(|book| book.held).sum::<u64>();
            until("there is room", || held() == 0).await;
        }
    }
    let books = stop(running).await;
    assert_eq!(oracle.ids(), all(50));
    let book = &books.receivers[&Signal::Traces];
    assert_eq!(book.accepted, 50);
    assert!(0 < total(&book.refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_pipeline_wants_is_counted() {
    let (running, _folder) = run(config()).await;
    client(&running).await.export(traces(0..5, &[])).await.unwrap();
    let books = stop(running).await;
    let book = &books.pipelines[&(String::new(), Signal::Traces)];
    assert_eq!(book.dropped[&Dropped::NoPipeline], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_larger_than_a_batch_arrives_in_pieces() {
    let (oracle, address) = Oracle::start().await;
    let mut config = config_to(&[("shop/tempo", otlp(address, Protocol::Grpc, Compression::None))]);
    config.batch.bytes_max = 5000;
    let (running, _folder) = run(config).await;
    client(&running).await.export(traces(0..1000, &[])).await.unwrap();
    stop(running).await;
    assert_eq!(oracle.ids(), all(1000));
    assert!(10 < oracle.requests());
}
