//! `sluice run --demo` as a person runs it: the files hold what the shop sent, each item once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use support::{Done, folder, manifests, sluice};

const SEED: u64 = 42;

fn run_demo(to: &Path, more: &[&str]) -> Done {
    let (quickstart, to) = (manifests("quickstart"), to.to_str().unwrap());
    let ports = ["--grpc-port", "0", "--http-port", "0"];
    let demo = ["run", "--demo", "--seed", "42", "--for", "3s", "--rate", "50", "--to", to];
    sluice(&[&demo[..], &ports, more, &[quickstart.to_str().unwrap()]].concat())
}

/// The documented ids of the demo: SplitMix64 from a seed.
fn ids(mut state: u64, count: u64) -> BTreeSet<String> {
    let next = |_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        format!("{:016x}", mixed ^ (mixed >> 31))
    };
    (0..count).map(next).collect()
}

/// Every export in a file of OTLP JSON lines.
fn exports(to: &Path, signal: &str) -> Vec<Value> {
    let path = to.join("sluice-system/files").join(format!("{signal}.jsonl"));
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything of this name below a value, in order.
fn all<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == name {
                    found.push(value);
                }
                all(value, name, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, name, found)),
        _ => {}
    }
}

fn below<'a>(values: &'a [Value], name: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    values.iter().for_each(|value| all(value, name, &mut found));
    found
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let attributes = of["attributes"].as_array()?;
    let found = attributes.iter().find(|attribute| attribute["key"] == key)?;
    Some(found["value"]["stringValue"].as_str()?.to_owned())
}

#[test]
fn the_files_hold_every_id_that_the_demo_sent() {
    let folder = tempfile::tempdir().unwrap();
    let done = run_demo(folder.path(), &["--json"]);
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    let lines: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["balanced"], true);
    assert_eq!(summary["demo"]["refused"], 0);
    let sent = |signal: &str| summary["demo"][signal].as_u64().unwrap();
    assert!(sent("traces") > 100 && sent("logs") > 50 && sent("metrics") > 10, "{summary}");

    let traces = exports(folder.path(), "traces");
    let found: Vec<_> =
        below(&traces, "spanId").into_iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(found.len() as u64, sent("traces"), "spans, each once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), ids(SEED, sent("traces")));

    let logs = exports(folder.path(), "logs");
    let records: Vec<_> =
        below(&logs, "logRecords").into_iter().flat_map(|list| list.as_array().unwrap()).collect();
    assert_eq!(records.len() as u64, sent("logs"), "records, each once");
    let found = records.iter().filter_map(|record| attribute(record, "log.record.uid"));
    assert_eq!(found.collect::<BTreeSet<_>>(), ids(!SEED, sent("logs")));

    let metrics = exports(folder.path(), "metrics");
    let points: usize =
        below(&metrics, "dataPoints").into_iter().map(|list| list.as_array().unwrap().len()).sum();
    assert_eq!(points as u64, sent("metrics"));
    for resource in below(&[traces, logs, metrics].concat(), "resource") {
        assert_eq!(attribute(resource, "team").as_deref(), Some("shop"));
        assert_eq!(attribute(resource, "k8s.cluster.name").as_deref(), Some("quickstart"));
    }
}

#[test]
fn people_see_each_second_the_conditions_and_the_books() {
    let folder = tempfile::tempdir().unwrap();
    let done = run_demo(folder.path(), &[]);
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    for expected in [
        "Collector default takes OTLP over gRPC on 127.0.0.1:",
        "shop/shop sends traces to sluice-system/files: ",
        "TelemetryPipeline shop/shop: Ready=True Reconciled",
        "2s  shop/shop logs: accepted ",
        " queued = ",
        "The books balance.",
    ] {
        assert!(done.stdout.contains(expected), "no {expected:?} in\n{}", done.stdout);
    }
    assert!(!done.stdout.contains('\x1b'), "colours are for terminals");
}

#[test]
fn a_dead_destination_is_told_and_the_books_balance_nevertheless() {
    // Bound and dropped: nobody listens there.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {{name: default}}
spec: {{batch: {{timeout: 100ms}}}}
---
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {{name: dead, namespace: shop}}
spec: {{type: OTLP, otlp: {{endpoint: \"{dead}\"}}, tls: {{mode: Plaintext}}}}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {{name: shop, namespace: shop}}
spec: {{traces: {{destinationRefs: [{{name: dead}}]}}}}
"
    );
    let folder = folder(&[("all.yaml", &text)]);
    let data = folder.path().join("data");
    let done = sluice(&[
        "run",
        "--demo",
        "--json",
        "--for=3s",
        "--drain=1s",
        "--grpc-port=0",
        "--http-port=0",
        "--data",
        data.to_str().unwrap(),
        folder.path().join("all.yaml").to_str().unwrap(),
    ]);
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    let lines: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |object: &str, condition: &str| {
        let of = |line: &&Value| line["object"] == object && line["condition"] == condition;
        lines.iter().rev().find(of).unwrap_or(&Value::Null).clone()
    };
    assert_eq!(told("shop/shop", "Ready")["status"], "True");
    assert_eq!(told("shop/dead", "Reachable")["reason"], "ConnectionRefused");
    let summary = lines.last().unwrap();
    let queue = &summary["destinations"][0];
    assert!(queue["dropped"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(queue["sent"], 0);
    assert_eq!(summary["balanced"], true);
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let quickstart = manifests("quickstart");
    let quickstart = quickstart.to_str().unwrap();
    let done = sluice(&["run", "--for=1s", "--to", to, "--grpc-port", &port, quickstart]);
    assert_eq!(done.code, 3, "{}", done.stdout);
    assert!(done.stderr.contains(&port) && done.stderr.contains("--grpc-port"), "{}", done.stderr);
}

#[test]
fn a_probe_succeeds_once_there_is_an_answer() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/readyz", server.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        for status in ["503 Service Unavailable", "200 OK"] {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        }
    });
    assert_eq!(sluice(&["probe", "--for=20s", &address]).code, 0);
    answers.join().unwrap();
    assert_eq!(sluice(&["probe", "--for=0s", &address]).code, 1);
}
