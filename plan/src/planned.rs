//! What should exist, and what to tell each user about his objects.

use crate::gateways::GatewayMemory;
use crate::observed::ObjectName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use sluice_crds::conditions::{ConditionType, EventReason, EventType, Kind};
use sluice_crds::{
    CollectorStatus, DestinationStatus, SamplingPolicyStatus, TelemetryPipelineStatus,
};
use sluice_engine::config::Config;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By the name of the Collector, those that are paused or invalid included: what their agents
    /// should run.
    pub fleets: BTreeMap<String, FleetConfig>,
    /// To apply, in this order. What carries the labels of a child and is not named here is to be
    /// deleted, but for the children of [`Plan::untouched`].
    pub children: Vec<Child>,
    /// To set before the children are applied: who of the gateways goes first.
    pub deletion_costs: Vec<DeletionCost>,
    /// Collectors whose children are to be left as they are: paused, or not understood.
    pub untouched: Vec<String>,
    /// Only those that differ from what is observed.
    pub statuses: Vec<StatusWrite>,
    /// Only of transitions that [`Plan::statuses`] holds.
    pub events: Vec<Event>,
}

/// The config of one fleet, as it is sent to its agents and gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetConfig {
    pub config: Arc<Config>,
    /// [`Config::to_bytes`].
    pub bytes: Arc<[u8]>,
    /// [`sluice_engine::config::hash`] of the bytes.
    pub hash: String,
    /// The ring travels beside the config; the whole is to be observed as
    /// [`crate::Fleet::gateway_memory`] in the next lap. `None`: the fleet has no gateways.
    pub gateways: Option<Arc<GatewayMemory>>,
}

/// An object owned by a Collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// The name of the Collector.
    pub fleet: String,
    pub object: DynamicObject,
}

/// The annotation `controller.kubernetes.io/pod-deletion-cost` that a pod is to have and has not;
/// without it the cost is 0, and the cheapest pod goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionCost {
    /// The name of the Collector.
    pub fleet: String,
    pub pod: String,
    pub cost: i32,
}

/// The new status of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    pub name: ObjectName,
    pub status: Status,
    /// A condition changes with it: goes out before those in which only numbers moved.
    pub urgent: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Collector(CollectorStatus),
    TelemetryPipeline(TelemetryPipelineStatus),
    Destination(DestinationStatus),
    SamplingPolicy(SamplingPolicyStatus),
}

impl Status {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Collector(_) => Kind::Collector,
            Self::TelemetryPipeline(_) => Kind::TelemetryPipeline,
            Self::Destination(_) => Kind::Destination,
            Self::SamplingPolicy(_) => Kind::SamplingPolicy,
        }
    }

    pub fn conditions(&self) -> &[Condition] {
        match self {
            Self::Collector(status) => &status.conditions,
            Self::TelemetryPipeline(status) => &status.conditions,
            Self::Destination(status) => &status.conditions,
            Self::SamplingPolicy(status) => &status.conditions,
        }
    }

    pub fn is_ready(&self) -> bool {
        let ready = ConditionType::Ready.as_str();
        self.conditions().iter().any(|own| own.type_ == ready && own.status == "True")
    }

    fn to_value(&self) -> Value {
        let value = match self {
            Self::Collector(status) => serde_json::to_value(status),
            Self::TelemetryPipeline(status) => serde_json::to_value(status),
            Self::Destination(status) => serde_json::to_value(status),
            Self::SamplingPolicy(status) => serde_json::to_value(status),
        };
        value.unwrap_or_default()
    }
}

impl StatusWrite {
    /// The body of a server-side apply of the status subresource.
    pub fn patch(&self) -> Value {
        let mut metadata = json!({ "name": self.name.name });
        if !self.name.namespace.is_empty() {
            metadata["namespace"] = json!(self.name.namespace);
        }
        json!({
            "apiVersion": API_VERSION,
            "kind": self.status.kind().as_str(),
            "metadata": metadata,
            "status": self.status.to_value(),
        })
    }
}

pub const API_VERSION: &str = "sluice.dev/v1alpha1";

/// To be recorded as an `events.k8s.io/v1` Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub name: ObjectName,
    pub uid: String,
    pub reason: EventReason,
    /// That of the reason.
    pub severity: EventType,
    /// Deterministic; ends with what to do.
    pub note: String,
}

impl Event {
    /// `what` (kind and name) of a fleet was not as it had been applied, and is again.
    pub fn drift_repaired(child: &Child, what: &str) -> Self {
        let reason = EventReason::DriftRepaired;
        let owners = child.object.owner_references();
        Self {
            kind: Kind::Collector,
            name: ObjectName::new("", &child.fleet),
            uid: owners.first().map(|owner| owner.uid.clone()).unwrap_or_default(),
            reason,
            severity: reason.event_type(),
            note: format!(
                "{what} had been changed or deleted and was restored. {}",
                reason.remedy()
            ),
        }
    }
}
