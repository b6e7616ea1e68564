//! What the status of a Collector says of its gateways.

use super::adoption::Count;
use super::collector::unready_reason;
use super::conditions::Conditions;
use super::flow::sentence;
use crate::gateways::GatewayMemory;
use crate::observed::{DeploymentState, Fleet, GatewayPodState, Settings};
use jiff::Timestamp;
use sluice_crds::CollectorSpec;
use sluice_crds::collector::GatewayCounts;
use sluice_crds::conditions::{ConditionType, Reason, Status};

/// How far the Deployment has come.
pub(super) struct Gateways<'a> {
    /// `None`: there are to be none.
    wanted: Option<&'a GatewayMemory>,
    set: DeploymentState,
    /// Why gateways are not there.
    pub(super) reason: Reason,
    /// So many must be ready for the Collector to be: load alone changes nothing about that.
    floor: i32,
    /// Some gateway is not ready for longer than the deadline, or was never made.
    pub(super) hangs: bool,
}

impl<'a> Gateways<'a> {
    pub(super) fn of(
        wanted: Option<&'a GatewayMemory>,
        spec: &CollectorSpec,
        fleet: &Fleet,
        settings: &Settings,
        now: Timestamp,
    ) -> Self {
        let unready = fleet.gateways.values().filter_map(|pod| match &pod.state {
            GatewayPodState::Unready(unready) => Some(unready),
            GatewayPodState::Ready | GatewayPodState::Ending => None,
        });
        let unready: Vec<_> = unready.collect();
        let set = fleet.deployment.unwrap_or_default();
        let desired = wanted.map_or(0, desired);
        let floor = spec.gateway().autoscaling().min_replicas.min(desired);
        let late =
            unready.iter().any(|u| now.duration_since(u.since) >= settings.progress_deadline);
        Self {
            wanted,
            set,
            reason: unready_reason(unready.iter().map(|unready| unready.reason).min()),
            floor,
            hangs: late || (unready.is_empty() && set.ready < floor),
        }
    }

    /// As many as there have to be at least, all of the wanted version.
    pub(super) fn is_done(&self) -> bool {
        self.set.ready >= self.floor && self.set.updated >= self.floor
    }

    pub(super) fn set_available(&self, conditions: &mut Conditions<'_>) {
        let (status, reason) = match self.wanted {
            None => (Status::True, Reason::NotRequired),
            Some(wanted) if self.set.ready >= desired(wanted) => {
                (Status::True, Reason::AllAvailable)
            }
            Some(_) => (Status::False, self.reason),
        };
        conditions.set(ConditionType::GatewaysAvailable, status, reason, sentence(reason));
    }

    pub(super) fn counts(&self, count: Count, before: Option<&GatewayCounts>) -> GatewayCounts {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let ring = self.wanted.and_then(|wanted| wanted.ring.as_ref());
        let epoch = ring.and_then(|ring| i64::try_from(ring.epoch()).ok());
        let desired = self.wanted.map_or(0, desired);
        let ready = if self.wanted.is_some() { self.set.ready } else { 0 };
        GatewayCounts {
            desired,
            ready,
            adopted: number(count.adopted),
            reporting: number(count.of),
            // The rings of gateways that come later must be above it.
            ring_epoch: epoch.or(before.map(|before| before.ring_epoch)).unwrap_or_default(),
            summary: format!("{ready}/{desired}"),
        }
    }
}

fn desired(wanted: &GatewayMemory) -> i32 {
    i32::try_from(wanted.scale.replicas).unwrap_or(i32::MAX)
}
