//! Nothing that is held is lost or counted twice, whatever happens while traces are open: another
//! policy, another destination, a shutdown, a full queue, too little memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sluice_agent::Running;
use sluice_engine::books::{Books, Dropped, PipelineBook, Refused, SampledOut};
use sluice_engine::config::sampling::{Mode, Policy, Sampling};
use sluice_engine::config::{Compression, Config, Limiter, OnFull, Protocol};
use sluice_engine::tail::Known;
use sluice_wire::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::client::{Grpc, frame};
use support::oracle::{Mood, Oracle};
use support::sampling::*;
use support::*;
use tonic::Code;

fn book(books: &Books, pipeline: &str) -> PipelineBook {
    books.pipelines[&(pipeline.to_owned(), Signal::Traces)].clone()
}

fn roots(numbers: std::ops::Range<u64>) -> Vec<Span> {
    numbers.map(|number| span(trace_id(number), 0)).collect()
}

fn kept_of(numbers: std::ops::Range<u64>) -> BTreeSet<u128> {
    numbers.map(trace_id).filter(|trace| is_of_the_tenth(*trace)).collect()
}

fn arrived_traces(oracle: &Oracle) -> BTreeSet<u128> {
    arrived(oracle).into_keys().map(|(trace, _)| trace).collect()
}

/// Sends traces of three spans, each span in a request of its own, until it is told that it is
/// enough. Returns how many were sent.
struct Sending {
    traces: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Sending {
    async fn start(running: &Running) -> Self {
        let (traces, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&traces), Arc::clone(&enough));
        let mut grpc = Grpc::connect(running.grpc_address()).await;
        let task = tokio::spawn(async move {
            while !end.load(Ordering::Relaxed) {
                let trace = trace_id(count.load(Ordering::Relaxed));
                for number in 0..3 {
                    send(&mut grpc, vec![span(trace, number)]).await;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { traces, enough, task }
    }

    async fn more(&self) {
        let before = self.traces.load(Ordering::Relaxed);
        until("more is sent", || before + 10 < self.traces.load(Ordering::Relaxed)).await;
    }

    async fn stop(self) -> u64 {
        self.enough.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.traces.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_policies_under_load_loses_and_splits_nothing() {
    let (oracle, address) = Oracle::start().await;
    let of = |policy: Policy, wait_ms| config_with(address, sampling(policy, wait_ms));
    // All say the same of these traces, by other rules, waits and defaults; the last says nothing.
    let all = Policy { keep: vec![floor("all", 100_000, operations(&["GET *"]))], ..policy() };
    let configs = [
        of(policy(), 5),
        of(Policy { tag_decision: true, ..policy() }, 30),
        of(Policy { default_ppm: Some(0), ..all.clone() }, 60),
        of(Policy { default_ppm: Some(99_999), ..all }, 1),
    ];
    let (running, _folder) = run(configs[0].clone()).await;
    let sending = Sending::start(&running).await;
    let tail = running.tail().unwrap();
    let mut counted = 0;
    for turn in 1..=24 {
        sending.more().await;
        running.adopt(configs[turn % configs.len()].clone()).await.unwrap();
        running.books().check().unwrap();
        let traces = tail.counts()["shop/shop"].traces;
        assert!(counted <= traces, "counters never go back");
        counted = traces;
    }
    let sent = sending.stop().await;
    let books = stop(running).await;
    let arrived = arrived(&oracle);
    let expected = kept_of(0..sent);
    assert_eq!(arrived_traces(&oracle), expected);
    assert_eq!(arrived.len(), 3 * expected.len(), "traces are whole");
    assert!(arrived.values().all(|state| state == TENTH_STATE));
    let book = book(&books, "shop/shop");
    assert_eq!((book.accepted, book.held), (3 * sent, 0));
    let counts = &tail.counts()["shop/shop"];
    assert_eq!((counts.traces, counts.kept), (sent, expected.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_policy_and_the_end_of_the_last_lose_nothing() {
    let (oracle, address) = Oracle::start().await;
    let without = config_with(address, Sampling::default());
    let with = |mode| {
        let policy = Policy { mode, default_ppm: Some(0), ..policy() };
        config_with(address, sampling(policy, 20))
    };
    let (running, _folder) = run(without.clone()).await;
    let sending = Sending::start(&running).await;
    sending.more().await;
    for _ in 0..5 {
        running.adopt(with(Mode::DryRun)).await.unwrap();
        sending.more().await;
        running.adopt(without.clone()).await.unwrap();
        sending.more().await;
        running.books().check().unwrap();
    }
    let sent = sending.stop().await;
    stop(running).await;
    assert_eq!(arrived_traces(&oracle), (0..sent).map(trace_id).collect());
    assert_eq!(arrived(&oracle).len() as u64, 3 * sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_decides_what_is_open() {
    let (oracle, address) = Oracle::start().await;
    let (running, _folder) = run(config_with(address, sampling(policy(), FOREVER_MS))).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    send(&mut grpc, roots(0..300)).await;
    let books = running.books();
    books.check().unwrap();
    assert_eq!(book(&books, "shop/shop").held, 300);
    let tail = running.tail().unwrap();
    assert_eq!((tail.open_traces(), oracle.spans().len()), (300, 0));
    let books = stop(running).await;
    let expected = kept_of(0..300);
    assert_eq!(arrived_traces(&oracle), expected);
    let book = book(&books, "shop/shop");
    assert_eq!((book.held, book.queued), (0, expected.len() as u64));
    assert_eq!(book.sampled_out[&SampledOut::Policy], 300 - book.queued);
    assert_eq!(tail.counts()["shop/shop"].decided_early, 300);
    let Known::Decided(record) = tail.find(trace_id(7)) else { panic!("it is decided") };
    assert!(record.is_early);
}

/// Until one is not taken. Errors are passed on at once, so that there is always something on its
/// way. Returns which ones were taken.
async fn send_errors(mut grpc: Grpc, first: u64, taken: Arc<AtomicU64>) -> BTreeSet<u128> {
    let mut acknowledged = BTreeSet::new();
    for trace in (first..).map(trace_id) {
        let body = request("shop", vec![failed(span(trace, 0))]).encode_to_vec();
        let call = grpc.try_call(Signal::Traces.grpc_path(), &[], frame(false, &body));
        match call.await {
            Ok(status) if status.code == 0 => acknowledged.insert(trace),
            _ => break,
        };
        taken.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_sends_what_it_took() {
    for round in 0..5 {
        let (oracle, address) = Oracle::start().await;
        let (running, _folder) = run(config_with(address, sampling(policy(), 1))).await;
        let taken = Arc::new(AtomicU64::new(0));
        let mut clients = Vec::new();
        for client in 1..4 {
            let grpc = Grpc::connect(running.grpc_address()).await;
            clients.push(tokio::spawn(send_errors(grpc, client << 32, Arc::clone(&taken))));
        }
        until("some are taken", || 100 * (round + 1) < taken.load(Ordering::Relaxed)).await;
        let books = stop(running).await;
        let arrived = arrived_traces(&oracle);
        for client in clients {
            assert!(client.await.unwrap().is_subset(&arrived));
        }
        let book = book(&books, "shop/shop");
        assert_eq!((book.held, book.queued), (0, arrived.len() as u64));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_goes_where_the_config_of_its_decision_sends_it() {
    let (first, first_address) = Oracle::start().await;
    let (second, second_address) = Oracle::start().await;
    let destination = |address| otlp(address, Protocol::Grpc, Compression::None);
    let mut config = config_with(first_address, sampling(policy(), FOREVER_MS));
    let (running, _folder) = run(config.clone()).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    send(&mut grpc, roots(0..300)).await;

    // Another destination takes the place of the first, and one is added.
    config.destinations.insert("shop/second".into(), destination(second_address));
    config.pipelines.get_mut("shop/shop").unwrap().traces =
        vec!["shop/tempo".into(), "shop/second".into()];
    config.pipelines.insert("shop/other".into(), pipeline(&["shop/second".into()]));
    running.adopt(config).await.unwrap();
    send(&mut grpc, roots(300..600)).await;
    running.books().check().unwrap();
    let books = stop(running).await;
    let expected = kept_of(0..600);
    assert_eq!(arrived_traces(&first), expected);
    let twice = second.spans();
    assert_eq!(twice.len(), 2 * expected.len(), "by both pipelines");
    assert!(twice.iter().all(|span| expected.contains(&key(span).0)));
    assert_eq!(book(&books, "shop/shop").held, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_for_a_pipeline_that_goes_is_counted() {
    let (oracle, address) = Oracle::start().await;
    let mut config = config_with(address, sampling(policy(), FOREVER_MS));
    let (running, _folder) = run(config.clone()).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    send(&mut grpc, roots(0..300)).await;
    config.pipelines.clear();
    running.adopt(config).await.unwrap();
    running.books().check().unwrap();
    let books = stop(running).await;
    let book = book(&books, "shop/shop");
    let kept = kept_of(0..300).len() as u64;
    assert_eq!((book.held, book.queued), (0, 0));
    assert_eq!(book.dropped[&Dropped::NoPipeline], kept);
    assert_eq!(book.sampled_out[&SampledOut::Policy], 300 - kept);
    assert_eq!(oracle.spans(), []);
}

/// Sends traces that each have an error until they are refused.
async fn until_refused(grpc: &mut Grpc) -> (u64, sluice_wire::response::Status) {
    let mut traces = 0;
    loop {
        let spans = vec![padded(span(trace_id(traces), 0), 5000)];
        let body = request("shop", spans).encode_to_vec();
        let status = grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &body)).await;
        if status.code != 0 {
            return (traces, status);
        }
        traces += 1;
        assert!(traces < 2000, "10 MB are more than the limit");
    }
}

fn keep_all(config: &mut Config) {
    let policy = config.sampling.policies.get_mut("shop/shop").unwrap();
    *policy = Policy { default_ppm: Some(1_000_000), keep: Vec::new(), ..policy.clone() };
}

#[tokio::test(flavor = "multi_thread")]
async fn open_traces_count_against_the_memory_limit() {
    let (oracle, address) = Oracle::start().await;
    let mut config = config_with(address, sampling(policy(), FOREVER_MS));
    keep_all(&mut config);
    config.limiter =
        Limiter { soft_bytes: 3_999_999, hard_bytes: 4_000_000, check_interval_ms: 20 };
    let (running, _folder) = run(config).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let (taken, status) = until_refused(&mut grpc).await;
    assert_eq!(status.code, Code::Unavailable as i32);
    assert!(status.retry_delay.is_some(), "there may be room later");
    let bytes = running.tail().unwrap().bytes();
    assert!(bytes <= 4_500_000, "{bytes} bytes of {taken} traces");
    running.books().check().unwrap();
    let books = stop(running).await;
    assert_eq!(arrived_traces(&oracle), (0..taken).map(trace_id).collect());
    assert_eq!(books.receivers[&Signal::Traces].refused[&Refused::MemoryLimiter], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_queue_that_is_full_refuses_before_anything_is_held() {
    let (oracle, address) = Oracle::start().await;
    oracle.set(Mood { refuses: Some(Code::Unavailable), ..Mood::default() });
    let mut config = config_with(address, sampling(policy(), 1));
    keep_all(&mut config);
    let delivery = &mut config.pipelines.get_mut("shop/shop").unwrap().delivery;
    delivery.on_full = OnFull::Block;
    delivery.queue_bytes_max = 50_000;
    let (running, _folder) = run(config).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let (taken, status) = until_refused(&mut grpc).await;
    assert_eq!(status.code, Code::Unavailable as i32);
    running.books().check().unwrap();
    oracle.set(Mood::default());
    let books = stop(running).await;
    assert_eq!(arrived_traces(&oracle), (0..taken).map(trace_id).collect());
    let book = book(&books, "shop/shop");
    assert_eq!((book.queued, book.refused, book.held), (taken, 1, 0));
    assert!(book.dropped.is_empty(), "what was taken is not dropped");
}
