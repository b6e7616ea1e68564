//! What is wrong, hostile or too much gets the answer of the OTLP specification, and is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use bytes::Bytes;
use flate2::write::GzEncoder;
use prost::Message;
use sluice_agent::decisions::Answer;
use sluice_engine::books::{Refused, total};
use sluice_engine::config::{Compression, Limiter, OnFull, Protocol};
use sluice_engine::limiter::Level;
use sluice_wire::Signal;
use sluice_wire::response::Status;
use std::io::Write;
use std::time::Duration;
use support::client::{Grpc, frame, post};
use support::oracle::{Mood, Oracle};
use support::sampling::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

/// Name, headers, body, status.
type HttpCase<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>, u16);
/// Name, path, headers, body, code.
type GrpcCase<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Bytes, i32);

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

/// An attribute whose value is a list in a list, and so on.
fn nested(depth: usize) -> Vec<u8> {
    let mut value = vec![0x0a, 0x01, b'x'];
    let field = |number: u8, payload: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(payload.len() as u64, &mut out);
        out.extend_from_slice(payload);
        out
    };
    for _ in 0..depth {
        value = field(5, &field(1, &value));
    }
    let attribute = [field(1, b"k"), field(2, &value)].concat();
    field(1, &field(1, &field(1, &attribute)))
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_http_requests_get_their_status() {
    let (running, _folder) = run(config()).await;
    let address = running.http_address().unwrap();
    let good = traces(0..3, &[]).encode_to_vec();
    let cut = good[..good.len() - 1].to_vec();
    let bomb = vec![0; 8 << 20];
    let cases: Vec<HttpCase<'_>> = vec![
        ("whole", vec![PROTOBUF], good.clone(), 200),
        ("cut off", vec![PROTOBUF], cut, 400),
        ("not protobuf", vec![PROTOBUF], b"hello".to_vec(), 400),
        ("not JSON", vec![JSON], b"{\"resourceSpans\":[".to_vec(), 400),
        ("JSON of another shape", vec![JSON], b"[1,2]".to_vec(), 400),
        ("nested too deep", vec![PROTOBUF], nested(100), 400),
        ("nested to the stack's end", vec![PROTOBUF], nested(5000), 400),
        ("no content type", vec![], good.clone(), 415),
        ("text", vec![("content-type", "text/plain")], good.clone(), 415),
        ("unknown codec", vec![PROTOBUF, ("content-encoding", "br")], good.clone(), 415),
        ("not gzip", vec![PROTOBUF, ("content-encoding", "gzip")], good.clone(), 400),
        ("not zstd", vec![PROTOBUF, ("content-encoding", "zstd")], good.clone(), 400),
        ("gzip bomb", vec![PROTOBUF, ("content-encoding", "gzip")], gzip(&bomb), 413),
        ("zstd bomb", vec![PROTOBUF, ("content-encoding", "zstd")], zstd(&bomb), 413),
        ("gzip", vec![PROTOBUF, ("content-encoding", "gzip")], gzip(&good), 200),
        ("zstd", vec![PROTOBUF, ("content-encoding", "zstd")], zstd(&good), 200),
        ("oversize", vec![PROTOBUF], vec![0; (1 << 20) + 1], 413),
    ];
    for (name, headers, body, expected) in cases {
        let answer = post(address, "/v1/traces", &headers, body).await;
        assert_eq!(answer.status, expected, "{name}");
        if expected != 200 {
            assert!(!answer.headers.contains_key("retry-after"), "{name} cannot succeed later");
        }
    }
    assert_eq!(post(address, "/v2/traces", &[PROTOBUF], good).await.status, 404);
    let books = stop(running).await;
    let book = &books.receivers[&Signal::Traces];
    assert_eq!(book.accepted, 9);
    assert_eq!(book.refused[&Refused::TooLarge], 3);
    assert_eq!(book.refused[&Refused::Unsupported], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_error_is_a_status_in_the_format_of_the_request() {
    let (running, _folder) = run(config()).await;
    let address = running.http_address().unwrap();
    let answer = post(address, "/v1/logs", &[PROTOBUF], "hello").await;
    assert_eq!(answer.headers["content-type"], "application/x-protobuf");
    assert_eq!(Status::from_protobuf(&answer.body).code, 3);
    let answer = post(address, "/v1/logs", &[JSON], "hello").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["code"], 3);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_grpc_requests_get_their_status() {
    let (running, _folder) = run(config()).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let path = Signal::Traces.grpc_path();
    let good = traces(0..3, &[]).encode_to_vec();
    let bomb = vec![0; 8 << 20];
    let long = Bytes::from([&[0, 0x7f, 0xff, 0xff, 0xff][..], &good].concat());
    let twice = Bytes::from([frame(false, &good), frame(false, &good)].concat());
    let gzip_named: &[(&str, &str)] = &[("grpc-encoding", "gzip")];
    let cases: Vec<GrpcCase<'_>> = vec![
        ("whole", path, &[], frame(false, &good), 0),
        ("unknown method", "/opentelemetry.Traces/Export", &[], frame(false, &good), 12),
        ("no message", path, &[], Bytes::new(), 3),
        ("half a prefix", path, &[], Bytes::from_static(&[0, 0]), 3),
        ("shorter than its prefix says", path, &[], frame(false, &good).slice(..40), 3),
        ("longer than its prefix says", path, &[], twice, 3),
        ("strange flag", path, &[], Bytes::from([&[7, 0, 0, 0, 1][..], b"x"].concat()), 3),
        ("not protobuf", path, &[], frame(false, b"hello"), 3),
        ("nested too deep", path, &[], frame(false, &nested(17)), 3),
        ("a prefix of 2 GiB", path, &[], long, 8),
        ("unknown codec", path, &[("grpc-encoding", "snappy")], frame(true, &good), 12),
        ("gzip", path, gzip_named, frame(true, &gzip(&good)), 0),
        ("said gzip, sent plain", path, gzip_named, frame(false, &good), 0),
        ("not gzip", path, gzip_named, frame(true, &good), 3),
        ("gzip bomb", path, gzip_named, frame(true, &gzip(&bomb)), 8),
        ("zstd bomb", path, &[("grpc-encoding", "zstd")], frame(true, &zstd(&bomb)), 8),
        ("oversize", path, &[], frame(false, &vec![0; (1 << 20) + 1]), 8),
    ];
    for (name, path, headers, body, expected) in cases {
        let status = grpc.call(path, headers, body).await;
        assert_eq!(status.code, expected, "{name}: {}", status.message);
        assert_eq!(status.retry_delay, None, "{name} cannot succeed later");
    }
    let books = stop(running).await;
    assert_eq!(books.receivers[&Signal::Traces].accepted, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_speak_http2_is_turned_away() {
    let (running, _folder) = run(config()).await;
    let mut stream = TcpStream::connect(running.grpc_address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer));
    assert!(closed.await.is_ok(), "the connection is still open");
    stop(running).await;
}

/// A destination that takes nothing, and a limiter that is small.
async fn pressed(limiter: Limiter) -> (sluice_agent::Running, tempfile::TempDir, Oracle) {
    let (oracle, address) = Oracle::start().await;
    oracle.set(Mood { refuses: Some(Code::Unavailable), ..Mood::default() });
    let mut config = config_to(&[("shop/tempo", otlp(address, Protocol::Grpc, Compression::None))]);
    config.limiter = limiter;
    config.pipelines.get_mut("shop/shop").unwrap().delivery.on_full = OnFull::DropNew;
    let (running, folder) = run(config).await;
    (running, folder, oracle)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_hard_limit_everything_is_refused_for_now() {
    // Hardly apart: between the two, traces are thinned the more the fuller it is.
    let limiter = Limiter { soft_bytes: 19_999, hard_bytes: 20_000, check_interval_ms: 20 };
    let (running, _folder, oracle) = pressed(limiter).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let body = traces(0..100, &[]).encode_to_vec();
    let mut accepted = 0;
    let status = loop {
        let status = grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &body)).await;
        if status.code != 0 {
            break status;
        }
        accepted += 1;
        assert!(accepted < 100, "a limit of 20 kB is reached before that");
    };
    assert_eq!(status.code, 14);
    assert!(status.retry_delay.is_some());
    let answer = post(running.http_address().unwrap(), "/v1/traces", &[PROTOBUF], body).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    running.books().check().unwrap();
    oracle.set(Mood::default());
    let books = stop(running).await;
    assert!(0 < books.receivers[&Signal::Traces].refused[&Refused::MemoryLimiter]);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_soft_and_hard_traces_are_thinned_and_logs_refused_in_part() {
    let limiter = Limiter { soft_bytes: 1000, hard_bytes: 1 << 20, check_interval_ms: 20 };
    let (running, _folder, oracle) = pressed(limiter).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let fill = logs(0..20_000).encode_to_vec();
    let status = grpc.call(Signal::Logs.grpc_path(), &[], frame(false, &fill)).await;
    assert_eq!(status.code, 0);
    until("the soft limit is passed", || running.memory_level() == Level::Soft).await;
    let spread = (0..1000_u64).map(|id| id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
    let mut request = traces(0..1000, &[]);
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    for (span, random) in spans.iter_mut().zip(spread) {
        span.trace_id[8..].copy_from_slice(&random.to_be_bytes());
    }
    let body = request.encode_to_vec();
    let status = grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &body)).await;
    assert_eq!(status.code, 0, "a part of a request cannot be refused");
    let small = logs(0..1).encode_to_vec();
    let mut refused = 0;
    for _ in 0..100 {
        let status = grpc.call(Signal::Logs.grpc_path(), &[], frame(false, &small)).await;
        refused += u32::from(status.code == 14);
    }
    assert!(0 < refused && refused < 100, "{refused} of 100");
    oracle.set(Mood::default());
    let books = stop(running).await;
    let thinned: u64 = books.pipelines.values().map(|book| total(&book.sampled_out)).sum();
    assert!(0 < thinned && thinned < 1000, "{thinned} of 1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_connections_are_told_to_go_and_lose_nothing() {
    let (oracle, address) = Oracle::start().await;
    let mut config = config_to(&[("shop/tempo", otlp(address, Protocol::Grpc, Compression::None))]);
    config.receivers.grpc_connection_age_max_ms = 100;
    let (running, _folder) = run(config).await;
    let (mut id, mut closed) = (0, 0);
    while closed < 3 {
        let mut grpc = Grpc::connect(running.grpc_address()).await;
        // As clients do: what was not answered is sent again on the next connection.
        loop {
            let body = frame(false, &traces(id..id + 1, &[]).encode_to_vec());
            let path = Signal::Traces.grpc_path();
            let Ok(status) = grpc.try_call(path, &[], body).await else { break };
            assert_eq!(status.code, 0);
            id += 1;
        }
        closed += 1;
    }
    assert!(3 < id, "{id} requests over three connections");
    stop(running).await;
    let arrived = oracle.ids();
    assert!((0..id).all(|id| arrived.contains(&id)), "{} of {id} arrived", arrived.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_shows_the_books_and_the_state() {
    let (running, _folder) = run(config()).await;
    let body = traces(0..4, &[]).encode_to_vec();
    post(running.http_address().unwrap(), "/v1/traces", &[PROTOBUF], body).await;
    let address = running.metrics_address();
    let text = post(address, "/metrics", &[], "").await;
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    assert!(text.contains("sluice_received_items_total{signal=\"traces\"} 4"), "{text}");
    assert!(text.contains("reason=\"no_pipeline\""), "{text}");
    assert_eq!(post(address, "/readyz", &[], "").await.status, 200);
    assert_eq!(post(address, "/healthz", &[], "").await.status, 200);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_shows_policies_and_what_became_of_a_trace() {
    let (_oracle, destination) = Oracle::start().await;
    let (running, _folder) = run(config_with(destination, sampling(policy(), FOREVER_MS))).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let (broken, open) = (trace_id(1), trace_id(2));
    send(&mut grpc, vec![failed(span(broken, 0)), span(open, 0)]).await;
    let address = running.metrics_address();
    let get = async |path: String| {
        let answer = post(address, &path, &[], "").await;
        (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
    };
    let (_, text) = get("/metrics".into()).await;
    for line in [
        "sluice_tail_open_traces 1",
        "sluice_tail_late_spans_total 0",
        "sluice_tail_traces_total{fate=\"kept\",policy=\"shop/shop\"} 1",
        "sluice_tail_error_traces_total{fate=\"sampled_out\",policy=\"shop/shop\"} 0",
        "sluice_tail_early_traces_total{policy=\"shop/shop\"} 0",
        "sluice_tail_would_keep_traces_total{policy=\"shop/shop\"} 0",
        "sluice_pipeline_held_items{pipeline=\"shop/shop\",signal=\"traces\"}",
        "sluice_memory_held_bytes",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    let (status, text) = get(format!("/decisions/{broken:032x}")).await;
    let Answer::Decided(decision) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
    assert_eq!((status, decision.is_kept, decision.spans), (200, true, 1));
    assert_eq!((decision.probability, decision.rule.as_deref()), (1.0, Some("shop/shop/errors")));
    assert_eq!(get(format!("/decisions/{open:x}")).await, (200, r#"{"state":"open"}"#.into()));
    assert_eq!(get("/decisions/7".into()).await, (200, r#"{"state":"unknown"}"#.into()));
    for wrong in ["", "0", "xyz", "+7", "123456789012345678901234567890123"] {
        assert_eq!(get(format!("/decisions/{wrong}")).await.0, 400, "{wrong}");
    }
    stop(running).await;
}
