//! The three equations that say where every item went. Counters are items since the start.

use sluice_wire::Signal;
use std::collections::BTreeMap;
use std::fmt;

/// Why a receiver did not take an item. The sender knows, and may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Not OTLP, cut short, or wrongly compressed.
    Malformed,
    TooLarge,
    /// Unknown method, content type or encoding.
    Unsupported,
    MemoryLimiter,
    /// A queue with `onFull: Block` has no room.
    QueueFull,
    ShuttingDown,
    /// The body did not arrive in time.
    TimedOut,
    /// Not by an agent or gateway of the fleet.
    Unauthorized,
    /// Handed over by an old ring: its sender will know the owner soon.
    NotOwner,
}

impl Refused {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::MemoryLimiter => "memory_limiter",
            Self::QueueFull => "queue_full",
            Self::ShuttingDown => "shutting_down",
            Self::TimedOut => "timed_out",
            Self::Unauthorized => "unauthorized",
            Self::NotOwner => "not_owner",
        }
    }
}

/// Why an accepted item was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// No pipeline wanted it.
    NoPipeline,
    /// The queue was full, and `onFull` is not `Block`.
    QueueFull,
    /// Older than `delivery.queue.maxAge`.
    Expired,
    /// Failed for longer than `delivery.retry.maxElapsed`.
    RetriesExhausted,
    /// The destination refused it for good.
    Rejected,
    /// Still held when the shutdown's deadline passed.
    Shutdown,
    /// The buffer of open traces was full, and `onBufferFull` is `DropNew`.
    BufferFull,
    /// A span whose trace id is empty or zero: no policy can be about its trace.
    NoTraceId,
    /// Held spans could not be read back.
    Unreadable,
}

impl Dropped {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPipeline => "no_pipeline",
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
            Self::BufferFull => "buffer_full",
            Self::NoTraceId => "no_trace_id",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Which rule took an item out of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampledOut {
    MemoryLimiter,
    /// By a floor or the default of a policy.
    Policy,
    /// By a policy's limit.
    Limit,
    /// It came after its trace was sampled out.
    Late,
    /// By the head of a policy, before it was held.
    Head,
}

impl SampledOut {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemoryLimiter => "memory_limiter",
            Self::Policy => "policy",
            Self::Limit => "limit",
            Self::Late => "late",
            Self::Head => "head",
        }
    }
}

/// `offered = accepted + refused`. A request that could not be read counts as one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverBook {
    pub offered: u64,
    pub accepted: u64,
    pub refused: BTreeMap<Refused, u64>,
}

/// `accepted × fan-out = sampled_out + dropped + held + queued + handed_over`. What another gateway
/// handed over was accepted there: here it is only in `copies`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineBook {
    pub accepted: u64,
    /// Items refused because a queue of this pipeline had no room.
    pub refused: u64,
    /// `accepted × fan-out`, summed at the fan-out of each moment, and what was handed over to here.
    pub copies: u64,
    pub sampled_out: BTreeMap<SampledOut, u64>,
    pub dropped: BTreeMap<Dropped, u64>,
    /// Copies of the spans of traces that are not decided yet.
    pub held: u64,
    pub queued: u64,
    /// Copies of the spans of open traces that have another gateway now.
    pub handed_over: u64,
}

/// `queued = sent + dropped + held`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationBook {
    pub queued: u64,
    pub sent: u64,
    pub dropped: BTreeMap<Dropped, u64>,
    pub held: u64,
}

impl DestinationBook {
    /// Adds what another queue of the same key went through.
    pub fn merge(&mut self, other: &Self) {
        let Self { queued, sent, held, dropped } = other;
        self.queued += queued;
        self.sent += sent;
        self.held += held;
        for (reason, items) in dropped {
            *self.dropped.entry(*reason).or_default() += items;
        }
    }
}

/// One queue: what a pipeline sends of one signal to one destination (`namespace/name` both).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    pub pipeline: String,
    pub destination: String,
    pub signal: Signal,
}

/// Key of the book of what no pipeline wanted.
pub const NO_PIPELINE: &str = "";

/// All books of one incarnation, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub receivers: BTreeMap<Signal, ReceiverBook>,
    /// By pipeline (`namespace/name`, or [`NO_PIPELINE`]).
    pub pipelines: BTreeMap<(String, Signal), PipelineBook>,
    pub destinations: BTreeMap<QueueKey, DestinationBook>,
}

/// An equation that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imbalance {
    pub book: String,
    pub left: u64,
    pub right: u64,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} is not {}", self.book, self.left, self.right)
    }
}

impl std::error::Error for Imbalance {}

impl Books {
    /// # Errors
    /// The first equation that does not hold.
    pub fn check(&self) -> Result<(), Imbalance> {
        for (signal, book) in &self.receivers {
            let right = book.accepted + total(&book.refused);
            equal(|| format!("receiver {}", signal.as_str()), book.offered, right)?;
            equal(
                || format!("receiver {}, accepted by pipelines", signal.as_str()),
                book.accepted,
                book.accepted.min(self.taken_up(*signal)),
            )?;
        }
        for ((pipeline, signal), book) in &self.pipelines {
            let lost = total(&book.sampled_out) + total(&book.dropped);
            let right = lost + book.held + book.queued + book.handed_over;
            let name = || format!("pipeline {pipeline} {}", signal.as_str());
            equal(name, book.copies, right)?;
            let name = || format!("queues of pipeline {pipeline} {}", signal.as_str());
            equal(name, book.queued, self.queued_by(pipeline, *signal))?;
        }
        for (key, book) in &self.destinations {
            let right = book.sent + total(&book.dropped) + book.held;
            let name = || {
                let signal = key.signal.as_str();
                format!("destination {} of {} {signal}", key.destination, key.pipeline)
            };
            equal(name, book.queued, right)?;
        }
        Ok(())
    }

    /// Every accepted item is in the book of one pipeline or more, or of none of them.
    fn taken_up(&self, signal: Signal) -> u64 {
        let of_signal = self.pipelines.iter().filter(|((_, other), _)| *other == signal);
        of_signal.map(|(_, book)| book.accepted).sum()
    }

    fn queued_by(&self, pipeline: &str, signal: Signal) -> u64 {
        let own = |key: &&QueueKey| key.pipeline == pipeline && key.signal == signal;
        let queues = self.destinations.iter().filter(|(key, _)| own(key));
        queues.map(|(_, book)| book.queued).sum()
    }
}

/// The sum over all reasons.
pub fn total<K>(counts: &BTreeMap<K, u64>) -> u64 {
    counts.values().sum()
}

fn equal(book: impl Fn() -> String, left: u64, right: u64) -> Result<(), Imbalance> {
    if left == right { Ok(()) } else { Err(Imbalance { book: book(), left, right }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        let key = QueueKey {
            pipeline: "shop/shop".into(),
            destination: "shop/tempo".into(),
            signal: Signal::Traces,
        };
        Books {
            receivers: BTreeMap::from([(
                Signal::Traces,
                ReceiverBook {
                    offered: 12,
                    accepted: 10,
                    refused: BTreeMap::from([(Refused::Malformed, 2)]),
                },
            )]),
            pipelines: BTreeMap::from([(
                ("shop/shop".into(), Signal::Traces),
                PipelineBook {
                    accepted: 10,
                    copies: 10,
                    sampled_out: BTreeMap::from([(SampledOut::MemoryLimiter, 3)]),
                    queued: 7,
                    ..PipelineBook::default()
                },
            )]),
            destinations: BTreeMap::from([(
                key,
                DestinationBook {
                    queued: 7,
                    sent: 4,
                    dropped: BTreeMap::from([(Dropped::Expired, 1)]),
                    held: 2,
                },
            )]),
        }
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Books), expected: &str) {
        let mut books = books();
        change(&mut books);
        let found = books.check().err().map(|error| error.to_string());
        assert_eq!(found.unwrap_or_default(), expected);
    }

    #[test]
    fn whole_books_balance() {
        check(|_| (), "");
    }

    #[test]
    fn an_item_missing_at_any_stage_is_named() {
        let traces = Signal::Traces;
        check(
            |books| books.receivers.get_mut(&traces).unwrap().offered = 13,
            "receiver traces: 13 is not 12",
        );
        check(
            |books| books.receivers.get_mut(&traces).unwrap().refused.clear(),
            "receiver traces: 12 is not 10",
        );
        check(
            |books| books.pipelines.values_mut().for_each(|book| book.copies = 20),
            "pipeline shop/shop traces: 20 is not 10",
        );
        check(
            |books| books.destinations.clear(),
            "queues of pipeline shop/shop traces: 7 is not 0",
        );
        check(
            |books| books.destinations.values_mut().for_each(|book| book.held = 0),
            "destination shop/tempo of shop/shop traces: 7 is not 5",
        );
        check(
            |books| books.pipelines.clear(),
            "receiver traces, accepted by pipelines: 10 is not 0",
        );
    }
}
