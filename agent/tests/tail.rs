//! What policies say of a trace is what arrives of it: whole, once, and with its probability.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sluice_agent::Running;
use sluice_engine::books::{Books, SampledOut};
use sluice_engine::config::sampling::{Mode, Policy};
use sluice_engine::tail::{Known, PolicyCounts, RuleCounts};
use sluice_wire::Signal;
use std::collections::BTreeMap;
use support::client::{Grpc, post};
use support::oracle::Oracle;
use support::sampling::*;
use support::*;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const TRACES: u64 = 400;

/// Four spans a trace, its root comes last. Every tenth has an error; the ones after are health
/// checks, the first of them with an error too.
fn spans() -> Vec<Span> {
    let numbers = [3, 2, 1, 0].into_iter();
    let spans = numbers.flat_map(|number| (0..TRACES).map(move |trace| (trace, number)));
    let spans = spans.map(|(trace, number)| {
        let span = span(trace_id(trace), number);
        let span = if is_health(trace) { named("GET /healthz", span) } else { span };
        if is_failed(trace) && number == 1 { failed(span) } else { span }
    });
    spans.collect()
}

fn is_failed(trace: u64) -> bool {
    trace.is_multiple_of(10) || trace == 1
}

fn is_health(trace: u64) -> bool {
    trace % 10 == 1
}

/// The `tracestate` of each span that is to arrive.
fn expected() -> BTreeMap<(u128, Vec<u8>), String> {
    let mut expected = BTreeMap::new();
    for trace in 0..TRACES {
        let id = trace_id(trace);
        let state = match (is_failed(trace), is_health(trace)) {
            (true, _) => "",
            (false, true) => continue,
            (false, false) if is_of_the_tenth(id) => TENTH_STATE,
            (false, false) => continue,
        };
        expected.extend((0..4).map(|number| (key(&span(id, number)), state.to_owned())));
    }
    expected
}

async fn send_http(running: &Running, spans: Vec<Span>) {
    let body = request("shop", spans).encode_to_vec();
    let answer = post(running.http_address().unwrap(), "/v1/traces", &[PROTOBUF], body).await;
    assert_eq!(answer.status, 200);
}

async fn decided(running: &Running, trace: u128) {
    let is_decided = || {
        let tail = running.tail().unwrap();
        matches!(tail.find(trace), Known::Decided(_))
    };
    until("the trace is decided", is_decided).await;
}

fn sampled_out(books: &Books) -> BTreeMap<SampledOut, u64> {
    books.pipelines[&("shop/shop".to_owned(), Signal::Traces)].sampled_out.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_that_come_in_pieces_are_kept_or_sampled_out_whole() {
    let (oracle, address) = Oracle::start().await;
    let mut sampling = sampling(policy(), FOREVER_MS);
    sampling.tail.after_root_ms = 1;
    let (running, _folder) = run(config_with(address, sampling)).await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(Grpc::connect(running.grpc_address()).await);
    }
    // The spans of one trace are hundreds of spans apart: in other requests, on other connections.
    let all = spans();
    for (turn, spans) in all.chunks(70).enumerate() {
        match connections.get_mut(turn % 4) {
            Some(grpc) => send(grpc, spans.to_vec()).await,
            None => send_http(&running, spans.to_vec()).await,
        }
    }
    running.books().check().unwrap();
    let expected = expected();
    until("all that is kept arrives", || oracle.spans().len() == expected.len()).await;
    let tail = running.tail().unwrap();
    until("everything is decided", || tail.open_traces() == 0).await;
    running.books().check().unwrap();
    let books = stop(running).await;
    assert_eq!(arrived(&oracle), expected);

    let (health, failed) = (TRACES / 10, TRACES / 10 + 1);
    let tenth = expected.values().filter(|state| *state == TENTH_STATE).count() as u64 / 4;
    assert!(15 < tenth && tenth < 60, "{tenth} of {TRACES} are no tenth");
    let kept = tenth + failed;
    let gone = sampled_out(&books);
    assert_eq!(gone[&SampledOut::Limit], 4 * (health - 1));
    assert_eq!(gone[&SampledOut::Policy], 4 * (TRACES - kept - (health - 1)));
    let rules = [
        (
            "default",
            RuleCounts { matched: 0, decided: TRACES - failed - (health - 1), kept: tenth },
        ),
        ("errors", RuleCounts { matched: failed, decided: failed, kept: failed }),
        ("health", RuleCounts { matched: health, decided: health - 1, kept: 0 }),
    ];
    let counts = PolicyCounts {
        traces: TRACES,
        kept,
        error_traces: failed,
        error_traces_kept: failed,
        rules: rules.map(|(name, counts)| (name.to_owned(), counts)).into(),
        ..PolicyCounts::default()
    };
    assert_eq!(tail.counts(), BTreeMap::from([("shop/shop".to_owned(), counts)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_spans_follow_the_decision() {
    let (oracle, address) = Oracle::start().await;
    let (running, _folder) = run(config_with(address, sampling(policy(), 10))).await;
    let is_kept = |number: &u64| is_of_the_tenth(trace_id(*number));
    let (kept, gone) = ((0..).find(is_kept).unwrap(), (0..).find(|n| !is_kept(n)).unwrap());
    let (kept, gone) = (trace_id(kept), trace_id(gone));
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    send(&mut grpc, vec![span(kept, 0), span(gone, 0)]).await;
    decided(&running, kept).await;
    decided(&running, gone).await;
    // An error that comes too late changes nothing: else the trace would be kept in part.
    send_http(&running, vec![failed(span(kept, 1)), failed(span(gone, 1))]).await;
    until("the late span arrives", || oracle.spans().len() == 2).await;
    let tail = running.tail().unwrap();
    let books = stop(running).await;
    let state = || TENTH_STATE.to_owned();
    let expected = [(key(&span(kept, 0)), state()), (key(&span(kept, 1)), state())];
    assert_eq!(arrived(&oracle), BTreeMap::from(expected));
    assert_eq!(sampled_out(&books)[&SampledOut::Late], 1);
    assert_eq!(tail.late_spans(), 1);
    for (trace, is_kept) in [(kept, true), (gone, false)] {
        let Known::Decided(record) = tail.find(trace) else { panic!("it is decided") };
        assert_eq!((record.is_kept, record.spans, record.late_spans), (is_kept, 1, 1));
        assert_eq!(record.rule.as_deref(), Some("shop/shop/default"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_passed_on_at_once_and_the_rest_of_its_trace_after_it() {
    let (oracle, address) = Oracle::start().await;
    let (running, _folder) = run(config_with(address, sampling(policy(), FOREVER_MS))).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let trace = trace_id(7);
    send(&mut grpc, vec![span(trace, 1)]).await;
    send(&mut grpc, vec![failed(span(trace, 2))]).await;
    until("both arrive", || oracle.spans().len() == 2).await;
    send(&mut grpc, vec![span(trace, 0)]).await;
    until("so does the root", || oracle.spans().len() == 3).await;
    stop(running).await;
    assert!(arrived(&oracle).values().all(String::is_empty), "all of it counts for one");
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_spans_say_by_which_rule_if_the_policy_asks_for_it() {
    let (oracle, address) = Oracle::start().await;
    let policy = Policy { tag_decision: true, ..policy() };
    let (running, _folder) = run(config_with(address, sampling(policy, 10))).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let trace = (0..).map(trace_id).find(|trace| is_of_the_tenth(*trace)).unwrap();
    let broken = trace_id(1_000_000);
    send(&mut grpc, vec![span(trace, 0), failed(span(broken, 0))]).await;
    until("both arrive", || oracle.spans().len() == 2).await;
    stop(running).await;
    for span in oracle.spans() {
        let tags = ["sampling.rule", "sampling.probability"].map(|key| attribute(&span, key));
        let (rule, probability) = match key(&span).0 == broken {
            true => ("shop/shop/errors", 1.0),
            false => ("shop/shop/default", 1.0 - TENTH as f64 / (1_u64 << 56) as f64),
        };
        assert_eq!(tags, [Some(rule.to_owned()), Some(probability.to_string())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sampled_before_is_never_made_to_count_for_less() {
    let (oracle, address) = Oracle::start().await;
    let policy = Policy { default_ppm: Some(500_000), ..policy() };
    let (running, _folder) = run(config_with(address, sampling(policy, 10))).await;
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    // All of them reach every threshold; only what their sender did differs.
    let states = ["", "ot=th:c", "ot=th:4", "vendor=a,ot=rv:ffffffffffffff;th:4"];
    let expected = ["ot=th:8", "ot=th:c", "ot=th:8", "ot=th:8;rv:ffffffffffffff,vendor=a"];
    let spans = states.iter().zip(1..).map(|(state, number)| Span {
        trace_state: (*state).to_owned(),
        ..span(u128::from(number + 1_u64) << 64 | 0xff_ffff_ffff_ff00, 0)
    });
    let spans: Vec<Span> = spans.collect();
    send(&mut grpc, spans.clone()).await;
    until("all arrive", || oracle.spans().len() == 4).await;
    stop(running).await;
    let arrived = arrived(&oracle);
    let found = spans.iter().map(|span| &*arrived[&key(span)]).collect::<Vec<_>>();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_tried_changes_nothing_and_counts_what_it_would_keep() {
    let (oracle, address) = Oracle::start().await;
    let policy = Policy { mode: Mode::DryRun, ..policy() };
    let (running, _folder) = run(config_with(address, sampling(policy, 10))).await;
    send_http(&running, spans()).await;
    let tail = running.tail().unwrap();
    until("everything is decided", || tail.open_traces() == 0).await;
    let books = stop(running).await;
    let expected: BTreeMap<_, _> = spans().iter().map(|span| (key(span), String::new())).collect();
    assert_eq!(arrived(&oracle), expected);
    assert_eq!(sampled_out(&books), BTreeMap::new());
    let counts = &tail.counts()["shop/shop"];
    let would_keep = self::expected().len() as u64 / 4;
    assert_eq!((counts.traces, counts.kept, counts.would_keep), (TRACES, TRACES, would_keep));
    assert_eq!(counts.would_keep_errors, counts.error_traces);
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_of_a_namespace_without_a_policy_pass_as_they_came() {
    let (oracle, address) = Oracle::start().await;
    let policy = Policy { default_ppm: Some(0), ..policy() };
    let (running, _folder) = run(config_with(address, sampling(policy, 10))).await;
    let mut both = request("pay", (0..20).map(|n| span(trace_id(n), 0)).collect());
    both.resource_spans
        .extend(request("shop", (20..40).map(|n| span(trace_id(n), 0)).collect()).resource_spans);
    let body = both.encode_to_vec();
    let answer = post(running.http_address().unwrap(), "/v1/traces", &[PROTOBUF], body).await;
    assert_eq!(answer.status, 200);
    until("what has no policy arrives", || oracle.spans().len() == 20).await;
    let books = stop(running).await;
    let expected = (0..20).map(|n| (key(&span(trace_id(n), 0)), String::new())).collect();
    assert_eq!(arrived(&oracle), expected);
    assert_eq!(sampled_out(&books)[&SampledOut::Policy], 20);
}
