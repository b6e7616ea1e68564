//! The catalogue of conditions: what the operator may say about an object, and what to do about it.
//!
//! Each word is written here once; status, documentation and runbooks are made from it. Words are
//! part of the API: none is ever renamed.

mod catalogue;
mod events;
mod reasons;

pub use catalogue::CATALOGUE;
pub use events::{EventReason, EventType};
pub use reasons::Reason;

use schemars::{Schema, SchemaGenerator, json_schema};

/// An aspect of an object. Absent until the object was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    Ready,
    Reconciling,
    Stalled,
    Accepted,
    Programmed,
    FlowHealthy,
    SamplingPolicyAffected,
    AgentsAvailable,
    GatewaysAvailable,
    ConfigAdopted,
    MemoryPressure,
    SenderIdentityDegraded,
    CredentialsValid,
    Reachable,
    TLSHealthy,
    Delivering,
    BufferSufficient,
    RulesEffective,
    EstimatesUnbiased,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    True,
    False,
    Unknown,
}

/// What a condition that is True means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// All is well.
    NormalTrue,
    /// Something is wrong or under way.
    AbnormalTrue,
    /// Something is wrong or under way; when it is not, the condition is absent.
    AbnormalTrueElseAbsent,
    /// It is so, for better or worse; when it is not, the condition is absent.
    NeutralElseAbsent,
}

/// An object that has conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Collector,
    TelemetryPipeline,
    Destination,
    SamplingPolicy,
}

/// All that may be said by one condition.
#[derive(Debug)]
pub struct Entry {
    pub condition: ConditionType,
    pub kinds: &'static [Kind],
    pub polarity: Polarity,
    /// What it is about, for users.
    pub doc: &'static str,
    pub reasons: &'static [(Status, &'static [Reason])],
}

impl ConditionType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Accepted => "Accepted",
            Self::Programmed => "Programmed",
            Self::FlowHealthy => "FlowHealthy",
            Self::SamplingPolicyAffected => "SamplingPolicyAffected",
            Self::AgentsAvailable => "AgentsAvailable",
            Self::GatewaysAvailable => "GatewaysAvailable",
            Self::ConfigAdopted => "ConfigAdopted",
            Self::MemoryPressure => "MemoryPressure",
            Self::SenderIdentityDegraded => "SenderIdentityDegraded",
            Self::CredentialsValid => "CredentialsValid",
            Self::Reachable => "Reachable",
            Self::TLSHealthy => "TLSHealthy",
            Self::Delivering => "Delivering",
            Self::BufferSufficient => "BufferSufficient",
            Self::RulesEffective => "RulesEffective",
            Self::EstimatesUnbiased => "EstimatesUnbiased",
        }
    }
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Polarity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NormalTrue => "True is good",
            Self::AbnormalTrue => "True is bad",
            Self::AbnormalTrueElseAbsent => "present only while True",
            Self::NeutralElseAbsent => "neither good nor bad, present only while True",
        }
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "Collector",
            Self::TelemetryPipeline => "TelemetryPipeline",
            Self::Destination => "Destination",
            Self::SamplingPolicy => "SamplingPolicy",
        }
    }
}

/// The largest whole number that a JSON reader keeps exact.
const GENERATION_MAX: i64 = 9_007_199_254_740_991;

/// `status.conditions`, bounded.
pub(crate) fn list_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "description": "What the condition is about.",
                    "type": "string", "minLength": 1, "maxLength": 63,
                    "pattern": "^[A-Za-z]+$",
                },
                "status": {
                    "description": "Whether it is so.",
                    "type": "string", "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "The generation of the object that this speaks of.",
                    "type": "integer", "format": "int64",
                    "minimum": 0, "maximum": GENERATION_MAX,
                },
                "lastTransitionTime": {
                    "description": "When the status last changed.",
                    "type": "string", "format": "date-time", "maxLength": 64,
                },
                "reason": {
                    "description": "Why, in one word; the words are listed in the reference.",
                    "type": "string", "minLength": 1, "maxLength": 63,
                    "pattern": "^[A-Za-z]+$",
                },
                "message": {
                    "description": "What happened, to which object, and what to do.",
                    "type": "string", "maxLength": 4096,
                },
            },
        },
    })
}
