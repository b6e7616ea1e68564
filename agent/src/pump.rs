//! One destination queue at work: hands its batches to the transport, one task for each under way.

use crate::ack::AckToken;
use crate::flow::Flow;
use crate::meter::Meter;
use crate::send::{Ends, Failure, Transport};
use sluice_engine::books::{DestinationBook, QueueKey};
use sluice_engine::compiled::Outlet;
use sluice_engine::queue::{Batch, Chunk, Next, Outcome, Queue};
use sluice_engine::tick::Tick;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub(crate) struct Pump {
    pub(crate) key: QueueKey,
    queue: Mutex<Queue<AckToken>>,
    wake: Notify,
    transport: Mutex<Arc<Transport>>,
    failure: Mutex<Option<Failure>>,
    meter: Arc<Meter>,
}

/// How a queue fares, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PumpState {
    pub queue_percent: u32,
    pub queue_bytes: u64,
    /// Of the last delivery; `None` while deliveries succeed.
    pub failure: Option<Failure>,
}

impl Pump {
    pub(crate) fn new(key: QueueKey, outlet: &Outlet, ends: &Ends, meter: Arc<Meter>) -> Self {
        let transport = Transport::new(outlet, ends);
        Self {
            key,
            queue: Mutex::new(Queue::new(outlet.bounds.clone())),
            wake: Notify::new(),
            transport: Mutex::new(Arc::new(transport)),
            failure: Mutex::new(None),
            meter,
        }
    }

    /// Other bounds, other destination settings; what is held stays.
    pub(crate) fn change(&self, outlet: &Outlet, ends: &Ends) {
        self.with(|queue| queue.set_bounds(outlet.bounds.clone()));
        let mut transport = self.transport.lock().unwrap_or_else(PoisonError::into_inner);
        if !transport.is_for(&outlet.destination) {
            *transport = Arc::new(Transport::new(outlet, ends));
        }
        self.wake.notify_one();
    }

    pub(crate) fn reserve(&self, cost: u64) -> bool {
        self.with(|queue| queue.reserve(cost))
    }

    pub(crate) fn has_room(&self) -> bool {
        self.with(|queue| queue.has_room())
    }

    /// For what cannot be refused any more.
    pub(crate) fn reserve_anyway(&self, cost: u64) {
        self.with(|queue| queue.reserve_anyway(cost));
    }

    pub(crate) fn cancel(&self, cost: u64) {
        self.with(|queue| queue.cancel(cost));
    }

    pub(crate) fn push(&self, chunks: impl Iterator<Item = Chunk<AckToken>>, now: Tick) {
        let wake =
            self.with(|queue| chunks.fold(false, |wake, chunk| wake | queue.push(chunk, now)));
        if wake {
            self.wake.notify_one();
        }
    }

    /// What is not under way, for other queues.
    pub(crate) fn take_all(&self) -> Vec<Chunk<AckToken>> {
        let taken = self.with(Queue::take_all);
        self.wake.notify_one();
        taken
    }

    pub(crate) fn close(&self) {
        self.with(Queue::close);
        self.wake.notify_one();
    }

    pub(crate) fn book(&self) -> DestinationBook {
        self.with(|queue| queue.book())
    }

    pub(crate) fn state(&self) -> PumpState {
        let (queue_percent, queue_bytes) = self.with(|queue| (queue.percent(), queue.bytes()));
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        PumpState { queue_percent, queue_bytes, failure }
    }

    /// Every change of the queue is seen by the meter.
    fn with<T>(&self, change: impl FnOnce(&mut Queue<AckToken>) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let before = queue.bytes();
        let result = change(&mut queue);
        self.meter.queue_changed(before, queue.bytes());
        result
    }
}

/// Runs until the queue is closed and empty, or `abandon` turns true: what is left then is counted
/// as dropped by the shutdown.
pub(crate) async fn run(pump: Arc<Pump>, flow: Arc<Flow>, mut abandon: watch::Receiver<bool>) {
    let mut sending = JoinSet::new();
    while !*abandon.borrow_and_update() {
        let deadline = match pump.with(|queue| queue.next(flow.now())) {
            Next::Send(batch) => {
                sending.spawn(deliver(
                    Arc::clone(&pump),
                    Arc::clone(&flow),
                    batch,
                    abandon.clone(),
                ));
                continue;
            }
            Next::WaitUntil(tick) => Some(tick.since(flow.now())),
            Next::Wait => None,
            Next::Drained => break,
        };
        tokio::select! {
            () = pump.wake.notified() => (),
            Some(_) = sending.join_next() => (),
            () = sleep(deadline) => (),
            _ = abandon.changed() => (),
        }
    }
    while sending.join_next().await.is_some() {}
    for ack in pump.with(Queue::abandon) {
        ack.lose();
    }
    flow.retire(&pump);
}

async fn sleep(span: Option<std::time::Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

async fn deliver(
    pump: Arc<Pump>,
    flow: Arc<Flow>,
    batch: Batch<AckToken>,
    mut abandon: watch::Receiver<bool>,
) {
    let transport = {
        let transport = pump.transport.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&transport)
    };
    let result = tokio::select! {
        result = transport.send(pump.key.signal, &batch.chunks) => result,
        _ = abandon.wait_for(|abandoned| *abandoned) => {
            let acks = pump.with(|queue| queue.abandon_batch(batch));
            acks.into_iter().for_each(AckToken::lose);
            return;
        }
    };
    let (outcome, failure) = match result {
        Ok(outcome) => (outcome, None),
        Err(failure) if failure.for_good => (Outcome::Rejected, Some(failure)),
        Err(failure) => (Outcome::Failed { delay: failure.delay }, Some(failure)),
    };
    pump.note(failure);
    let is_failed = matches!(outcome, Outcome::Failed { .. });
    let has_moved = is_failed && (flow.is_draining(&pump) || flow.is_older(&batch));
    pump.with(|queue| queue.settle(batch, &outcome, flow.now(), random()));
    if has_moved {
        flow.reroute(&pump);
    }
}

impl Pump {
    /// Logs the first failure of a row, and its end.
    fn note(&self, failure: Option<Failure>) {
        let before = {
            let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, failure.clone())
        };
        let QueueKey { pipeline, destination, signal } = &self.key;
        let signal = signal.as_str();
        match (before, failure) {
            (None, Some(failure)) => {
                let (reason, message) = (failure.reason.as_str(), failure.message);
                tracing::warn!(pipeline, destination, signal, reason, message, "delivery failed");
            }
            (Some(_), None) => tracing::info!(pipeline, destination, signal, "delivers again"),
            _ => (),
        }
    }
}

/// In `0.0..1.0`, from the hasher's keys: enough to keep collectors out of step.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = bits as f64 / (1_u64 << 53) as f64;
    fraction
}
