//! The conditions that the operator would write, and when they change: its lap without a cluster.

use super::books;
use super::local::Local;
use jiff::Timestamp;
use sluice_agent::Running;
use sluice_plan::report::{AgentState, FleetBooks, Role};
use sluice_plan::{
    DaemonSetState, DeploymentState, Fleet, Kind, ObjectName, Observed, Status, StatusWrite, plan,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const POD: &str = "local";
/// The same process, as the gateway that it is too.
const GATEWAY: &str = "local-gateway";

pub(super) struct Story {
    observed: Observed,
    collector: String,
    config_hash: String,
    books: FleetBooks,
    told: BTreeMap<(Kind, ObjectName, String), Told>,
}

/// A condition's status, reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told(String, String, String);

/// A condition that is new or other than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) kind: &'static str,
    pub(super) object: String,
    pub(super) condition: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Story {
    pub(super) fn new(mut observed: Observed, local: &Local) -> Self {
        let config = Arc::clone(&local.planned);
        let one = DaemonSetState {
            generation: 1,
            observed_generation: 1,
            desired: 1,
            current: 1,
            updated: 1,
            ready: 1,
        };
        let collector = observed.collectors.get(&local.collector);
        let gateways = collector.map_or(1, |c| c.spec.gateway().autoscaling().min_replicas);
        let fleet = Fleet {
            daemon_set: Some(one),
            deployment: Some(DeploymentState {
                generation: 1,
                observed_generation: 1,
                replicas: gateways,
                updated: gateways,
                ready: gateways,
            }),
            configs: BTreeMap::from([(local.config_hash.clone(), Arc::clone(&config))]),
            last_good: Some(config),
            ..Fleet::default()
        };
        observed.fleets.insert(local.collector.clone(), fleet);
        Self {
            observed,
            collector: local.collector.clone(),
            config_hash: local.config_hash.clone(),
            books: FleetBooks::default(),
            told: BTreeMap::new(),
        }
    }

    /// One lap of the operator: observe, plan, and keep the statuses as the API server would.
    pub(super) fn tell(&mut self, running: &Running) -> Vec<Change> {
        let now = Timestamp::now();
        let state = books::state(running, &self.config_hash, now);
        let gateway = AgentState { role: Role::Gateway, ..state.clone() };
        self.books.absorb(POD, books::report(running, state));
        self.observed.now = now;
        if let Some(fleet) = self.observed.fleets.get_mut(&self.collector) {
            fleet.report = self.books.report(now, |_| true);
            fleet.report.agents.insert(GATEWAY.to_owned(), gateway);
        }
        let writes = plan(&self.observed).statuses;
        writes.into_iter().flat_map(|write| self.keep(write)).collect()
    }

    fn keep(&mut self, write: StatusWrite) -> Vec<Change> {
        let kind = write.status.kind();
        let conditions = write.status.conditions().to_vec();
        let observed = &mut self.observed;
        match write.status {
            Status::Collector(status) => {
                if let Some(object) = observed.collectors.get_mut(&write.name.name) {
                    Arc::make_mut(object).status = Some(status);
                }
            }
            Status::TelemetryPipeline(status) => {
                if let Some(object) = observed.pipelines.get_mut(&write.name) {
                    Arc::make_mut(object).status = Some(status);
                }
            }
            Status::Destination(status) => {
                if let Some(object) = observed.destinations.get_mut(&write.name) {
                    Arc::make_mut(object).status = Some(status);
                }
            }
            Status::SamplingPolicy(status) => {
                if let Some(object) = observed.policies.get_mut(&write.name) {
                    Arc::make_mut(object).status = Some(status);
                }
            }
        }
        let mut changes = Vec::new();
        for condition in conditions {
            let now = Told(condition.status, condition.reason, condition.message);
            let key = (kind, write.name.clone(), condition.type_.clone());
            if self.told.get(&key) == Some(&now) {
                continue;
            }
            changes.push(Change {
                kind: kind.as_str(),
                object: write.name.to_string(),
                condition: condition.type_,
                status: now.0.clone(),
                reason: now.1.clone(),
                message: now.2.clone(),
            });
            self.told.insert(key, now);
        }
        changes
    }
}
