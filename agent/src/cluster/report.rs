//! What an agent reports: its books, how its queues fare, which credentials it lacks, what its
//! sampling policies did.

use crate::running::Running;
use crate::secrets::Secrets;
use sluice_engine::books::{Books, NO_PIPELINE, total};
use sluice_engine::limiter::Level;
use sluice_engine::tail::{PolicyCounts, RuleCounts, Tail};
use sluice_wire::control::sampling as wire;
use sluice_wire::control::{DestinationBook, MemoryPressure, PipelineBook, Report};
use std::collections::BTreeMap;

/// Identity, hash and adoption are added by who knows them.
pub(super) fn report(running: &Running, secrets: &Secrets) -> Report {
    let (books, tail) = (running.books(), running.tail());
    let pressure = match running.memory_level() {
        Level::Normal => MemoryPressure::Normal,
        Level::Soft => MemoryPressure::Soft,
        Level::Hard => MemoryPressure::Hard,
    };
    Report {
        pipelines: pipelines(&books),
        destinations: destinations(&books, running, secrets),
        memory_pressure: pressure.into(),
        policies: tail.as_deref().map(policies).unwrap_or_default(),
        tail: tail.as_deref().map(levels),
        ring_epoch: running.ring_epoch(),
        ..Report::default()
    }
}

fn pipelines(books: &Books) -> Vec<PipelineBook> {
    let named = books.pipelines.iter().filter(|((pipeline, _), _)| pipeline != NO_PIPELINE);
    let book = named.map(|((pipeline, signal), book)| {
        let own = books
            .destinations
            .iter()
            .filter(|(key, _)| key.pipeline == *pipeline && key.signal == *signal);
        let (mut dropped, mut sent, mut held) = (total(&book.dropped), 0, book.held);
        for (_, queue) in own {
            dropped += total(&queue.dropped);
            sent += queue.sent;
            held += queue.held;
        }
        PipelineBook {
            pipeline: pipeline.clone(),
            signal: signal.as_str().to_owned(),
            accepted: book.accepted,
            refused: book.refused,
            sampled_out: total(&book.sampled_out),
            dropped,
            sent,
            held,
        }
    });
    book.collect()
}

fn destinations(books: &Books, running: &Running, secrets: &Secrets) -> Vec<DestinationBook> {
    let config = running.intake().config().borrow().clone();
    let lacking: BTreeMap<&String, &'static str> = config
        .destinations
        .iter()
        .filter_map(|(name, destination)| Some((name, secrets.problem_of(destination)?.as_str())))
        .collect();
    let mut queues = running.queues();
    let book = books.destinations.iter().map(|(key, book)| {
        let state = queues.remove(key);
        let failure = state.as_ref().and_then(|state| state.failure.clone());
        let credentials = lacking.get(&key.destination).copied().or_else(|| {
            let reason = failure.as_ref()?.reason;
            reason.is_of_credentials().then(|| reason.as_str())
        });
        let dropped = book.dropped.iter();
        DestinationBook {
            pipeline: key.pipeline.clone(),
            destination: key.destination.clone(),
            signal: key.signal.as_str().to_owned(),
            queued: book.queued,
            sent: book.sent,
            dropped: dropped.map(|(reason, items)| (reason.as_str().to_owned(), *items)).collect(),
            held: book.held,
            queue_percent: state.map_or(0, |state| state.queue_percent),
            failure_reason: failure
                .as_ref()
                .map_or(String::new(), |failure| failure.reason.as_str().to_owned()),
            failure_message: failure.map_or(String::new(), |failure| failure.message),
            credentials_reason: credentials.unwrap_or_default().to_owned(),
        }
    });
    book.collect()
}

fn policies(tail: &Tail) -> Vec<wire::PolicyCounts> {
    let policy = |(policy, counts): (String, PolicyCounts)| {
        // Field by field: a new one is not forgotten.
        let PolicyCounts {
            traces,
            kept,
            error_traces,
            error_traces_kept,
            decided_early,
            would_keep,
            would_keep_errors,
            rules,
            warming,
        } = counts;
        let rule = |(rule, RuleCounts { matched, decided, kept })| wire::RuleCounts {
            rule,
            matched,
            decided,
            kept,
        };
        wire::PolicyCounts {
            policy,
            traces,
            kept,
            error_traces,
            error_traces_kept,
            decided_early,
            would_keep,
            would_keep_errors,
            rules: rules.into_iter().map(rule).collect(),
            warming: warming.into_iter().collect(),
        }
    };
    tail.counts().into_iter().map(policy).collect()
}

fn levels(tail: &Tail) -> wire::TailState {
    wire::TailState {
        open_traces: tail.open_traces(),
        bytes: tail.bytes(),
        late_spans: tail.late_spans(),
    }
}
