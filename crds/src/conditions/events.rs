//! What is told once, when it happens: each event with its meaning and the remedy.

/// How `kubectl` shows an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

macro_rules! catalogue {
    ($($type:ident $name:ident $doc:literal, $remedy:literal;)*) => {
        /// An event's reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventReason {
            $(#[doc = $doc] $name,)*
        }

        impl EventReason {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            pub fn event_type(self) -> EventType {
                match self {
                    $(Self::$name => EventType::$type,)*
                }
            }

            /// What it means, for users.
            pub fn doc(self) -> &'static str {
                match self {
                    $(Self::$name => $doc,)*
                }
            }

            /// What to do about it; empty when nothing has to be done.
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                }
            }
        }
    };
}

catalogue! {
    Normal ConfigPublished
        "A new configuration was handed to the agents.",
        "";
    Normal ConfigAdopted
        "The agents run the new configuration.",
        "";
    Normal DestinationRecovered
        "A destination that was unreachable takes data again.",
        "";
    Normal DriftRepaired
        "A child of the Collector had been changed or deleted by hand and was restored.",
        "Change the Collector instead; what it lacks goes through `podTemplatePatch`.";
    Normal UpgradeCompleted
        "All agents run the operator's version.",
        "";
    Normal GatewayStarted
        "A policy needs whole traces, so gateways are started.",
        "";
    Normal GatewayScaled
        "The number of gateways changes with the load.",
        "";
    Normal GatewayStopped
        "Nothing needs whole traces any more, so gateways are stopped.",
        "";
    Normal RingChanged
        "Traces have new owners among the gateways; open ones are handed over.",
        "";
    Normal PolicyProgrammed
        "The collectors apply the sampling policy.",
        "";
    Normal DryRunReport
        "What a sampling policy with mode DryRun would have kept in the last day.",
        "Set `spec.mode` to Enforce to apply it.";
    Warning CollectorRejected
        "A Collector has a mistake; the fleet runs on as before.",
        "Correct the field that the note names.";
    Warning PipelineRejected
        "A pipeline has a mistake; its last good version runs on.",
        "Correct what the note names.";
    Warning DestinationRejected
        "A destination has a mistake; its last good version is used on.",
        "Correct the field that the note names.";
    Warning ConfigRejected
        "An agent refused a configuration and runs on with the last good one.",
        "Read the note; if the objects are right, please report a bug.";
    Warning DestinationUnreachable
        "A destination cannot be reached, or does not answer.",
        "Check that it runs, its endpoint, and network policies.";
    Warning CredentialsRejected
        "A destination refuses its credentials.",
        "Renew the credentials in the Secret.";
    Warning SecretMissing
        "A Secret that a destination names does not exist, or lacks a key.",
        "Create it in the destination's namespace.";
    Warning SecretAccessDenied
        "Agents may not read a Secret that a destination names.",
        "Apply the Role and RoleBinding that the condition's message prints.";
    Warning DataDropped
        "A pipeline began to lose data.",
        "Look at the pipeline's condition FlowHealthy.";
    Warning BufferFillingUp
        "A queue is filling up.",
        "Look at the destination, or raise `delivery.queue.maxSize`.";
    Warning MemoryPressure
        "Agents shed telemetry in order not to be killed.",
        "Raise the agents' memory, or send less.";
    Warning AgentOOMKilled
        "An agent was killed for using too much memory.",
        "Raise `spec.agent.resources.limits.memory`.";
    Warning AgentsUnavailable
        "Agents that should be ready are not.",
        "Look at the Collector's condition AgentsAvailable.";
    Warning PolicyRejected
        "A sampling policy has a mistake; its last good version runs on.",
        "Correct what the note names.";
    Warning RulesShadowed
        "A rule of a sampling policy changes nothing, since another one always keeps as much.",
        "Look at the policy's condition RulesEffective.";
    Warning TracesDecidedEarly
        "Gateways decide traces before their time, since no more may be open.",
        "Look at the policy's condition BufferSufficient.";
}
