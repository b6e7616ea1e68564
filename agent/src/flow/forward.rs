//! Traces on their way to the gateways that own them.

use super::handover::patience;
use super::{Flow, State, chunk, lock};
use crate::ack::AckToken;
use crate::intake::Refusal;
use crate::pump::Pump;
use bytes::Bytes;
use sluice_engine::books::{PipelineBook, QueueKey, Refused, SampledOut};
use sluice_engine::compiled::{Compiled, Outlet};
use sluice_engine::forward::{self, GATEWAYS, Trust};
use sluice_engine::lane::Lane;
use sluice_engine::ring::Ring;
use sluice_engine::tick::Tick;
use sluice_wire::forward::Frame;
use sluice_wire::{Signal, Survey, thin_traces};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Where traces go, as the operator last said.
pub(super) struct ForwardStage {
    trust: Trust,
    ring: RwLock<Option<Arc<Ring>>>,
    /// Of the next frame; begins anywhere, so that no two collectors' are alike.
    ids: AtomicU64,
}

/// The queues of a ring's members, in their order.
pub(super) struct Gateways {
    pub(super) ring: Arc<Ring>,
    /// None for itself.
    pub(super) pumps: Vec<Option<Arc<Pump>>>,
    pub(super) book: Arc<Mutex<PipelineBook>>,
}

impl ForwardStage {
    pub(super) fn new(trust: Trust) -> Self {
        let ids = AtomicU64::new(RandomState::new().hash_one(0));
        Self { trust, ring: RwLock::default(), ids }
    }

    /// A queue for each other gateway that is known, where traces go to gateways.
    pub(super) fn outlets(
        &self,
        compiled: &Compiled,
        own_name: Option<&str>,
    ) -> BTreeMap<QueueKey, Outlet> {
        let Some(ring) = self.ring() else { return BTreeMap::new() };
        forward::outlets(&compiled.config, &ring, self.trust, own_name)
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn gateways(
        &self,
        pumps: &BTreeMap<QueueKey, Arc<Pump>>,
        book: impl FnOnce() -> Arc<Mutex<PipelineBook>>,
    ) -> Option<Gateways> {
        let ring = self.ring()?;
        let pumps = ring.members().iter().map(|member| pumps.get(&forward::key(member)).cloned());
        Some(Gateways { pumps: pumps.collect(), ring, book: book() })
    }
}

impl Flow {
    /// From now on traces go by this ring, unless a newer one is known. Returns the pumps to run.
    ///
    /// # Errors
    /// As [`Flow::adopt`].
    pub(crate) fn set_ring(&self, ring: Arc<Ring>) -> Result<Vec<Arc<Pump>>, String> {
        {
            let mut own = self.forward.ring.write().unwrap_or_else(PoisonError::into_inner);
            if own.as_ref().is_some_and(|own| ring.epoch() <= own.epoch()) {
                return Ok(Vec::new());
            }
            tracing::info!(epoch = ring.epoch(), gateways = ring.members().len(), "ring");
            *own = Some(Arc::clone(&ring));
        }
        let config = self.read().compiled.config.clone();
        if let Some(stage) = &self.handover {
            let until = self.now().plus(patience(&config));
            stage.turn(&ring, until, self.tail.get().as_deref());
        }
        let added = self.adopt(config)?;
        self.reroute_all();
        if let Some(stage) = &self.handover {
            stage.begin(ring.epoch());
        }
        Ok(added)
    }

    pub(crate) fn ring(&self) -> Option<Arc<Ring>> {
        self.forward.ring()
    }

    /// What waits for gateways that are no longer in the ring; in a gateway, whatever waits.
    fn reroute_all(&self) {
        let (mut old, current) = {
            let state = self.read();
            (state.draining.clone(), state.pumps.values().cloned().collect::<Vec<_>>())
        };
        old.extend(current.into_iter().filter(|_| self.handover.is_some()));
        old.iter().for_each(|pump| self.reroute(pump));
    }

    /// What waits in a queue for a gateway goes to the owners of now.
    pub(crate) fn reroute(&self, pump: &Pump) {
        if pump.key.pipeline != GATEWAYS {
            return;
        }
        let state = self.read();
        let Some(gateways) = &state.gateways else { return };
        let own = self.handover.as_ref().and_then(|stage| stage.place(&gateways.ring));
        for taken in pump.take_all() {
            let mut parts = forward::cut_again(&gateways.ring, &taken.body);
            let spans: u64 = parts.iter().map(|(_, spans)| spans).sum();
            // Nothing else writes forwards: what cannot be read was damaged in memory.
            assert!(spans == taken.items, "a forward holds the spans that it was made of");
            if let Some((forward, spans)) = own.map(|own| std::mem::take(&mut parts[own])) {
                self.take_back(&state, &forward, spans);
            }
            gateways.push(parts, taken.ack.as_ref(), self.now());
        }
    }
}

impl State {
    /// Sends a request for traces to the gateways, whole or not at all.
    pub(super) fn forward(
        &self,
        lane: &mut Lane,
        (body, survey): (&Bytes, &Survey),
        threshold: Option<u64>,
        (id, now): (u64, Tick),
    ) -> Result<(), Refusal> {
        let items = u64::from(survey.items);
        if lane.pipelines(&self.compiled, self.generation, body, survey).is_empty() {
            if 0 < items {
                self.count_unwanted(Signal::Traces, items);
            }
            return Ok(());
        }
        let Some(gateways) = &self.gateways else {
            return Err(Refusal::for_now(Refused::QueueFull, "no gateway is known yet"));
        };
        let headed = lane.thin_by_head(&self.compiled, self.generation, (body, survey));
        let (body, items) = match &headed {
            Some(headed) => (&headed.body, headed.items),
            None => (body, items),
        };
        let mut thinned = Vec::new();
        let body = match threshold {
            Some(threshold) => {
                thin_traces(body, threshold, &mut thinned);
                &thinned[..]
            }
            None => body,
        };
        let sender = lane.sender_bytes();
        let frame = Frame { sender: &sender, body, id, ..Frame::default() };
        gateways.offer(forward::cut(&gateways.ring, &frame), items, now)?;
        for (pipeline, (spans, copies)) in headed.into_iter().flat_map(|own| own.sampled_out) {
            let mut book = lock(&self.ways[pipeline][Signal::Traces as usize].book);
            book.accepted += spans;
            book.copies += copies;
            *book.sampled_out.entry(SampledOut::Head).or_default() += copies;
        }
        Ok(())
    }
}

impl Gateways {
    pub(super) fn offer(
        &self,
        parts: Vec<(Bytes, u64)>,
        items: u64,
        now: Tick,
    ) -> Result<(), Refusal> {
        let cost = |(body, spans): &(Bytes, u64)| chunk(body, *spans, None).cost();
        let wanted = self.pumps.iter().zip(&parts).filter(|(_, (_, spans))| 0 < *spans);
        let wanted: Vec<_> =
            wanted.filter_map(|(pump, part)| Some((pump.as_ref()?, part))).collect();
        for (at, (pump, part)) in wanted.iter().enumerate() {
            if !pump.reserve(cost(part)) {
                wanted[..at].iter().for_each(|(pump, part)| pump.cancel(cost(part)));
                lock(&self.book).refused += items;
                let full = "a gateway's queue is full";
                return Err(Refusal::for_now(Refused::QueueFull, full));
            }
        }
        let queued: u64 = parts.iter().map(|(_, spans)| spans).sum();
        {
            let mut book = lock(&self.book);
            book.accepted += items;
            book.copies += items;
            book.queued += queued;
            if queued < items {
                *book.sampled_out.entry(SampledOut::MemoryLimiter).or_default() += items - queued;
            }
        }
        for (pump, (body, spans)) in wanted {
            pump.push(std::iter::once(chunk(body, *spans, None)), now);
        }
        Ok(())
    }

    /// What was accepted before.
    pub(super) fn push(&self, parts: Vec<(Bytes, u64)>, ack: Option<&AckToken>, now: Tick) {
        for (to, (body, spans)) in parts.iter().enumerate() {
            if 0 < *spans {
                self.put(to, body, *spans, ack, now);
            }
        }
    }

    /// For one gateway, what cannot be refused any more.
    pub(super) fn put(
        &self,
        to: usize,
        forward: &Bytes,
        spans: u64,
        ack: Option<&AckToken>,
        now: Tick,
    ) {
        let Some(Some(pump)) = self.pumps.get(to) else { return };
        let chunk = chunk(forward, spans, ack);
        pump.reserve_anyway(chunk.cost());
        pump.push(std::iter::once(chunk), now);
    }
}
