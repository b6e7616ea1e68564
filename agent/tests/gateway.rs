//! Agents and gateways as they work together: every trace reaches its owner, whole and once,
//! whatever becomes of the gateways.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sluice_agent::{Guard, Role, Running, Settings, Trust, start};
use sluice_engine::books::QueueKey;
use sluice_engine::config::Config;
use sluice_engine::config::sampling::Policy;
use sluice_engine::forward::GATEWAYS;
use sluice_engine::ring::{Member, Ring, SLOTS};
use sluice_wire::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use support::client::{Grpc, frame};
use support::oracle::Oracle;
use support::sampling::*;
use support::*;

const TRACES: u64 = 300;
const SPANS: u64 = 4;

struct Fleet {
    config: Config,
    agents: Vec<Running>,
    /// By name; those that are gone leave a hole.
    gateways: BTreeMap<String, Running>,
    epoch: u64,
    folders: Vec<tempfile::TempDir>,
}

impl Fleet {
    async fn start(oracle: SocketAddr, policy: Policy, wait_ms: u64, names: &[&str]) -> Self {
        let mut config = config_with(oracle, sampling(policy, wait_ms));
        config.gateway.needed = true;
        config.gateway.limiter = config.limiter.clone();
        let (agents, gateways) = (Vec::new(), BTreeMap::new());
        let mut fleet = Self { config, agents, gateways, epoch: 0, folders: Vec::new() };
        for name in names {
            fleet.add_gateway(name, Guard::open()).await;
        }
        for _ in 0..2 {
            let role = Role::Agent(Trust::Nothing);
            let agent = fleet.collector(role).await;
            fleet.agents.push(agent);
        }
        fleet.turn_ring().await;
        fleet
    }

    async fn collector(&mut self, role: Role) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { role, ..settings(&folder) };
        self.folders.push(folder);
        start(self.config.clone(), settings).await.unwrap()
    }

    async fn add_gateway(&mut self, name: &str, guard: Guard) {
        let gateway = self.collector(Role::Gateway(guard)).await;
        self.gateways.insert(name.to_owned(), gateway);
    }

    /// Tells all agents who the gateways are now.
    async fn turn_ring(&mut self) {
        self.epoch += 1;
        let members: Vec<Member> = self
            .gateways
            .iter()
            .map(|(name, gateway)| Member {
                name: name.clone(),
                address: gateway.grpc_address().to_string(),
                zone: None,
            })
            .collect();
        let count = members.len();
        let slots = (0..SLOTS).map(|slot| u16::try_from(slot % count).unwrap()).collect();
        let ring = Ring::new(self.epoch, members, slots).unwrap();
        for agent in &self.agents {
            agent.set_ring(ring.clone()).await.unwrap();
        }
    }

    /// Spans of each trace through both agents.
    async fn send(&self, traces: std::ops::Range<u64>, make: impl Fn(u64, u64) -> Span) {
        for (agent, numbers) in self.agents.iter().zip([0..2, 2..SPANS]) {
            let mut grpc = Grpc::connect(agent.grpc_address()).await;
            for number in numbers {
                send(&mut grpc, traces.clone().map(|trace| make(trace, number)).collect()).await;
            }
        }
    }

    fn open_traces(&self) -> u64 {
        let tails = self.gateways.values().filter_map(Running::tail);
        tails.map(|tail| tail.open_traces()).sum()
    }

    /// Agents first: what they hold goes to the gateways.
    async fn stop(self) {
        for agent in self.agents {
            stop(agent).await;
        }
        for (_, gateway) in self.gateways {
            stop(gateway).await;
        }
    }
}

fn span_of(trace: u64, number: u64) -> Span {
    let span = span(trace_id(trace), number);
    if trace.is_multiple_of(10) && number == 3 { failed(span) } else { span }
}

fn is_kept(trace: u64) -> bool {
    trace.is_multiple_of(10) || is_of_the_tenth(trace_id(trace))
}

fn expected(traces: std::ops::Range<u64>) -> Vec<(u128, Vec<u8>)> {
    let kept = traces.filter(|trace| is_kept(*trace));
    let spans = kept.flat_map(|trace| (0..SPANS).map(move |number| span_of(trace, number)));
    let mut expected: Vec<_> = spans.map(|span| key(&span)).collect();
    expected.sort();
    expected
}

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
    fleet.turn_ring().await;
    let whole = (TRACES * SPANS) as usize;
    until("everything arrives", || oracle.spans().len() == whole).await;
    assert_eq!(arrived(&oracle).len(), whole);
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
