//! Agents and gateways as they work together: every trace reaches its owner, whole and once,
//! whatever becomes of the gateways.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use prost::Message;
use sluice_agent::{Role, Running, Trust};
use sluice_engine::books::{QueueKey, SampledOut};
use sluice_engine::config::sampling::{Head, Policy};
use sluice_engine::forward::GATEWAYS;
use sluice_wire::Signal;
use support::client::{Grpc, frame};
use support::fleet::*;
use support::oracle::Oracle;
use support::sampling::*;
use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_comes_by_two_agents_is_decided_whole_by_its_owner() {
    let (oracle, address) = Oracle::start().await;
    let fleet = Fleet::start(address, policy(), 300, &["a", "b", "c"]).await;
    fleet.send(0..TRACES, span_of).await;
    let expected = expected(0..TRACES);
    until("all that is kept arrives", || oracle.spans().len() == expected.len()).await;
    until("everything is decided", || fleet.open_traces() == 0).await;
    assert_eq!(arrived(&oracle).into_keys().collect::<Vec<_>>(), expected);
    let accepted = |gateway: &Running| gateway.books().receivers[&Signal::Traces].accepted;
    let shares: Vec<u64> = fleet.gateways.values().map(accepted).collect();
    assert_eq!(shares.iter().sum::<u64>(), TRACES * SPANS);
    assert!(shares.iter().all(|spans| TRACES * SPANS / 5 < *spans), "uneven: {shares:?}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_knows_the_sender_that_the_agent_proved() {
    let (oracle, address) = Oracle::start().await;
    let nothing = Policy { default_ppm: Some(0), keep: vec![], limit: vec![], ..policy() };
    let fleet = Fleet::start(address, nothing, 100, &["a"]).await;
    let mut grpc = Grpc::connect(fleet.agents[0].grpc_address()).await;
    // The policy is about `shop` alone; without a cluster a sender's word counts.
    let other = request("pay", vec![span(trace_id(1), 0)]).encode_to_vec();
    send(&mut grpc, vec![span(trace_id(0), 0)]).await;
    assert_eq!(grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &other)).await.code, 0);
    until("what no policy is about arrives", || !oracle.spans().is_empty()).await;
    until("everything is decided", || fleet.open_traces() == 0).await;
    let arrived: Vec<u128> = arrived(&oracle).into_keys().map(|(trace, _)| trace).collect();
    assert_eq!(arrived, [trace_id(1)]);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_gateway_that_left_goes_to_the_new_owners() {
    let (oracle, address) = Oracle::start().await;
    let all = Policy { default_ppm: Some(1_000_000), keep: vec![], limit: vec![], ..policy() };
    let mut fleet = Fleet::start(address, all, 200, &["a", "b"]).await;
    let gone = fleet.gateways.remove("b").unwrap();
    stop(gone).await;
    // It is waited for only shortly.
    fleet.config.gateway.handoff.timeout_ms = 100;
    fleet.gateways["a"].adopt(fleet.config.clone()).await.unwrap();
    fleet.send(0..TRACES, span_of).await;
    let waits = |agent: &Running| {
        let key = QueueKey {
            pipeline: GATEWAYS.to_owned(),
            destination: "b".to_owned(),
            signal: Signal::Traces,
        };
        agent.books().destinations.get(&key).map_or(0, |book| book.held)
    };
    until("half of it waits", || fleet.agents.iter().all(|agent| 0 < waits(agent))).await;
    fleet.turn_ring(&[]).await;
    let whole = (TRACES * SPANS) as usize;
    until("everything arrives", || oracle.spans().len() == whole).await;
    assert_eq!(arrived(&oracle).len(), whole);
    fleet.agents.iter().for_each(|agent| agent.books().check().unwrap());
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_head_takes_out_never_travels_to_a_gateway() {
    const HALF: u64 = 1 << 55;
    let (oracle, address) = Oracle::start().await;
    let head = Some(Head { keep_ppm: Some(500_000), rate: None });
    let policy = Policy { default_ppm: None, keep: vec![], limit: vec![], head, ..policy() };
    let fleet = Fleet::start(address, policy, 100, &["a", "b"]).await;
    fleet.send(0..TRACES, span_of).await;
    let passes = |trace: &u64| HALF <= trace_id(*trace) as u64 & (u64::MAX >> 8);
    let expected = (0..TRACES).filter(passes).count() as u64 * SPANS;
    until("what passes arrives", || oracle.spans().len() as u64 == expected).await;
    assert!(arrived(&oracle).values().all(|state| state == "ot=th:8"));
    let key = ("shop/shop".to_owned(), Signal::Traces);
    let sampled_out = |own: &Running| own.books().pipelines[&key].sampled_out.clone();
    let gone = fleet.agents.iter().map(|own| sampled_out(own)[&SampledOut::Head]).sum::<u64>();
    assert_eq!(gone, TRACES * SPANS - expected);
    for gateway in fleet.gateways.values() {
        assert_eq!(sampled_out(gateway), [].into());
    }
    fleet.agents.iter().for_each(|agent| agent.books().check().unwrap());
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_senders_are_asked_to_come_again() {
    let (_oracle, address) = Oracle::start().await;
    let mut fleet = Fleet::start(address, policy(), 100, &["a"]).await;
    let lonely = fleet.collector(Role::Agent(Trust::Nothing)).await;
    let mut grpc = Grpc::connect(lonely.grpc_address()).await;
    let body = request("shop", vec![span(trace_id(0), 0)]).encode_to_vec();
    let status = grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &body)).await;
    assert_eq!(status.code, 14, "{}", status.message);
    stop(lonely).await;
    fleet.stop().await;
}
