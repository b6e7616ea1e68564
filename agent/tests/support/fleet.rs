//! Two agents and their gateways, each with sockets of its own, and traces that come by both agents.

use super::client::Grpc;
use super::sampling::*;
use super::{settings, stop};
use opentelemetry_proto::tonic::trace::v1::Span;
use sluice_agent::{Guard, Role, Running, Settings, Trust, start};
use sluice_engine::config::Config;
use sluice_engine::config::sampling::Policy;
use sluice_engine::ring::{Member, Ring, SLOTS};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub const TRACES: u64 = 300;
pub const SPANS: u64 = 4;

pub struct Fleet {
    pub config: Config,
    pub agents: Vec<Running>,
    /// By name; those that are gone leave a hole.
    pub gateways: BTreeMap<String, Running>,
    pub ring: Option<Ring>,
    folders: Vec<tempfile::TempDir>,
}

impl Fleet {
    pub async fn start(oracle: SocketAddr, policy: Policy, wait_ms: u64, names: &[&str]) -> Self {
        let mut config = config_with(oracle, sampling(policy, wait_ms));
        config.gateway.needed = true;
        config.gateway.limiter = config.limiter.clone();
        let (agents, gateways) = (Vec::new(), BTreeMap::new());
        let mut fleet = Self { config, agents, gateways, ring: None, folders: Vec::new() };
        for name in names {
            fleet.add_gateway(name).await;
        }
        for _ in 0..2 {
            let role = Role::Agent(Trust::Nothing);
            let agent = fleet.collector(role).await;
            fleet.agents.push(agent);
        }
        fleet.turn_ring(&[]).await;
        fleet
    }

    pub async fn collector(&mut self, role: Role) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { role, ..settings(&folder) };
        self.folders.push(folder);
        start(self.config.clone(), settings).await.unwrap()
    }

    pub async fn add_gateway(&mut self, name: &str) {
        let (guard, trust) = (Guard::open(), Trust::Nothing);
        let role = Role::Gateway { name: name.to_owned(), guard, trust };
        let gateway = self.collector(role).await;
        self.gateways.insert(name.to_owned(), gateway);
    }

    /// The next ring, over all gateways but `without`; nobody is told.
    pub fn next_ring(&mut self, without: &[&str]) -> Ring {
        let members = self.gateways.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        let member = |(name, gateway): (&String, &Running)| Member {
            name: name.clone(),
            address: gateway.grpc_address().to_string(),
        };
        let members: Vec<Member> = members.map(member).collect();
        let count = members.len();
        let slots = (0..SLOTS).map(|slot| u16::try_from(slot % count).unwrap()).collect();
        let epoch = self.ring.as_ref().map_or(1, |ring| ring.epoch() + 1);
        let ring = Ring::new(epoch, members, slots).unwrap();
        let ring = match &self.ring {
            Some(last) => ring.after(last),
            None => ring,
        };
        self.ring = Some(ring.clone());
        ring
    }

    /// Tells everybody who the gateways are now.
    pub async fn turn_ring(&mut self, without: &[&str]) {
        let ring = self.next_ring(without);
        for collector in self.gateways.values().chain(&self.agents) {
            collector.set_ring(ring.clone()).await.unwrap();
        }
    }

    /// Waits until all gateways have handed over what is not theirs.
    pub async fn settled(&self) {
        let epoch = self.ring.as_ref().unwrap().epoch();
        for gateway in self.gateways.values() {
            in_time(gateway.handed_over(epoch)).await;
        }
    }

    /// Spans of each trace through both agents.
    pub async fn send(&self, traces: std::ops::Range<u64>, make: impl Fn(u64, u64) -> Span) {
        for (agent, numbers) in self.agents.iter().zip([0..2, 2..SPANS]) {
            let mut grpc = Grpc::connect(agent.grpc_address()).await;
            for number in numbers {
                send(&mut grpc, traces.clone().map(|trace| make(trace, number)).collect()).await;
            }
        }
    }

    pub fn open_traces(&self) -> u64 {
        let tails = self.gateways.values().filter_map(Running::tail);
        tails.map(|tail| tail.open_traces()).sum()
    }

    /// Agents first: what they hold goes to the gateways.
    pub async fn stop(self) {
        for agent in self.agents {
            stop(agent).await;
        }
        for (_, gateway) in self.gateways {
            stop(gateway).await;
        }
    }
}

/// What never comes fails.
pub async fn in_time(what: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(30), what).await.unwrap();
}

pub fn span_of(trace: u64, number: u64) -> Span {
    let span = span(trace_id(trace), number);
    if trace.is_multiple_of(10) && number == 3 { failed(span) } else { span }
}

pub fn is_kept(trace: u64) -> bool {
    trace.is_multiple_of(10) || is_of_the_tenth(trace_id(trace))
}

pub fn expected(traces: std::ops::Range<u64>) -> Vec<(u128, Vec<u8>)> {
    let kept = traces.filter(|trace| is_kept(*trace));
    let spans = kept.flat_map(|trace| (0..SPANS).map(move |number| span_of(trace, number)));
    let mut expected: Vec<_> = spans.map(|span| key(&span)).collect();
    expected.sort();
    expected
}
