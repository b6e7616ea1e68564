//! What is remembered of a fleet's gateways from one lap to the next: how many there should be, and
//! who of them owns which traces.

use crate::children::Source;
use crate::observed::{Fleet, GatewayPod, GatewayPodState, Observed};
use crate::planned::DeletionCost;
use crate::report::{Load, Role};
use crate::ring::next_ring;
use crate::scale::{Limits, Measured, Scale};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sluice_crds::Collector;
use sluice_crds::collector::Gateway;
use sluice_engine::config::Config;
use sluice_engine::ring::{Member, Ring};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayMemory {
    pub scale: Scale,
    /// `None`: no gateway was ever ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<Ring>,
}

/// Below all others.
const COST_OF_LEAVING: i32 = -1;

/// Whether the number of gateways may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    Free,
    /// The Collector is paused or has a mistake: its workloads stay. The ring follows them.
    Off,
}

/// `None`: the fleet has no gateways.
pub(crate) fn gateways(
    observed: &Observed,
    (name, collector): (&str, &Collector),
    config: &Config,
    hand: Hand,
) -> Option<GatewayMemory> {
    if config.gateway.is_absent() {
        return None;
    }
    let nothing = Fleet::default();
    let fleet = observed.fleets.get(name).unwrap_or(&nothing);
    let now = Timestamp::from_second(observed.now.as_second()).unwrap_or(observed.now);
    let stored = || crate::children::stored_memory(fleet, name);
    let last = fleet.gateway_memory.as_deref().cloned().or_else(stored);
    let limits = limits(&collector.spec.gateway());
    let scale = match &last {
        Some(last) if hand == Hand::Off => last.scale.clone(),
        Some(last) => {
            let loads = loads(fleet);
            last.scale.next(&limits, &Measured { pods: &fleet.gateways, loads: &loads, now })
        }
        None => {
            let existing = fleet.deployment.and_then(|set| u32::try_from(set.replicas).ok());
            Scale::first(&limits, existing, now)
        }
    };
    let last_ring = last.and_then(|last| last.ring);
    let seen = heard_of(collector, last_ring.as_ref(), now);
    let ring = next_ring(last_ring.as_ref(), members(fleet, config, &scale), seen);
    Some(GatewayMemory { scale, ring })
}

/// Of a Deployment with one replica fewer, the gateway whose traces have moved goes.
pub(crate) fn deletion_costs(source: &Source<'_>) -> Vec<DeletionCost> {
    let memory = source.config.gateways.as_ref();
    let leaving = memory.and_then(|memory| memory.scale.leaving.as_ref());
    let wanted = |pod: &str| match leaving {
        Some(leaving) if leaving.pod == pod => COST_OF_LEAVING,
        _ => 0,
    };
    let pods = source.fleet.gateways.iter().filter(|(_, pod)| pod.state != GatewayPodState::Ending);
    let costs = pods.filter(|(name, pod)| pod.deletion_cost != wanted(name)).map(|(name, _)| {
        DeletionCost { fleet: source.name.to_owned(), pod: name.clone(), cost: wanted(name) }
    });
    costs.collect()
}

fn limits(gateway: &Gateway) -> Limits {
    let scaling = gateway.autoscaling();
    let target = scaling.target();
    let number = |number: i32| u32::try_from(number).unwrap_or_default();
    let duration = |duration: sluice_crds::Duration| {
        SignedDuration::from_millis(i64::try_from(duration.millis()).unwrap_or(i64::MAX))
    };
    let min = number(scaling.min_replicas).max(1);
    Limits {
        min,
        max: number(scaling.max_replicas).max(min),
        target: Load {
            memory_percent: number(target.memory_percent),
            cpu_percent: number(target.cpu_percent),
            queue_percent: number(target.queue_percent),
        },
        stabilization: duration(scaling.scale_down_stabilization),
        handoff: duration(gateway.handoff().timeout),
    }
}

fn loads(fleet: &Fleet) -> BTreeMap<String, Load> {
    let gateways = fleet.report.agents.iter().filter(|(_, state)| state.role == Role::Gateway);
    gateways.filter_map(|(pod, state)| Some((pod.clone(), state.load?))).collect()
}

/// The highest epoch that collectors may know. A ring without a predecessor begins with the second
/// in which it is made: above all that went before it, though that is forgotten.
fn heard_of(collector: &Collector, last: Option<&Ring>, now: Timestamp) -> u64 {
    let told = collector.status.as_ref().and_then(|status| status.gateways.as_ref());
    let told = told.map_or(0, |gateways| gateways.ring_epoch);
    let begun = if last.is_some() { 0 } else { now.as_second() };
    u64::try_from(told.max(begun)).unwrap_or_default()
}

/// The gateways that are ready, but for one that is leaving; that one too where it is the last.
fn members(fleet: &Fleet, config: &Config, scale: &Scale) -> Vec<Member> {
    let ready = fleet.gateways.iter().filter(|(_, pod)| pod.state == GatewayPodState::Ready);
    let member = |(name, pod): (&String, &GatewayPod)| {
        let ip: IpAddr = pod.ip.parse().ok()?;
        let address = SocketAddr::new(ip, config.gateway.port).to_string();
        Some(Member { name: name.clone(), address })
    };
    let all: Vec<Member> = ready.filter_map(member).collect();
    let leaves = |member: &&Member| scale.leaving.as_ref().is_some_and(|l| l.pod == member.name);
    let stay: Vec<Member> = all.iter().filter(|member| !leaves(member)).cloned().collect();
    if stay.is_empty() { all } else { stay }
}
