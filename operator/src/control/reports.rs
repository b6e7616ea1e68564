//! What collectors report, added up per fleet as it comes in. A collector whose stream ended
//! counts with its last word for a while.

use crate::control::Identity;
use jiff::Timestamp;
use sluice_plan::report::{
    Adoption, AgentReport, AgentState, DeliveryBook, DeliveryKey, FleetBooks, FleetReport,
    FlowCounters, FlowKey, Load, MemoryPressure, PolicyCounts, Role, RuleCounts, Signal, TailState,
};
use sluice_wire::control::{self as wire, Hello, Report};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// All fleets' reports. One lock, held for one report or one sum at a time.
pub struct Reports {
    /// For how long a last report outlives its stream.
    kept: Duration,
    /// Rung when a report says something that a status should say soon.
    wake: Arc<Notify>,
    fleets: Mutex<HashMap<String, FleetMemory>>,
}

#[derive(Default)]
struct FleetMemory {
    books: FleetBooks,
    pods: HashMap<String, PodMemory>,
}

struct PodMemory {
    /// The newest stream of this pod: an older one that ends late changes nothing.
    stream: u64,
    ended: Option<Instant>,
    notable: Notable,
}

/// What of a report is worth a lap at once; the rest waits for the next.
#[derive(Debug, Default, PartialEq, Eq)]
struct Notable {
    config_hash: String,
    adoption: Adoption,
    adoption_error: String,
    memory: MemoryPressure,
    /// Reasons of failures and of unreadable credentials.
    reasons: BTreeSet<(DeliveryKey, String, String)>,
}

impl Reports {
    pub fn new(kept: Duration, wake: Arc<Notify>) -> Self {
        Self { kept, wake, fleets: Mutex::default() }
    }

    /// A pod has attached; `stream` tells its streams apart and grows.
    pub fn began(&self, fleet: &str, pod: &str, stream: u64) {
        let mut fleets = self.lock();
        let pods = &mut fleets.entry(fleet.to_owned()).or_default().pods;
        let memory = pods.entry(pod.to_owned()).or_insert_with(|| PodMemory {
            stream,
            ended: None,
            notable: Notable::default(),
        });
        memory.stream = stream;
        memory.ended = None;
    }

    pub fn absorb(&self, identity: &Identity, hello: &Hello, report: Report, now: Timestamp) {
        let report = agent_report(identity, hello, report, now);
        let notable = Notable::of(&report);
        let mut fleets = self.lock();
        let Some(fleet) = fleets.get_mut(&hello.fleet) else { return };
        fleet.books.absorb(&identity.pod, report);
        if let Some(memory) = fleet.pods.get_mut(&identity.pod)
            && memory.notable != notable
        {
            memory.notable = notable;
            self.wake.notify_one();
        }
    }

    pub fn ended(&self, fleet: &str, pod: &str, stream: u64) {
        let mut fleets = self.lock();
        let memory = fleets.get_mut(fleet).and_then(|fleet| fleet.pods.get_mut(pod));
        if let Some(memory) = memory
            && memory.stream == stream
        {
            memory.ended = Some(Instant::now());
        }
    }

    /// The sum over one fleet. A pod that is not one of `existing` is forgotten with its stream,
    /// any other `kept` after it.
    pub fn report(
        &self,
        fleet: &str,
        now: Timestamp,
        existing: &BTreeSet<String>,
        is_object: impl Fn(&str) -> bool,
    ) -> FleetReport {
        let mut fleets = self.lock();
        let Some(memory) = fleets.get_mut(fleet) else { return FleetReport::default() };
        let kept = self.kept;
        let FleetMemory { books, pods } = memory;
        pods.retain(|pod, state| {
            let keep = state.ended.is_none_or(|at| existing.contains(pod) && at.elapsed() < kept);
            if !keep {
                books.forget(pod);
            }
            keep
        });
        books.report(now, is_object)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, FleetMemory>> {
        self.fleets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notable {
    fn of(report: &AgentReport) -> Self {
        let failing = report.deliveries.iter().filter(|(_, book)| {
            !book.failure_reason.is_empty() || !book.credentials_reason.is_empty()
        });
        let state = &report.state;
        Self {
            config_hash: state.config_hash.clone(),
            adoption: state.adoption,
            adoption_error: state.adoption_error.clone(),
            memory: state.memory,
            reasons: failing
                .map(|(key, book)| {
                    (key.clone(), book.failure_reason.clone(), book.credentials_reason.clone())
                })
                .collect(),
        }
    }
}

/// Off the wire. Books of a signal that this version does not know are left out.
fn agent_report(identity: &Identity, hello: &Hello, report: Report, now: Timestamp) -> AgentReport {
    let adoption = adoption(report.adoption());
    let memory = memory(report.memory_pressure());
    AgentReport {
        incarnation: hello.incarnation.clone(),
        state: AgentState {
            role: if identity.is_gateway { Role::Gateway } else { Role::Agent },
            node: identity.node.clone(),
            version: hello.version.clone(),
            config_hash: report.config_hash,
            adoption,
            adoption_error: report.adoption_error,
            memory,
            unknown_peers: report.unknown_peers_total,
            load: report.load.map(load),
            seen: now,
        },
        flows: report.pipelines.into_iter().filter_map(flow).collect(),
        deliveries: report.destinations.into_iter().filter_map(delivery).collect(),
        policies: report.policies.into_iter().map(policy).collect(),
        tail: report.tail.map(tail).unwrap_or_default(),
    }
}

fn load(load: wire::gateway::Load) -> Load {
    let wire::gateway::Load { memory_percent, cpu_percent, queue_percent } = load;
    Load { memory_percent, cpu_percent, queue_percent }
}

fn adoption(adoption: wire::Adoption) -> Adoption {
    match adoption {
        wire::Adoption::Unspecified => Adoption::Unknown,
        wire::Adoption::Applying => Adoption::Applying,
        wire::Adoption::Applied => Adoption::Applied,
        wire::Adoption::Failed => Adoption::Failed,
    }
}

fn memory(pressure: wire::MemoryPressure) -> MemoryPressure {
    match pressure {
        wire::MemoryPressure::Unspecified | wire::MemoryPressure::Normal => MemoryPressure::Normal,
        wire::MemoryPressure::Soft => MemoryPressure::Soft,
        wire::MemoryPressure::Hard => MemoryPressure::Hard,
    }
}

fn flow(book: wire::PipelineBook) -> Option<(FlowKey, FlowCounters)> {
    let key = FlowKey { pipeline: book.pipeline, signal: Signal::parse(&book.signal)? };
    let counters = FlowCounters {
        accepted: book.accepted,
        refused: book.refused,
        sampled_out: book.sampled_out,
        dropped: book.dropped,
        sent: book.sent,
        held: book.held,
    };
    Some((key, counters))
}

fn delivery(book: wire::DestinationBook) -> Option<(DeliveryKey, DeliveryBook)> {
    let key = DeliveryKey {
        destination: book.destination,
        pipeline: book.pipeline,
        signal: Signal::parse(&book.signal)?,
    };
    let counters = DeliveryBook {
        queued: book.queued,
        sent: book.sent,
        dropped: book.dropped.into_iter().collect::<BTreeMap<_, _>>(),
        held: book.held,
        queue_percent: book.queue_percent,
        failure_reason: book.failure_reason,
        failure_message: book.failure_message,
        credentials_reason: book.credentials_reason,
    };
    Some((key, counters))
}

fn policy(counts: wire::sampling::PolicyCounts) -> (String, PolicyCounts) {
    let rules = counts.rules.into_iter().map(|rule| {
        let wire::sampling::RuleCounts { rule, matched, decided, kept } = rule;
        (rule, RuleCounts { matched, decided, kept })
    });
    let own = PolicyCounts {
        traces: counts.traces,
        kept: counts.kept,
        error_traces: counts.error_traces,
        error_traces_kept: counts.error_traces_kept,
        decided_early: counts.decided_early,
        would_keep: counts.would_keep,
        would_keep_errors: counts.would_keep_errors,
        rules: rules.collect(),
        warming: counts.warming.into_iter().collect(),
    };
    (counts.policy, own)
}

fn tail(state: wire::sampling::TailState) -> TailState {
    let wire::sampling::TailState { open_traces, bytes, late_spans } = state;
    TailState { open_traces, bytes, late_spans }
}

#[cfg(test)]
mod tests;
