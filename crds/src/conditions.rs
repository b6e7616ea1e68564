//! The catalogue of conditions: what the operator may say about an object, and what to do about it.
//!
//! Each word is written here once; status, documentation and runbooks are made from it. Words are
//! part of the API: none is ever renamed.

mod events;
mod reasons;

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
    AgentsAvailable,
    ConfigAdopted,
    MemoryPressure,
    SenderIdentityDegraded,
    CredentialsValid,
    Reachable,
    TLSHealthy,
    Delivering,
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
}

/// An object that has conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Collector,
    TelemetryPipeline,
    Destination,
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
            Self::AgentsAvailable => "AgentsAvailable",
            Self::ConfigAdopted => "ConfigAdopted",
            Self::MemoryPressure => "MemoryPressure",
            Self::SenderIdentityDegraded => "SenderIdentityDegraded",
            Self::CredentialsValid => "CredentialsValid",
            Self::Reachable => "Reachable",
            Self::TLSHealthy => "TLSHealthy",
            Self::Delivering => "Delivering",
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
        }
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "Collector",
            Self::TelemetryPipeline => "TelemetryPipeline",
            Self::Destination => "Destination",
        }
    }
}

const ALL_KINDS: &[Kind] = &[Kind::Collector, Kind::TelemetryPipeline, Kind::Destination];

/// Every condition, in the order in which an object shows them.
pub const CATALOGUE: &[Entry] = &[
    Entry {
        condition: ConditionType::Ready,
        kinds: ALL_KINDS,
        polarity: Polarity::NormalTrue,
        doc: "This generation is accepted, and at least 95 % of the reporting agents run it. A \
              destination that is down does not change it: see FlowHealthy and Delivering.",
        reasons: &[
            (Status::True, &[Reason::Reconciled, Reason::Paused, Reason::NoEligibleNodes]),
            (
                Status::False,
                &[
                    Reason::Progressing,
                    Reason::SecretMissing,
                    Reason::SecretKeyMissing,
                    Reason::SecretAccessDenied,
                    Reason::InvalidSpec,
                    Reason::RefNotPermitted,
                    Reason::CollectorNotFound,
                    Reason::DestinationNotFound,
                    Reason::DestinationNotAllowed,
                    Reason::DestinationInvalid,
                    Reason::UnsupportedSignal,
                    Reason::RejectedByAgent,
                    Reason::QuotaDenied,
                    Reason::PermissionDenied,
                    Reason::ProgressDeadlineExceeded,
                ],
            ),
        ],
    },
    Entry {
        condition: ConditionType::Reconciling,
        kinds: ALL_KINDS,
        polarity: Polarity::AbnormalTrueElseAbsent,
        doc: "The operator is still working on this generation.",
        reasons: &[(
            Status::True,
            &[
                Reason::RollingOut,
                Reason::WaitingForAgents,
                Reason::SecretMissing,
                Reason::SecretKeyMissing,
            ],
        )],
    },
    Entry {
        condition: ConditionType::Stalled,
        kinds: ALL_KINDS,
        polarity: Polarity::AbnormalTrueElseAbsent,
        doc: "This generation will not become ready by itself: somebody has to act.",
        reasons: &[(
            Status::True,
            &[
                Reason::InvalidSpec,
                Reason::RefNotPermitted,
                Reason::CollectorNotFound,
                Reason::DestinationNotFound,
                Reason::DestinationNotAllowed,
                Reason::DestinationInvalid,
                Reason::UnsupportedSignal,
                Reason::SecretMissing,
                Reason::SecretKeyMissing,
                Reason::SecretAccessDenied,
                Reason::RejectedByAgent,
                Reason::QuotaDenied,
                Reason::PermissionDenied,
                Reason::ProgressDeadlineExceeded,
            ],
        )],
    },
    Entry {
        condition: ConditionType::Accepted,
        kinds: &[Kind::TelemetryPipeline],
        polarity: Polarity::NormalTrue,
        doc: "The pipeline is understood and everything it names exists and may be used.",
        reasons: &[
            (Status::True, &[Reason::Accepted]),
            (
                Status::False,
                &[
                    Reason::InvalidSpec,
                    Reason::RefNotPermitted,
                    Reason::CollectorNotFound,
                    Reason::DestinationNotFound,
                    Reason::DestinationNotAllowed,
                    Reason::DestinationInvalid,
                    Reason::UnsupportedSignal,
                ],
            ),
        ],
    },
    Entry {
        condition: ConditionType::Programmed,
        kinds: &[Kind::TelemetryPipeline],
        polarity: Polarity::NormalTrue,
        doc: "The agents run this generation, by their own word.",
        reasons: &[
            (Status::True, &[Reason::Programmed]),
            (
                Status::False,
                &[
                    Reason::RollingOut,
                    Reason::PartiallyProgrammed,
                    Reason::NoCollectors,
                    Reason::RejectedByAgent,
                ],
            ),
        ],
    },
    Entry {
        condition: ConditionType::FlowHealthy,
        kinds: &[Kind::TelemetryPipeline],
        polarity: Polarity::NormalTrue,
        doc: "What is collected arrives at its destinations.",
        reasons: &[
            (Status::True, &[Reason::FlowHealthy, Reason::NoTraffic]),
            (
                Status::False,
                &[
                    Reason::AllDataDropped,
                    Reason::SomeDataDropped,
                    Reason::BufferFillingUp,
                    Reason::Throttled,
                    Reason::DestinationUnreachable,
                    Reason::DestinationRejects,
                ],
            ),
            (Status::Unknown, &[Reason::StaleReports]),
        ],
    },
    Entry {
        condition: ConditionType::AgentsAvailable,
        kinds: &[Kind::Collector],
        polarity: Polarity::NormalTrue,
        doc: "Every node that should run an agent has one that is ready.",
        reasons: &[
            (Status::True, &[Reason::AllAvailable, Reason::NoEligibleNodes]),
            (
                Status::False,
                &[
                    Reason::RolloutInProgress,
                    Reason::PodsCrashLooping,
                    Reason::ImagePullFailed,
                    Reason::OOMKilled,
                    Reason::Unschedulable,
                ],
            ),
        ],
    },
    Entry {
        condition: ConditionType::ConfigAdopted,
        kinds: &[Kind::Collector],
        polarity: Polarity::NormalTrue,
        doc: "The reporting agents run the wanted configuration.",
        reasons: &[
            (Status::True, &[Reason::Adopted]),
            (
                Status::False,
                &[Reason::AdoptionInProgress, Reason::SomeAgentsStale, Reason::RejectedByAgent],
            ),
            (Status::Unknown, &[Reason::StaleReports]),
        ],
    },
    Entry {
        condition: ConditionType::MemoryPressure,
        kinds: &[Kind::Collector],
        polarity: Polarity::AbnormalTrue,
        doc: "Agents shed telemetry in order not to be killed.",
        reasons: &[
            (Status::True, &[Reason::SoftLimitReached, Reason::HardLimitReached]),
            (Status::False, &[Reason::Normal]),
        ],
    },
    Entry {
        condition: ConditionType::SenderIdentityDegraded,
        kinds: &[Kind::Collector],
        polarity: Polarity::AbnormalTrue,
        doc: "Many senders cannot be told apart by their address; their telemetry reaches only \
              pipelines of the system namespace, marked as unknown.",
        reasons: &[(Status::True, &[Reason::UnknownPeers]), (Status::False, &[Reason::Normal])],
    },
    Entry {
        condition: ConditionType::CredentialsValid,
        kinds: &[Kind::Destination],
        polarity: Polarity::NormalTrue,
        doc: "The Secrets that the destination names are there, readable by agents, and taken.",
        reasons: &[
            (Status::True, &[Reason::CredentialsValid, Reason::NotRequired]),
            (
                Status::False,
                &[
                    Reason::SecretMissing,
                    Reason::SecretKeyMissing,
                    Reason::SecretAccessDenied,
                    Reason::Unauthorized,
                ],
            ),
            (Status::Unknown, &[Reason::NotProbed]),
        ],
    },
    Entry {
        condition: ConditionType::Reachable,
        kinds: &[Kind::Destination],
        polarity: Polarity::NormalTrue,
        doc: "Agents can connect.",
        reasons: &[
            (Status::True, &[Reason::Reachable, Reason::NotRequired]),
            (
                Status::False,
                &[
                    Reason::DNSFailed,
                    Reason::ConnectionRefused,
                    Reason::Timeout,
                    Reason::SomeNodesCannotReach,
                ],
            ),
            (Status::Unknown, &[Reason::NotProbed]),
        ],
    },
    Entry {
        condition: ConditionType::TLSHealthy,
        kinds: &[Kind::Destination],
        polarity: Polarity::NormalTrue,
        doc: "The connection is secured as asked.",
        reasons: &[
            (Status::True, &[Reason::Healthy, Reason::NotRequired]),
            (
                Status::False,
                &[
                    Reason::UnknownAuthority,
                    Reason::HostnameMismatch,
                    Reason::CertificateExpired,
                    Reason::HandshakeFailed,
                ],
            ),
            (Status::Unknown, &[Reason::NotProbed]),
        ],
    },
    Entry {
        condition: ConditionType::Delivering,
        kinds: &[Kind::Destination],
        polarity: Polarity::NormalTrue,
        doc: "The destination takes what is sent to it.",
        reasons: &[
            (Status::True, &[Reason::Delivering, Reason::NoTraffic]),
            (
                Status::False,
                &[
                    Reason::AllRejected,
                    Reason::SomeRejected,
                    Reason::RateLimited,
                    Reason::StorageFailed,
                    Reason::QueueFull,
                    Reason::DestinationUnreachable,
                ],
            ),
            (Status::Unknown, &[Reason::StaleReports]),
        ],
    },
];

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
