//! Traces that wait for their decision: counted as held when they come, then passed on or lost.

use super::handover::Arrival;
use super::{Flow, State, chunk, closing, cut, lock};
use crate::intake::Refusal;
use crate::pump::Pump;
use bytes::Bytes;
use sluice_engine::books::{Dropped, PipelineBook, Refused};
use sluice_engine::config::sampling::Sampling;
use sluice_engine::lane::Lane;
use sluice_engine::tail::{Decisions, Loss, Now, Origin, Outgoing, Sorted, Tail, Target};
use sluice_engine::tick::Tick;
use sluice_wire::sampling::Threshold;
use sluice_wire::{Limits, Malformed, Signal, Survey};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two looks at what is due.
const HARVEST_INTERVAL: Duration = Duration::from_millis(500);
/// Of the soft limit, the part up to which open traces are not compressed.
const ROOM_SHARE: u64 = 2;

pub(super) struct TailStage {
    state: RwLock<TailState>,
    /// One a shard, held from its decisions until they are passed on: who closes the queues waits.
    harvests: Vec<Mutex<()>>,
}

#[derive(Default)]
struct TailState {
    /// From the first policy on; once none is left it only decides what it holds.
    tail: Option<Arc<Tail>>,
    is_in_force: bool,
}

impl TailStage {
    pub(super) fn new(shards: usize) -> Self {
        let harvests = (0..shards.max(1)).map(|_| Mutex::default()).collect();
        Self { state: RwLock::default(), harvests }
    }

    /// # Errors
    /// When a rule cannot be compiled; then the ones before stay in force.
    pub(super) fn adopt(&self, sampling: &Sampling) -> Result<(), String> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match &state.tail {
            Some(tail) => tail.set_rules(sampling)?,
            None if sampling.is_empty() => {}
            None => {
                let seed = RandomState::new().hash_one(0);
                state.tail = Some(Arc::new(Tail::new(sampling, self.harvests.len(), seed)?));
            }
        }
        state.is_in_force = !sampling.is_empty();
        Ok(())
    }

    /// What takes up traces now.
    pub(super) fn in_force(&self) -> Option<Arc<Tail>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.tail.clone().filter(|_| state.is_in_force)
    }

    /// Whoever has it passes on what leaves the shard.
    pub(super) fn harvest_lock(&self, shard: usize) -> MutexGuard<'_, ()> {
        lock(&self.harvests[shard])
    }

    pub(super) fn get(&self) -> Option<Arc<Tail>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).tail.clone()
    }
}

/// Decides what is due in one shard, again and again. Ends with the worker that runs it.
pub(crate) async fn keep_deciding(flow: Arc<Flow>, shard: usize) {
    let mut config = flow.config();
    // Fails only when there is no flow any more.
    let _ = config.wait_for(|config| !config.sampling.is_empty()).await;
    let mut tick = tokio::time::interval(HARVEST_INTERVAL);
    loop {
        tick.tick().await;
        flow.harvest(shard);
    }
}

impl Flow {
    /// [`Flow::submit`] of traces, where they are decided here.
    pub(super) fn submit_to_tail(
        &self,
        state: &State,
        (lane, tail): (&mut Lane, &Tail),
        body: &Bytes,
        (threshold, arrival): (Option<u64>, Option<Arrival>),
    ) -> Result<(), Refusal> {
        let now = self.moment();
        let sorted = state
            .sort(lane, tail, (body, &Limits::default()), now)
            .map_err(|problem| self.refuse_malformed(Signal::Traces, problem))?;
        let items = u64::from(sorted.survey.items);
        let refused = |refusal| self.refuse(Signal::Traces, items, refusal);
        if !state.open {
            return Err(refused(closing()));
        }
        state.room_for_decided(lane, (body, &sorted.survey)).map_err(refused)?;
        let is_handed_over = arrival.is_some_and(|arrival| arrival.handed_over);
        let admitted = threshold.map_or(Threshold::EVERYTHING, Threshold::new);
        let admitted = (!is_handed_over).then_some(admitted);
        let mine = match (&self.handover, arrival) {
            (Some(stage), Some(arrival)) => {
                let moment = (self.forward.next_id(), now.tick);
                state.relay(stage, lane, (body, arrival), moment).map_err(refused)?
            }
            _ => None,
        };
        match mine {
            Some(mine) => state.take_in(lane, tail, (&mine, admitted), now),
            None => state.hold(tail, sorted, admitted, now.tick),
        }
        self.meter.set_held(tail.bytes());
        if !is_handed_over {
            self.accept(Signal::Traces, items);
        }
        Ok(())
    }

    /// The tail, once there was a policy.
    pub(crate) fn tail(&self) -> Option<Arc<Tail>> {
        self.tail.get()
    }

    pub(super) fn moment(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ns = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
        Now { tick: self.now(), wall_ns }
    }

    fn harvest(&self, shard: usize) {
        let Some(tail) = self.tail.get() else { return };
        let gateways = self.ring().filter(|_| self.handover.is_some());
        let gateways = gateways.map_or(1, |ring| ring.members().len());
        tail.set_collectors(u32::try_from(gateways).unwrap_or(u32::MAX));
        let soft_bytes = self.config.borrow().limiter.soft_bytes;
        let room_bytes = soft_bytes / ROOM_SHARE / tail.shards() as u64;
        let room_bytes = usize::try_from(room_bytes).unwrap_or(usize::MAX);
        if shard == 0 {
            self.expire_handovers();
        }
        let harvest = self.tail.harvest_lock(shard);
        for decisions in tail.harvest(shard, self.now(), room_bytes) {
            self.read().pass_on(decisions, self.now());
        }
        drop(harvest);
        self.meter.set_held(tail.bytes());
    }

    /// At the shutdown: nothing waits any longer.
    pub(super) fn decide_all(&self) {
        let Some(tail) = self.tail.get() else { return };
        for (shard, harvest) in self.tail.harvests.iter().enumerate() {
            let _harvest = lock(harvest);
            for decisions in tail.harvest_all(shard, self.now()) {
                self.read().pass_on(decisions, self.now());
            }
        }
    }
}

impl State {
    /// Whether the queues that block have room: what is held now cannot be refused later.
    pub(super) fn room_for_decided(
        &self,
        lane: &mut Lane,
        (body, survey): (&Bytes, &Survey),
    ) -> Result<(), Refusal> {
        for pipeline in lane.pipelines(&self.compiled, self.generation, body, survey) {
            let way = &self.ways[pipeline][Signal::Traces as usize];
            if !way.pumps.iter().all(|pump| pump.has_room()) {
                lock(&way.book).refused += u64::from(survey.items);
                let full = "a destination's queue is full";
                return Err(Refusal::for_now(Refused::QueueFull, full));
            }
        }
        Ok(())
    }

    fn sort<'b>(
        &self,
        lane: &mut Lane,
        tail: &Tail,
        request: (&'b [u8], &Limits),
        now: Now,
    ) -> Result<Sorted<'b>, Malformed> {
        lane.sort(tail, (&self.compiled, self.generation), request, now)
    }

    /// Holds what was made of a request that had been checked.
    pub(super) fn take_in(
        &self,
        lane: &mut Lane,
        tail: &Tail,
        (body, admitted): (&[u8], Option<Threshold>),
        now: Now,
    ) {
        let sorted = self.sort(lane, tail, (body, &Limits::NONE), now);
        // What cannot be read was damaged in memory.
        assert!(sorted.is_ok(), "what was made of a request is one");
        sorted.into_iter().for_each(|sorted| self.hold(tail, sorted, admitted, now.tick));
    }

    /// What is decided at once may be counted as gone before it is counted as held: `held` wraps in
    /// between. Who reads the books waits for both.
    fn hold(&self, tail: &Tail, sorted: Sorted<'_>, admitted: Option<Threshold>, now: Tick) {
        let is_accepted = admitted.is_some();
        let taken = tail.take_up(sorted, admitted, now);
        for (origin, items) in &taken.held {
            self.count(&origin.targets, (*items, is_accepted), |book, copies| {
                book.held = book.held.wrapping_add(copies);
            });
        }
        for (origin, loss, items) in &taken.lost {
            self.count(&origin.targets, (*items, is_accepted), |book, copies| {
                lose(book, *loss, copies)
            });
        }
        if 0 < taken.unwanted {
            self.count_unwanted(Signal::Traces, taken.unwanted);
        }
    }

    /// Spans that pipelines take, unless another gateway's did, and what becomes of each copy.
    fn count(
        &self,
        targets: &[Target],
        (items, is_accepted): (u64, bool),
        fate: impl Fn(&mut PipelineBook, u64),
    ) {
        for target in targets {
            let mut book = lock(&self.ways[target.pipeline][Signal::Traces as usize].book);
            if is_accepted {
                book.accepted += items;
            }
            book.copies += items * target.copies;
            fate(&mut book, items * target.copies);
        }
    }

    fn pass_on(&self, decisions: Decisions, now: Tick) {
        for (origin, loss, items) in decisions.lost {
            for target in &origin.targets {
                self.settle(&target.name, items * target.copies, |book, copies| {
                    lose(book, loss, copies);
                });
            }
        }
        for outgoing in decisions.kept {
            let origin = &outgoing.origin;
            if origin.generation == self.generation {
                self.send(&outgoing, &origin.targets, now);
            } else {
                let targets = origin.rerouted(&self.compiled);
                self.send(&outgoing, &targets, now);
            }
        }
    }

    /// Queues spans for their targets of now, which may be others than when they came.
    fn send(&self, outgoing: &Outgoing, targets: &[Target], now: Tick) {
        let Outgoing { origin, items, .. } = outgoing;
        for gone in origin.targets.iter().filter(|old| !has(targets, old)) {
            self.settle(&gone.name, items * gone.copies, |book, copies| {
                *book.dropped.entry(Dropped::NoPipeline).or_default() += copies;
            });
        }
        for target in targets {
            let way = &self.ways[target.pipeline][Signal::Traces as usize];
            let copies = items * way.pumps.len() as u64;
            let held = held_for(origin, target) * items;
            {
                let mut book = lock(&way.book);
                book.held = book.held.wrapping_sub(held);
                book.queued += copies;
                if held == 0 {
                    book.accepted += items;
                }
                // More or fewer destinations than when they came.
                book.copies += copies.saturating_sub(held);
                if copies < held {
                    *book.dropped.entry(Dropped::NoPipeline).or_default() += held - copies;
                }
            }
            let bytes_max = self.compiled.config.batch.bytes_max;
            let chunks = cut(Signal::Traces, outgoing.request(target), *items, bytes_max);
            way.pumps.iter().for_each(|pump| queue(pump, &chunks, now));
        }
    }

    /// Copies that a pipeline held have come to their end.
    pub(super) fn settle(
        &self,
        pipeline: &str,
        copies: u64,
        fate: impl Fn(&mut PipelineBook, u64),
    ) {
        let Some(book) = self.books.get(&(pipeline.to_owned(), Signal::Traces)) else { return };
        let mut book = lock(book);
        book.held = book.held.wrapping_sub(copies);
        fate(&mut book, copies);
    }
}

pub(super) fn lose(book: &mut PipelineBook, loss: Loss, copies: u64) {
    match loss {
        Loss::SampledOut(rule) => *book.sampled_out.entry(rule).or_default() += copies,
        Loss::Dropped(reason) => *book.dropped.entry(reason).or_default() += copies,
    }
}

fn has(targets: &[Target], other: &Target) -> bool {
    targets.iter().any(|target| target.name == other.name)
}

/// Copies of each span that the target's pipeline held.
fn held_for(origin: &Origin, target: &Target) -> u64 {
    let own = origin.targets.iter().find(|own| own.name == target.name);
    own.map_or(0, |own| own.copies)
}

fn queue(pump: &Pump, chunks: &[(Bytes, u64)], now: Tick) {
    let chunks = || chunks.iter().map(|(body, items)| chunk(body, *items, None));
    pump.reserve_anyway(chunks().map(|chunk| chunk.cost()).sum());
    pump.push(chunks(), now);
}
