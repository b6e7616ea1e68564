//! A gateway among others: what belongs to another one goes there, and is decided nowhere meanwhile.

use super::forward::Gateways;
use super::tail::lose;
use super::{Flow, State, cut, lock};
use crate::ack::{AckToken, Acked, ack};
use crate::intake::Refusal;
use bytes::Bytes;
use sluice_engine::books::PipelineBook;
use sluice_engine::config::gateway::HandoffMode;
use sluice_engine::forward;
use sluice_engine::handover::Handover;
use sluice_engine::lane::Lane;
use sluice_engine::ring::Ring;
use sluice_engine::tail::{self, Departure, Origin, Outgoing, Tail};
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
    /// Rises when another gateway has handed over, or is given up.
    heard: watch::Sender<u64>,
    /// Goes with what others hand over after the ring has turned on.
    passing: Mutex<Option<AckToken>>,
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
        let (turned, finished, heard) =
            (watch::Sender::new(0), watch::Sender::new(0), watch::Sender::new(0));
        let (passing, incomplete) = Default::default();
        let name = name.to_owned();
        Self { name, state: handover, turned, finished, heard, passing, incomplete }
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

    fn place(&self, ring: &Ring) -> Option<usize> {
        ring.members().iter().position(|member| member.name == self.name)
    }
}

/// Hands over after each change of the ring. Ends with the worker that runs it.
pub(crate) async fn keep_handing_over(flow: Arc<Flow>) {
    let Some(stage) = &flow.handover else { return };
    let mut turned = stage.turned.subscribe();
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
        let (token, passed) = ack();
        *lock(&stage.passing) = Some(token.clone());
        let mut heard = stage.heard.subscribe();
        if let Some(tail) = self.tail.get() {
            for shard in 0..tail.shards() {
                self.part(stage, (&tail, shard), &ring, acks).await;
            }
            // What others still hand over here, of slots that have moved on.
            while lock(&stage.state).is_passing() && heard.changed().await.is_ok() {}
            self.tell_decisions(stage, &tail, &ring, &token);
        }
        *lock(&stage.passing) = None;
        drop(token);
        acks.push_back(passed);
        settled(acks, 0).await;
        let (token, taken) = ack();
        let done = tail::done(&stage.name, ring.epoch());
        self.tell(stage, &ring, |_| vec![done.clone()], &token);
        drop(token);
        acks.push_back(taken);
        settled(acks, 0).await;
        tracing::info!(epoch = ring.epoch(), "handed over");
        stage.finished.send_replace(ring.epoch());
    }

    /// Lets go of the open traces of one shard that belong to others, step by step.
    async fn part(
        &self,
        stage: &HandoverStage,
        (tail, shard): (&Arc<Tail>, usize),
        ring: &Ring,
        acks: &mut Acks,
    ) {
        let mut leavers = tail.leavers(shard, ring, stage.place(ring));
        if self.config.borrow().gateway.handoff.mode == HandoffMode::DecideNow {
            tail.decide_leavers(shard, leavers, self.now());
            return;
        }
        while !leavers.is_empty() {
            let (token, taken) = ack();
            {
                let _harvest = self.tail.harvest_lock(shard);
                let state = self.read();
                let Some(peers) = state.gateways.as_ref().filter(|_| state.open) else { return };
                let departure = tail.depart(shard, &mut leavers, STEP_BYTES);
                state.send_away(peers, departure, (&self.forward.ids, &token), self.now());
            }
            self.meter.set_held(tail.bytes());
            drop(token);
            acks.push_back(taken);
            settled(acks, STEPS_MAX).await;
        }
    }

    fn tell_decisions(&self, stage: &HandoverStage, tail: &Tail, ring: &Ring, token: &AckToken) {
        self.tell(stage, ring, |to| tail.decisions_for(to, ring, &stage.name), token);
    }

    /// Sends something to each other gateway.
    fn tell(
        &self,
        stage: &HandoverStage,
        ring: &Ring,
        what: impl Fn(usize) -> Vec<Bytes>,
        token: &AckToken,
    ) {
        let own = stage.place(ring);
        for to in (0..ring.members().len()).filter(|to| Some(*to) != own) {
            let messages = what(to);
            let state = self.read();
            let Some(peers) = state.gateways.as_ref().filter(|_| state.open) else { return };
            for message in messages {
                peers.put(to, &message, 0, Some(token), self.now());
            }
        }
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

    /// What another gateway tells of traces that are ours now.
    pub(crate) fn learn(&self, told: &Told<'_>) {
        let Some(stage) = &self.handover else { return };
        let tail = self.tail.get();
        if let Some(tail) = &tail {
            tail.learn(told);
        }
        if told.done {
            tracing::info!(from = told.from, epoch = told.epoch, "a gateway has handed over");
            lock(&stage.state).done(told.from, told.epoch);
            self.go_on(stage, tail.as_deref());
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
        self.go_on(stage, tail.as_deref());
        let freed = held - tail.map_or(0, |tail| tail.held_traces()).min(held);
        stage.incomplete.fetch_add(freed, Ordering::Relaxed);
        tracing::warn!(slots, traces = freed, "a gateway did not hand over: traces may lack spans");
    }

    fn go_on(&self, stage: &HandoverStage, tail: Option<&Tail>) {
        if let Some(tail) = tail {
            stage.show(tail);
        }
        stage.heard.send_modify(|times| *times += 1);
    }
}

impl State {
    /// Spans of open traces that have left the tail.
    fn send_away(
        &self,
        peers: &Gateways,
        departure: Departure,
        (ids, token): (&AtomicU64, &AckToken),
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
                let id = ids.fetch_add(1, Ordering::Relaxed);
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

    /// Spans that came by an old ring and belong elsewhere go there; the others are returned.
    pub(super) fn relay(
        &self,
        stage: &HandoverStage,
        lane: &mut Lane,
        (body, arrival): (&Bytes, Arrival),
        (id, now): (u64, Tick),
    ) -> Result<Bytes, Refusal> {
        let Some(peers) = self.gateways.as_ref().filter(|own| arrival.epoch < own.ring.epoch())
        else {
            return Ok(body.clone());
        };
        let own = stage.place(&peers.ring);
        let sender = lane.sender_bytes();
        let mut mine = Bytes::new();
        let mut parts = Vec::new();
        for (at, portion) in forward::portions(&peers.ring, body).into_iter().enumerate() {
            let spans = u64::from(portion.spans);
            if Some(at) == own {
                mine = Bytes::from(portion.body);
                parts.push((Bytes::new(), 0));
                continue;
            }
            let (body, id) = (&portion.body[..], id.wrapping_add(at as u64));
            let (epoch, handed_over) = (peers.ring.epoch(), arrival.handed_over);
            let frame = Frame { sender: &sender, body, epoch, id, handed_over };
            let whole = if spans == 0 { Bytes::new() } else { forward::forward(&frame) };
            parts.push((whole, spans));
        }
        let token = lock(&stage.passing).clone().filter(|_| arrival.handed_over);
        let items = parts.iter().map(|(_, spans)| spans).sum();
        if arrival.handed_over {
            peers.count_handed_over(items);
            peers.push(parts, token.as_ref(), now);
        } else if 0 < items {
            peers.offer(parts, items, now)?;
        }
        Ok(mine)
    }
}

impl Gateways {
    /// What pipelines here had accepted, or another gateway's.
    fn count_handed_over(&self, items: u64) {
        let mut book = lock(&self.book);
        book.copies += items;
        book.queued += items;
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
