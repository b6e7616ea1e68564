//! A gateway among others: what belongs to another one goes there, and is decided nowhere meanwhile.

use super::forward::{ForwardStage, Gateways};
use super::tail::lose;
use super::{Flow, State, cut, lock};
use crate::ack::{AckToken, Acked, ack};
use crate::intake::Refusal;
use bytes::Bytes;
use sluice_engine::books::{PipelineBook, Refused};
use sluice_engine::config::gateway::HandoffMode;
use sluice_engine::forward;
use sluice_engine::handover::Handover;
use sluice_engine::lane::Lane;
use sluice_engine::queue::Batch;
use sluice_engine::ring::Ring;
use sluice_engine::sender::{Sender, Source};
use sluice_engine::tail::{Departure, Origin, Outgoing, Tail};
use sluice_engine::tick::Tick;
use sluice_wire::Signal;
use sluice_wire::forward::{Frame, Handover as Told};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Spans that leave one shard at once, uncompressed.
const STEP_BYTES: u64 = 2 << 20;
/// Steps that the new owners have not taken yet.
const STEPS_MAX: usize = 8;

/// Of a gateway that has a name among others.
pub(super) struct HandoverStage {
    pub(super) name: String,
    state: Mutex<Handover>,
    /// Of the newest ring.
    turned: watch::Sender<u64>,
    /// Of the newest ring by which everything was handed over, and taken.
    finished: watch::Sender<u64>,
    /// Traces whose former owner never handed over: they may lack spans.
    incomplete: AtomicU64,
}

/// How spans came to a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Of the ring by which their sender found it.
    pub(crate) epoch: u64,
    /// They are of open traces that another gateway had.
    pub(crate) handed_over: bool,
}

/// Where the acks of what is under way arrive.
type Acks = VecDeque<oneshot::Receiver<Acked>>;

impl HandoverStage {
    pub(super) fn new(name: &str) -> Self {
        let handover = Mutex::new(Handover::new(name));
        let (turned, finished) = (watch::Sender::new(0), watch::Sender::new(0));
        let name = name.to_owned();
        Self { name, state: handover, turned, finished, incomplete: AtomicU64::new(0) }
    }

    /// From now on slots go by this ring; the tail holds what may not be decided.
    pub(super) fn turn(&self, ring: &Arc<Ring>, until: Tick, tail: Option<&Tail>) {
        lock(&self.state).turn(Arc::clone(ring), until);
        if let Some(tail) = tail {
            self.show(tail);
        }
    }

    /// Tells the tail which traces it may decide.
    pub(super) fn show(&self, tail: &Tail) {
        let state = lock(&self.state);
        if state.has_ring() {
            tail.set_slots(&Arc::new(state.slots()));
        }
    }

    pub(super) fn begin(&self, epoch: u64) {
        self.turned.send_replace(epoch);
    }

    pub(super) fn finished(&self) -> watch::Receiver<u64> {
        self.finished.subscribe()
    }

    pub(super) fn incomplete(&self) -> u64 {
        self.incomplete.load(Ordering::Relaxed)
    }

    pub(super) fn place(&self, ring: &Ring) -> Option<usize> {
        ring.members().iter().position(|member| member.name == self.name)
    }
}

/// Hands over after each change of the ring. Ends with the worker that runs it.
pub(crate) async fn keep_handing_over(flow: Arc<Flow>) {
    let Some(stage) = &flow.handover else { return };
    let mut turned = stage.turned.subscribe();
    // A ring may have come before.
    turned.mark_changed();
    let mut acks = Acks::new();
    while turned.changed().await.is_ok() {
        turned.mark_unchanged();
        tokio::select! {
            () = flow.hand_over(stage, &mut acks) => (),
            // What is under way arrives, or is sent on; then all begins anew.
            _ = async { turned.clone().changed().await } => turned.mark_changed(),
        }
    }
}

impl Flow {
    /// Everything that belongs to others by the newest ring, and then the word that it was all.
    async fn hand_over(&self, stage: &HandoverStage, acks: &mut Acks) {
        let Some(ring) = self.forward.ring() else { return };
        if let Some(tail) = self.tail.get() {
            for shard in 0..tail.shards() {
                if !self.part(stage, (&tail, shard), &ring, acks).await {
                    return;
                }
            }
            let decisions = |to| tail.decisions_for(to, &ring, &stage.name);
            if !self.tell_others(stage, &ring, decisions, acks).await {
                return;
            }
        }
        let done = lock(&stage.state).word(ring.epoch());
        if self.tell_others(stage, &ring, |_| vec![done.clone()], acks).await {
            tracing::info!(epoch = ring.epoch(), "handed over");
            stage.finished.send_replace(ring.epoch());
        }
    }

    /// Lets go of the open traces of one shard that belong to others, step by step. False when the
    /// ring has turned meanwhile, or the collector ends.
    async fn part(
        &self,
        stage: &HandoverStage,
        (tail, shard): (&Arc<Tail>, usize),
        ring: &Ring,
        acks: &mut Acks,
    ) -> bool {
        let mut leavers = tail.leavers(shard, ring, stage.place(ring));
        if self.config.borrow().gateway.handoff.mode == HandoffMode::DecideNow {
            tail.decide_leavers(shard, leavers, self.now());
            return true;
        }
        while !leavers.is_empty() {
            let (token, taken) = ack();
            {
                let _harvest = self.tail.harvest_lock(shard);
                let state = self.read();
                let Some(peers) = state.peers(ring) else { return false };
                let departure = tail.depart(shard, &mut leavers, STEP_BYTES);
                state.send_away(peers, departure, (&self.forward, &token), self.now());
            }
            self.meter.set_held(tail.bytes());
            drop(token);
            acks.push_back(taken);
            settled(acks, STEPS_MAX).await;
        }
        true
    }

    /// Sends something to each other gateway, and waits until they have that and all before. False
    /// as in [`Flow::part`].
    async fn tell_others(
        &self,
        stage: &HandoverStage,
        ring: &Ring,
        what: impl Fn(usize) -> Vec<Bytes>,
        acks: &mut Acks,
    ) -> bool {
        let own = stage.place(ring);
        let (token, taken) = ack();
        for to in (0..ring.members().len()).filter(|to| Some(*to) != own) {
            let messages = what(to);
            let state = self.read();
            let Some(peers) = state.peers(ring) else { return false };
            for message in messages {
                peers.put(to, &message, 0, Some(&token), self.now());
            }
        }
        drop(token);
        acks.push_back(taken);
        settled(acks, 0).await;
        true
    }

    /// Whether a batch was cut for an older ring than the one that traces go by now.
    pub(crate) fn is_older(&self, batch: &Batch<AckToken>) -> bool {
        let ring = self.handover.as_ref().and_then(|_| self.forward.ring());
        ring.is_some_and(|ring| batch.chunks.iter().any(|c| forward::is_older(&ring, &c.body)))
    }

    pub(crate) fn handed_over(&self) -> Option<watch::Receiver<u64>> {
        Some(self.handover.as_ref()?.finished())
    }

    /// Waits until this gateway is in the ring no more and has handed over everything.
    pub(crate) async fn has_left(&self) {
        let Some(stage) = &self.handover else { return };
        let has_left = |finished: &u64| {
            self.ring()
                .is_some_and(|ring| ring.epoch() <= *finished && stage.place(&ring).is_none())
        };
        // Fails only when there is no flow any more.
        let _ = stage.finished().wait_for(has_left).await;
    }

    pub(crate) fn incomplete_traces(&self) -> u64 {
        self.handover.as_ref().map_or(0, HandoverStage::incomplete)
    }

    /// Spans that waited for another gateway, and are this one's after all.
    pub(super) fn take_back(&self, state: &State, forward: &Bytes, spans: u64) {
        let (Some(peers), Some(tail)) = (&state.gateways, self.tail.get()) else { return };
        peers.uncount(spans);
        for frame in sluice_wire::forward::frames(forward) {
            // Nothing else writes senders either.
            let sender = Sender::from_bytes(frame.sender).unwrap_or(Sender::Unknown);
            let mut lane = Lane::new(sender, Source::Otlp);
            state.take_in(&mut lane, &tail, (frame.body, None), self.moment());
        }
    }

    /// What another gateway tells of traces that are ours now.
    pub(crate) fn learn(&self, told: &Told<'_>) {
        let Some(stage) = &self.handover else { return };
        let tail = self.tail.get();
        if let Some(tail) = &tail {
            tail.learn(told);
        }
        if told.done {
            tracing::info!(from = told.from, epoch = told.epoch, "a gateway has handed over");
            let until = self.now().plus(patience(&self.config.borrow()));
            let who = (told.from, told.epoch);
            lock(&stage.state).done(who, told.missing.iter().copied(), until);
            if let Some(tail) = tail {
                stage.show(&tail);
            }
        }
    }

    /// Gives up on gateways that did not hand over in time.
    pub(super) fn expire_handovers(&self) {
        let Some(stage) = &self.handover else { return };
        let slots = lock(&stage.state).expire(self.now());
        if slots == 0 {
            return;
        }
        let tail = self.tail.get();
        let held = tail.as_ref().map_or(0, |tail| tail.held_traces());
        if let Some(tail) = &tail {
            stage.show(tail);
        }
        let freed = held - tail.map_or(0, |tail| tail.held_traces()).min(held);
        stage.incomplete.fetch_add(freed, Ordering::Relaxed);
        tracing::warn!(slots, traces = freed, "a gateway did not hand over: traces may lack spans");
    }
}

impl State {
    /// The other gateways, while this is the ring and nothing is closed.
    fn peers(&self, ring: &Ring) -> Option<&Gateways> {
        self.gateways.as_ref().filter(|own| self.open && own.ring.epoch() == ring.epoch())
    }

    /// Spans of open traces that have left the tail.
    fn send_away(
        &self,
        peers: &Gateways,
        departure: Departure,
        (stage, token): (&ForwardStage, &AckToken),
        now: Tick,
    ) {
        let bytes_max = self.compiled.config.batch.bytes_max;
        for (origin, loss, items) in departure.lost {
            self.settle_all(&origin, items, |book, copies| lose(book, loss, copies));
        }
        for (to, outgoing) in departure.leaving {
            let Outgoing { origin, items, .. } = &outgoing;
            self.settle_all(origin, *items, |book, copies| book.handed_over += copies);
            peers.count_handed_over(*items);
            let sender = origin.sender.to_bytes();
            for (body, spans) in cut(Signal::Traces, outgoing.as_it_came(), *items, bytes_max) {
                let id = stage.next_id();
                let epoch = peers.ring.epoch();
                let frame = Frame { sender: &sender, body: &body, epoch, id, handed_over: true };
                peers.put(to, &forward::forward(&frame), spans, Some(token), now);
            }
        }
    }

    /// Copies that pipelines held have come to their end here.
    fn settle_all(&self, origin: &Origin, items: u64, fate: impl Fn(&mut PipelineBook, u64)) {
        for target in &origin.targets {
            self.settle(&target.name, items * target.copies, &fate);
        }
    }

    /// Spans that came by an old ring and belong elsewhere go there; the others are returned, or
    /// `None`: the ring is not old. What another gateway hands over is refused then: its word that
    /// it was all must hold for the owner.
    pub(super) fn relay(
        &self,
        stage: &HandoverStage,
        lane: &mut Lane,
        (body, arrival): (&Bytes, Arrival),
        (id, now): (u64, Tick),
    ) -> Result<Option<Bytes>, Refusal> {
        let Some(peers) = self.gateways.as_ref().filter(|own| arrival.epoch < own.ring.epoch())
        else {
            return Ok(None);
        };
        let own = stage.place(&peers.ring);
        let sender = lane.sender_bytes();
        let frame = Frame { sender: &sender, body, id, ..Frame::default() };
        let mut portions = forward::portions(&peers.ring, &frame);
        let mine = own.map(|own| std::mem::take(&mut portions[own]));
        let mine = mine.map_or_else(Bytes::new, |mine| Bytes::copy_from_slice(mine.body()));
        let parts = portions.into_iter().zip(0..);
        let parts: Vec<_> =
            parts.map(|(portion, at)| forward::enclose(&peers.ring, &frame, portion, at)).collect();
        let items: u64 = parts.iter().map(|(_, spans)| spans).sum();
        if 0 < items && arrival.handed_over {
            let moved = "some of these traces have another owner by now";
            return Err(Refusal::for_now(Refused::NotOwner, moved));
        }
        if 0 < items {
            peers.offer(parts, items, now)?;
        }
        Ok(Some(mine))
    }
}

impl Gateways {
    /// What pipelines here had accepted.
    fn count_handed_over(&self, items: u64) {
        let mut book = lock(&self.book);
        book.copies += items;
        book.queued += items;
    }

    /// What was taken out of a queue and stays here.
    fn uncount(&self, items: u64) {
        let mut book = lock(&self.book);
        book.copies -= items;
        book.queued -= items;
    }
}

/// Waits until no more than so many are under way.
async fn settled(acks: &mut Acks, under_way_max: usize) {
    while under_way_max < acks.len() {
        if let Some(first) = acks.front_mut() {
            // An error says that nobody settles it any more.
            let _ = first.await;
        }
        acks.pop_front();
    }
}

/// How long the new owner of a trace waits for the old one.
pub(super) fn patience(config: &sluice_engine::config::Config) -> Duration {
    Duration::from_millis(config.gateway.handoff.timeout_ms)
}
