//! The bounded queue before one destination: batching, age, retry and what happens when it is full.
//!
//! The shell sends what [`Queue::next`] hands out and says what became of it ([`Queue::settle`]).

use crate::books::{DestinationBook, Dropped};
use crate::config::{Batch as BatchConfig, Delivery, OnFull};
use crate::tick::Tick;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// Batches under way to one destination.
pub const IN_FLIGHT_MAX: u32 = 4;
/// What an entry costs besides its bytes.
pub const OVERHEAD_BYTES: u64 = 128;
/// A peer that asks for a longer pause is asked again after this.
pub const PEER_DELAY_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub batch_timeout: Duration,
    pub batch_items: u64,
    pub batch_bytes_max: u64,
    pub bytes_max: u64,
    pub age_max: Duration,
    pub retry_initial: Duration,
    pub retry_max: Duration,
    pub retry_elapsed_max: Duration,
    pub on_full: OnFull,
}

impl Bounds {
    pub fn new(batch: &BatchConfig, delivery: &Delivery) -> Self {
        Self {
            batch_timeout: Duration::from_millis(batch.timeout_ms),
            batch_items: u64::from(batch.items),
            batch_bytes_max: batch.bytes_max,
            bytes_max: delivery.queue_bytes_max,
            age_max: Duration::from_millis(delivery.age_max_ms),
            retry_initial: Duration::from_millis(delivery.retry_initial_ms),
            retry_max: Duration::from_millis(delivery.retry_max_ms),
            retry_elapsed_max: Duration::from_millis(delivery.retry_elapsed_max_ms),
            on_full: delivery.on_full,
        }
    }
}

/// A part of an export request: chunks put one after the other are a valid request.
#[derive(Clone, Debug)]
pub struct Chunk<A> {
    pub body: Bytes,
    pub items: u64,
    /// Dropped once the chunk was sent or is lost for good.
    pub ack: Option<A>,
}

impl<A> Chunk<A> {
    /// Bytes that the chunk counts for.
    pub fn cost(&self) -> u64 {
        self.body.len() as u64 + OVERHEAD_BYTES
    }
}

/// What leaves in one request.
#[derive(Debug)]
pub struct Batch<A> {
    pub chunks: Vec<Chunk<A>>,
    pub items: u64,
    /// Cost of all chunks.
    pub bytes: u64,
    oldest: Tick,
    /// Of [`Queue::round`] when it was handed out.
    round: u64,
    failed_first: Option<Tick>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `rejected` items of it were refused for good (partial success).
    Sent { rejected: u64 },
    /// The first chunks of it were taken; the others are sent again, as they are.
    SentFirst { chunks: usize },
    /// Refused for good.
    Rejected,
    /// To be tried again, not before the peer's delay.
    Failed { delay: Option<Duration> },
}

/// What the shell does now.
#[derive(Debug)]
pub enum Next<A> {
    Send(Batch<A>),
    WaitUntil(Tick),
    /// Until something is pushed or settled, or the queue is closed.
    Wait,
    /// Closed and empty.
    Drained,
}

#[derive(Debug)]
pub struct Queue<A> {
    bounds: Bounds,
    waiting: VecDeque<(Tick, Chunk<A>)>,
    waiting_items: u64,
    waiting_bytes: u64,
    retrying: VecDeque<Batch<A>>,
    in_flight: u32,
    in_flight_items: u64,
    /// Cost of everything held, and of what is reserved.
    bytes: u64,
    /// In a row.
    failures: u32,
    /// Rises with each failure that counts: batches under way together fail together.
    round: u64,
    paused_until: Tick,
    closed: bool,
    book: DestinationBook,
}

impl<A> Queue<A> {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiting: VecDeque::new(),
            waiting_items: 0,
            waiting_bytes: 0,
            retrying: VecDeque::new(),
            in_flight: 0,
            in_flight_items: 0,
            bytes: 0,
            failures: 0,
            round: 0,
            paused_until: Tick::default(),
            closed: false,
            book: DestinationBook::default(),
        }
    }

    /// Takes effect for what follows; nothing held is dropped by it.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Makes room for chunks of this cost; false when a queue that blocks has none. What is larger
    /// than the whole queue is let in when the queue is empty, else it could never pass.
    #[must_use]
    pub fn reserve(&mut self, cost: u64) -> bool {
        if self.bounds.on_full != OnFull::Block {
            return true;
        }
        if 0 < self.bytes && self.bounds.bytes_max < self.bytes.saturating_add(cost) {
            return false;
        }
        self.bytes += cost;
        true
    }

    /// False when a queue that blocks is full.
    pub fn has_room(&self) -> bool {
        self.bounds.on_full != OnFull::Block || self.bytes < self.bounds.bytes_max
    }

    /// Makes room where there may be none: for what cannot be refused any more.
    pub fn reserve_anyway(&mut self, cost: u64) {
        if self.bounds.on_full == OnFull::Block {
            self.bytes += cost;
        }
    }

    /// Gives back what [`Queue::reserve`] took.
    pub fn cancel(&mut self, cost: u64) {
        if self.bounds.on_full == OnFull::Block {
            self.bytes -= cost;
        }
    }

    /// Adds a reserved chunk. True when the shell has to look at [`Queue::next`].
    pub fn push(&mut self, chunk: Chunk<A>, now: Tick) -> bool {
        assert!(!self.closed, "nothing is pushed into a closed queue");
        self.book.queued += chunk.items;
        let cost = chunk.cost();
        if self.bounds.on_full != OnFull::Block {
            if !self.make_room(cost) {
                self.count_dropped(Dropped::QueueFull, chunk.items);
                return false;
            }
            self.bytes += cost;
        }
        let was_due = self.is_due(now);
        let was_empty = self.waiting.is_empty();
        self.waiting_items += chunk.items;
        self.waiting_bytes += cost;
        self.waiting.push_back((now, chunk));
        was_empty || (!was_due && self.is_due(now))
    }

    /// The batch to send now, or when to ask again.
    pub fn next(&mut self, now: Tick) -> Next<A> {
        self.expire(now);
        if self.waiting.is_empty() && self.retrying.is_empty() {
            return if self.closed && self.in_flight == 0 { Next::Drained } else { Next::Wait };
        }
        // While it fails, the destination is probed by one batch at a time.
        let in_flight_max = if self.failures == 0 { IN_FLIGHT_MAX } else { 1 };
        if in_flight_max <= self.in_flight {
            return Next::Wait;
        }
        if now < self.paused_until {
            return Next::WaitUntil(self.paused_until);
        }
        if let Some(batch) = self.retrying.pop_front() {
            return Next::Send(self.take_off(batch));
        }
        if self.is_due(now) {
            let batch = self.fill_batch();
            return Next::Send(self.take_off(batch));
        }
        match self.waiting.front() {
            Some((oldest, _)) => Next::WaitUntil(oldest.plus(self.bounds.batch_timeout)),
            None => Next::Wait,
        }
    }

    /// `random` is in `0.0..1.0`: the jitter of a retry.
    pub fn settle(&mut self, batch: Batch<A>, outcome: &Outcome, now: Tick, random: f64) {
        self.in_flight -= 1;
        self.in_flight_items -= batch.items;
        match outcome {
            Outcome::Sent { rejected } => {
                let rejected = batch.items.min(*rejected);
                self.book.sent += batch.items - rejected;
                self.count_dropped(Dropped::Rejected, rejected);
                self.recover(&batch);
            }
            Outcome::SentFirst { chunks } => self.send_others(batch, *chunks),
            Outcome::Rejected => {
                self.count_dropped(Dropped::Rejected, batch.items);
                self.recover(&batch);
            }
            Outcome::Failed { delay } => self.retry_later(batch, *delay, now, random),
        }
    }

    /// Nothing more will come: what is held leaves without waiting for more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Takes out all that is not under way, for another queue: it was never in this one.
    pub fn take_all(&mut self) -> Vec<Chunk<A>> {
        let waiting = self.waiting.drain(..).map(|(_, chunk)| chunk);
        let retrying = self.retrying.drain(..).flat_map(|batch| batch.chunks);
        let taken: Vec<Chunk<A>> = retrying.chain(waiting).collect();
        self.bytes -= taken.iter().map(Chunk::cost).sum::<u64>();
        self.book.queued -= taken.iter().map(|chunk| chunk.items).sum::<u64>();
        self.waiting_items = 0;
        self.waiting_bytes = 0;
        taken
    }

    /// Gives up what has not left. The acks of it are returned, since it was not delivered.
    pub fn abandon(&mut self) -> Vec<A> {
        let waiting = self.waiting.drain(..).map(|(_, chunk)| chunk);
        let retrying = self.retrying.drain(..).flat_map(|batch| batch.chunks);
        let given_up: Vec<Chunk<A>> = retrying.chain(waiting).collect();
        let items = given_up.iter().map(|chunk| chunk.items).sum();
        self.bytes -= given_up.iter().map(Chunk::cost).sum::<u64>();
        self.waiting_items = 0;
        self.waiting_bytes = 0;
        self.count_dropped(Dropped::Shutdown, items);
        given_up.into_iter().filter_map(|chunk| chunk.ack).collect()
    }

    /// Counts a batch that was still under way at the deadline; its acks are returned.
    pub fn abandon_batch(&mut self, batch: Batch<A>) -> Vec<A> {
        self.in_flight -= 1;
        self.in_flight_items -= batch.items;
        self.bytes -= batch.bytes;
        self.count_dropped(Dropped::Shutdown, batch.items);
        batch.chunks.into_iter().filter_map(|chunk| chunk.ack).collect()
    }

    /// `held` is counted from what is there, not derived from the other columns.
    pub fn book(&self) -> DestinationBook {
        let waiting: u64 = self.waiting.iter().map(|(_, chunk)| chunk.items).sum();
        let retrying: u64 = self.retrying.iter().map(|batch| batch.items).sum();
        let held = waiting + retrying + self.in_flight_items;
        DestinationBook { held, ..self.book.clone() }
    }

    /// Cost of all that is held or reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From 0 to 100.
    pub fn percent(&self) -> u32 {
        let percent = self.bytes.saturating_mul(100) / self.bounds.bytes_max.max(1);
        u32::try_from(percent.min(100)).unwrap_or(100)
    }

    fn is_due(&self, now: Tick) -> bool {
        let Some((oldest, _)) = self.waiting.front() else { return false };
        self.closed
            || self.bounds.batch_items <= self.waiting_items
            || self.bounds.batch_bytes_max <= self.waiting_bytes
            || self.bounds.batch_timeout <= now.since(*oldest)
    }

    fn fill_batch(&mut self) -> Batch<A> {
        let mut chunks = Vec::new();
        let (mut items, mut bytes, mut body_bytes) = (0, 0, 0);
        let oldest = self.waiting.front().map_or(Tick::default(), |(at, _)| *at);
        while let Some((_, chunk)) = self.waiting.front() {
            let grown = body_bytes + chunk.body.len() as u64;
            let full = self.bounds.batch_items <= items || self.bounds.batch_bytes_max < grown;
            if full && !chunks.is_empty() {
                break;
            }
            let Some((_, chunk)) = self.waiting.pop_front() else { break };
            items += chunk.items;
            bytes += chunk.cost();
            body_bytes = grown;
            chunks.push(chunk);
        }
        self.waiting_items -= items;
        self.waiting_bytes -= bytes;
        Batch { chunks, items, bytes, oldest, round: self.round, failed_first: None }
    }

    fn take_off(&mut self, mut batch: Batch<A>) -> Batch<A> {
        batch.round = self.round;
        self.in_flight += 1;
        self.in_flight_items += batch.items;
        batch
    }

    fn recover(&mut self, batch: &Batch<A>) {
        self.bytes -= batch.bytes;
        self.failures = 0;
        self.paused_until = Tick::default();
    }

    fn send_others(&mut self, mut batch: Batch<A>, taken: usize) {
        let chunks = batch.chunks.split_off(taken.min(batch.chunks.len()));
        let items = chunks.iter().map(|chunk| chunk.items).sum();
        let bytes = chunks.iter().map(Chunk::cost).sum();
        batch.items -= items;
        batch.bytes -= bytes;
        self.book.sent += batch.items;
        self.recover(&batch);
        if !chunks.is_empty() {
            self.retrying.push_front(Batch { chunks, items, bytes, ..batch });
        }
    }

    fn retry_later(
        &mut self,
        mut batch: Batch<A>,
        delay: Option<Duration>,
        now: Tick,
        random: f64,
    ) {
        if batch.round == self.round {
            self.failures = self.failures.saturating_add(1);
            self.round += 1;
        }
        let peer = delay.unwrap_or_default().min(PEER_DELAY_MAX);
        let pause = backoff(&self.bounds, self.failures, random).max(peer);
        self.paused_until = self.paused_until.max(now.plus(pause));
        let failed_first = *batch.failed_first.get_or_insert(now);
        if self.bounds.retry_elapsed_max <= now.since(failed_first) {
            self.bytes -= batch.bytes;
            self.count_dropped(Dropped::RetriesExhausted, batch.items);
            return;
        }
        self.retrying.push_front(batch);
    }

    fn expire(&mut self, now: Tick) {
        let age_max = self.bounds.age_max;
        while self.retrying.front().is_some_and(|batch| age_max < now.since(batch.oldest)) {
            self.drop_oldest(Dropped::Expired);
        }
        if !self.retrying.is_empty() {
            return;
        }
        while self.waiting.front().is_some_and(|(at, _)| age_max < now.since(*at)) {
            self.drop_oldest(Dropped::Expired);
        }
    }

    /// False when there is none to be made.
    fn make_room(&mut self, cost: u64) -> bool {
        let fits = |bytes: u64, max: u64| bytes.saturating_add(cost) <= max;
        let max = self.bounds.bytes_max;
        if self.bounds.on_full == OnFull::DropOldest && cost <= max {
            while !fits(self.bytes, max) && self.drop_oldest(Dropped::QueueFull) {}
        }
        fits(self.bytes, max)
    }

    /// Drops the oldest that is not under way; false when there is nothing.
    fn drop_oldest(&mut self, reason: Dropped) -> bool {
        if let Some(batch) = self.retrying.pop_front() {
            self.bytes -= batch.bytes;
            self.count_dropped(reason, batch.items);
            return true;
        }
        let Some((_, chunk)) = self.waiting.pop_front() else { return false };
        self.bytes -= chunk.cost();
        self.waiting_items -= chunk.items;
        self.waiting_bytes -= chunk.cost();
        self.count_dropped(reason, chunk.items);
        true
    }

    fn count_dropped(&mut self, reason: Dropped, items: u64) {
        if 0 < items {
            *self.book.dropped.entry(reason).or_default() += items;
        }
    }
}

/// Doubles with each failure up to the maximum; jittered down to its half.
fn backoff(bounds: &Bounds, failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let full = bounds.retry_initial.saturating_mul(1 << doublings).min(bounds.retry_max);
    full.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
