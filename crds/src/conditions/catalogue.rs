//! What each condition may say of which kinds: the one table.

use super::{ConditionType, Entry, Kind, Polarity, Reason, Status};

const ALL_KINDS: &[Kind] =
    &[Kind::Collector, Kind::TelemetryPipeline, Kind::Destination, Kind::SamplingPolicy];

/// Every condition, in the order in which an object shows them.
pub const CATALOGUE: &[Entry] = &[
    Entry {
        condition: ConditionType::Ready,
        kinds: ALL_KINDS,
        polarity: Polarity::NormalTrue,
        doc: "This generation is accepted, and at least 95 % of the reporting collectors run it. A \
              destination that is down does not change it: see FlowHealthy and Delivering.",
        reasons: &[
            (
                Status::True,
                &[Reason::Reconciled, Reason::Paused, Reason::NoEligibleNodes, Reason::Disabled],
            ),
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
                    Reason::TargetNotFound,
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
                Reason::TargetNotFound,
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
        kinds: &[Kind::TelemetryPipeline, Kind::SamplingPolicy],
        polarity: Polarity::NormalTrue,
        doc: "The object is understood and everything it names exists and may be used. A \
              SamplingPolicy says it of each of its targets too, in `status.ancestors`.",
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
                    Reason::TargetNotFound,
                    Reason::Disabled,
                ],
            ),
        ],
    },
    Entry {
        condition: ConditionType::Programmed,
        kinds: &[Kind::TelemetryPipeline, Kind::SamplingPolicy],
        polarity: Polarity::NormalTrue,
        doc: "The collectors run this generation, by their own word. A SamplingPolicy says it of \
              each of its targets too, in `status.ancestors`.",
        reasons: &[
            (Status::True, &[Reason::Programmed]),
            (
                Status::False,
                &[
                    Reason::RollingOut,
                    Reason::PartiallyProgrammed,
                    Reason::Overridden,
                    Reason::DryRun,
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
        condition: ConditionType::SamplingPolicyAffected,
        kinds: &[Kind::TelemetryPipeline],
        polarity: Polarity::NeutralElseAbsent,
        doc: "A SamplingPolicy decides which of its traces are kept; the message names it.",
        reasons: &[(Status::True, &[Reason::PolicyAffected])],
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
        condition: ConditionType::GatewaysAvailable,
        kinds: &[Kind::Collector],
        polarity: Polarity::NormalTrue,
        doc: "Every gateway that should run is ready.",
        reasons: &[
            (Status::True, &[Reason::AllAvailable, Reason::NotRequired]),
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
    Entry {
        condition: ConditionType::BufferSufficient,
        kinds: &[Kind::SamplingPolicy],
        polarity: Polarity::NormalTrue,
        doc: "Gateways hold every trace until it is whole, so that every rule sees all of it.",
        reasons: &[
            (Status::True, &[Reason::Sufficient, Reason::NotRequired]),
            (Status::False, &[Reason::DecidedEarly, Reason::MemoryTooSmall]),
        ],
    },
    Entry {
        condition: ConditionType::RulesEffective,
        kinds: &[Kind::SamplingPolicy],
        polarity: Polarity::NormalTrue,
        doc: "Each rule can do what it says; `status.rules` says what each one does.",
        reasons: &[
            (Status::True, &[Reason::AllEffective]),
            (
                Status::False,
                &[
                    Reason::RulesShadowed,
                    Reason::HeadCapsFloor,
                    Reason::ContradictoryRules,
                    Reason::NeverMatched,
                ],
            ),
            (Status::Unknown, &[Reason::WarmingUp]),
        ],
    },
    Entry {
        condition: ConditionType::EstimatesUnbiased,
        kinds: &[Kind::SamplingPolicy],
        polarity: Polarity::NormalTrue,
        doc: "Counts of all traces can be recovered from the kept ones: each says with which \
              probability it was kept.",
        reasons: &[
            (Status::True, &[Reason::AssumesUnsampledInput]),
            (Status::False, &[Reason::GuardDropped]),
            (Status::Unknown, &[Reason::InputProbabilityUnknown]),
        ],
    },
];
