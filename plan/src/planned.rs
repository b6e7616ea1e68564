//! What should exist, and what to tell each user about his objects.

use crate::observed::ObjectName;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use sluice_crds::conditions::{EventReason, EventType, Kind};
use sluice_crds::{CollectorStatus, DestinationStatus, TelemetryPipelineStatus};
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
    /// Collectors whose children are to be left as they are: paused, or not understood.
    pub untouched: Vec<String>,
    /// Only those that differ from what is observed.
    pub statuses: Vec<StatusWrite>,
    /// Only of transitions that [`Plan::statuses`] holds.
    pub events: Vec<Event>,
}

/// The config of one fleet, as it is sent to its agents.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetConfig {
    pub config: Arc<Config>,
    /// [`Config::to_bytes`].
    pub bytes: Arc<[u8]>,
    /// [`sluice_engine::config::hash`] of the bytes.
    pub hash: String,
}

/// An object owned by a Collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// The name of the Collector.
    pub fleet: String,
    pub object: DynamicObject,
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
}

impl Status {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Collector(_) => Kind::Collector,
            Self::TelemetryPipeline(_) => Kind::TelemetryPipeline,
            Self::Destination(_) => Kind::Destination,
        }
    }

    fn to_value(&self) -> Value {
        let value = match self {
            Self::Collector(status) => serde_json::to_value(status),
            Self::TelemetryPipeline(status) => serde_json::to_value(status),
            Self::Destination(status) => serde_json::to_value(status),
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
