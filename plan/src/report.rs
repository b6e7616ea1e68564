//! What the collectors of one fleet say of themselves, summed up as it comes in: a lap of the
//! planner then costs nothing per agent and pipeline.

mod books;
mod policies;

pub use books::{FleetBooks, WINDOW_S};
pub use policies::{PolicyFlow, PolicyGrowth, TailFlow};
pub use sluice_engine::Signal;
pub use sluice_engine::tail::{DEFAULT_RULE, PolicyCounts, RuleCounts};

use jiff::Timestamp;
use std::collections::BTreeMap;

/// The sum over a fleet, as the planner reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetReport {
    /// By pod.
    pub agents: BTreeMap<String, AgentState>,
    pub flows: BTreeMap<FlowKey, Flow>,
    pub deliveries: BTreeMap<DeliveryKey, Delivery>,
    /// By `namespace/name`, those that some agent has counted for.
    pub policies: BTreeMap<String, PolicyFlow>,
    pub tail: TailFlow,
}

/// What an agent or a gateway says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentState {
    pub role: Role,
    pub node: String,
    pub version: String,
    /// Hash of the configuration that runs.
    pub config_hash: String,
    pub adoption: Adoption,
    /// Only with [`Adoption::Failed`].
    pub adoption_error: String,
    pub memory: MemoryPressure,
    /// Peers that could not be identified since the process started.
    pub unknown_peers: u64,
    /// Only of gateways.
    pub load: Option<Load>,
    /// When the agent last reported.
    pub seen: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    #[default]
    Agent,
    Gateway,
}

/// What a gateway uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of the hard limit.
    pub memory_percent: u32,
    /// Of [`sluice_engine::config::gateway::Gateway::cpu_millis`].
    pub cpu_percent: u32,
    /// Of the fullest queue, but for those to destinations that fail: more gateways would not help.
    pub queue_percent: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adoption {
    #[default]
    Unknown,
    Applying,
    Applied,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryPressure {
    #[default]
    Normal,
    Soft,
    Hard,
}

/// A pipeline as `namespace/name`, and one of its signals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    pub pipeline: String,
    pub signal: Signal,
}

/// Destination first: the deliveries of one stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryKey {
    pub destination: String,
    pub pipeline: String,
    pub signal: Signal,
}

/// Items, since the operator began to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    pub accepted: u64,
    pub refused: u64,
    pub sampled_out: u64,
    pub dropped: u64,
    pub sent: u64,
    /// A level, not a counter.
    pub held: u64,
}

/// Items a second over the last [`WINDOW_S`] seconds or the part of them that was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowRates {
    pub accepted: f64,
    pub refused: f64,
    pub sampled_out: f64,
    pub dropped: f64,
    pub sent: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    pub total: FlowCounters,
    pub rates: FlowRates,
    /// The rates as of the last time that a status might show others: every [`WINDOW_S`] seconds.
    pub shown: FlowRates,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    pub queued: u64,
    pub sent: u64,
    /// By reason.
    pub dropped: BTreeMap<String, u64>,
    /// Items waiting now.
    pub held: u64,
    /// Of the fullest queue.
    pub queue_percent: u32,
    /// Items a second.
    pub sent_rate: f64,
    pub dropped_rate: f64,
    /// Agents whose last delivery failed, by reason; the message is that of the first pod.
    pub failures: BTreeMap<String, Failure>,
    /// Agents that could not read a credential, by reason.
    pub credentials: BTreeMap<String, u32>,
    /// Agents that wrote in this book.
    pub agents: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub agents: u32,
    pub message: String,
}

/// One report, as it came off the wire.
#[derive(Clone, Debug)]
pub struct AgentReport {
    /// Different for each process start: its counters began at zero.
    pub incarnation: String,
    pub state: AgentState,
    pub flows: BTreeMap<FlowKey, FlowCounters>,
    pub deliveries: BTreeMap<DeliveryKey, DeliveryBook>,
    /// By `namespace/name`; since the start of the incarnation.
    pub policies: BTreeMap<String, PolicyCounts>,
    pub tail: TailState,
}

/// The traces that one agent holds until they are decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailState {
    /// Open now.
    pub open_traces: u64,
    /// All that is held for them now.
    pub bytes: u64,
    /// Spans that came after their trace was kept, since the start of the incarnation.
    pub late_spans: u64,
}

/// Counters since the start of the incarnation, but for `held`, `queue_percent` and the reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryBook {
    pub queued: u64,
    pub sent: u64,
    pub dropped: BTreeMap<String, u64>,
    pub held: u64,
    pub queue_percent: u32,
    /// Empty while deliveries succeed.
    pub failure_reason: String,
    pub failure_message: String,
    /// Empty when all credentials are there.
    pub credentials_reason: String,
}

#[cfg(test)]
mod tests;
