//! The collector's books as what people and the planner read: one line a pipeline and signal.

use sluice_agent::Running;
use sluice_engine::books::{Books, NO_PIPELINE, total};
use sluice_engine::limiter::Level;
use sluice_engine::tail::Tail;
use sluice_plan::report::{
    Adoption, AgentReport, AgentState, DeliveryBook, DeliveryKey, FlowCounters, FlowKey,
    MemoryPressure, Role, Signal, TailState,
};
use std::collections::BTreeMap;

/// Items of one signal of one pipeline since the start; `held` are waiting now, for a decision or
/// for their destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) pipeline: String,
    pub(super) signal: Signal,
    pub(super) accepted: u64,
    pub(super) sampled_out: u64,
    pub(super) sent: u64,
    pub(super) dropped: u64,
    pub(super) held: u64,
}

/// What no pipeline wanted is a row only once there was any.
pub(super) fn rows(books: &Books) -> Vec<Row> {
    let shown = books.pipelines.iter().filter(|((pipeline, signal), book)| {
        let unwanted = pipeline == NO_PIPELINE;
        let has_queue =
            books.destinations.keys().any(|key| key.pipeline == *pipeline && key.signal == *signal);
        if unwanted { 0 < book.accepted } else { has_queue }
    });
    shown
        .map(|((pipeline, signal), book)| {
            let mut row = Row {
                pipeline: if pipeline == NO_PIPELINE { "(none)".into() } else { pipeline.clone() },
                signal: *signal,
                accepted: book.accepted,
                sampled_out: total(&book.sampled_out),
                sent: 0,
                dropped: total(&book.dropped),
                held: book.held,
            };
            for (key, queue) in &books.destinations {
                if key.pipeline == *pipeline && key.signal == *signal {
                    row.sent += queue.sent;
                    row.dropped += total(&queue.dropped);
                    row.held += queue.held;
                }
            }
            row
        })
        .collect()
}

/// What the operator of a cluster would make of the agent's report.
pub(super) fn report(running: &Running, state: AgentState) -> AgentReport {
    let books = running.books();
    let mut flows = BTreeMap::new();
    for row in rows(&books).iter().filter(|row| row.pipeline.contains('/')) {
        let book = books.pipelines.get(&(row.pipeline.clone(), row.signal));
        let counters = FlowCounters {
            accepted: row.accepted,
            refused: book.map_or(0, |book| book.refused),
            sampled_out: row.sampled_out,
            dropped: row.dropped,
            sent: row.sent,
            held: row.held,
        };
        let key = FlowKey { pipeline: row.pipeline.clone(), signal: row.signal };
        flows.insert(key, counters);
    }
    let deliveries = deliveries(running, &books);
    let tail = running.tail();
    AgentReport {
        incarnation: "local".to_owned(),
        state,
        flows,
        deliveries,
        policies: tail.as_ref().map(|tail| tail.counts()).unwrap_or_default(),
        tail: tail.map(|tail| tail_state(&tail)).unwrap_or_default(),
    }
}

fn tail_state(tail: &Tail) -> TailState {
    TailState {
        open_traces: tail.open_traces(),
        bytes: tail.bytes(),
        late_spans: tail.late_spans(),
    }
}

fn deliveries(running: &Running, books: &Books) -> BTreeMap<DeliveryKey, DeliveryBook> {
    let queues = running.queues();
    let mut deliveries = BTreeMap::new();
    for (key, book) in &books.destinations {
        let state = queues.get(key);
        let failure = state.and_then(|state| state.failure.as_ref());
        let credentials = failure.filter(|failure| failure.reason.is_of_credentials());
        let book = DeliveryBook {
            queued: book.queued,
            sent: book.sent,
            dropped: book.dropped.iter().map(|(why, n)| (why.as_str().to_owned(), *n)).collect(),
            held: book.held,
            queue_percent: state.map_or(0, |state| state.queue_percent),
            failure_reason: failure.map_or("", |failure| failure.reason.as_str()).to_owned(),
            failure_message: failure.map_or_else(String::new, |failure| failure.message.clone()),
            credentials_reason: credentials.map_or("", |f| f.reason.as_str()).to_owned(),
        };
        let (destination, pipeline) = (key.destination.clone(), key.pipeline.clone());
        let signal = key.signal;
        deliveries.insert(DeliveryKey { destination, pipeline, signal }, book);
    }
    deliveries
}

/// The one agent of a fleet on this machine.
pub(super) fn state(running: &Running, config_hash: &str, seen: jiff::Timestamp) -> AgentState {
    AgentState {
        role: Role::Agent,
        node: "local".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_hash: config_hash.to_owned(),
        adoption: Adoption::Applied,
        adoption_error: String::new(),
        memory: match running.memory_level() {
            Level::Hard => MemoryPressure::Hard,
            Level::Soft => MemoryPressure::Soft,
            Level::Normal => MemoryPressure::Normal,
        },
        unknown_peers: 0,
        load: None,
        seen,
    }
}
