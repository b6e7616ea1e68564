//! Traces on their way to the gateways that own them.

use super::{Flow, State, chunk, lock};
use crate::intake::Refusal;
use crate::pump::Pump;
use bytes::Bytes;
use sluice_engine::books::{PipelineBook, QueueKey, Refused};
use sluice_engine::compiled::{Compiled, Outlet};
use sluice_engine::forward::{self, GATEWAYS, Trust};
use sluice_engine::lane::Lane;
use sluice_engine::ring::Ring;
use sluice_engine::tick::Tick;
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
    next_id: AtomicU64,
}

/// The queues of a ring's members, in their order.
pub(super) struct Gateways {
    ring: Arc<Ring>,
    pumps: Vec<Arc<Pump>>,
    book: Arc<Mutex<PipelineBook>>,
}

impl ForwardStage {
    pub(super) fn new(trust: Trust) -> Self {
        let next_id = AtomicU64::new(RandomState::new().hash_one(0));
        Self { trust, ring: RwLock::default(), next_id }
    }

    /// A queue for each gateway that is known, where traces go to gateways.
    pub(super) fn outlets(&self, compiled: &Compiled) -> BTreeMap<QueueKey, Outlet> {
        match self.ring() {
            Some(ring) => forward::outlets(&compiled.config, &ring, self.trust),
            None => BTreeMap::new(),
        }
    }

    /// The first of as many ids as a ring has members.
    pub(super) fn ids(&self) -> u64 {
        self.next_id.fetch_add(1 << 16, Ordering::Relaxed)
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
        let own = ring.members().iter().map(|member| pumps.get(&forward::key(member)).cloned());
        let pumps: Option<Vec<_>> = own.collect();
        Some(Gateways { pumps: pumps?, ring, book: book() })
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
            *own = Some(ring);
        }
        if !self.is_agent {
            return Ok(Vec::new());
        }
        let config = self.read().compiled.config.clone();
        let added = self.adopt(config)?;
        self.reroute_all();
        Ok(added)
    }

    pub(crate) fn ring(&self) -> Option<Arc<Ring>> {
        self.forward.ring()
    }

    fn reroute_all(&self) {
        let leaving = self.read().draining.clone();
        leaving.iter().for_each(|pump| self.reroute(pump));
    }

    /// What waits for a gateway that is no longer in the ring goes to the new owners.
    pub(crate) fn reroute(&self, pump: &Pump) {
        if pump.key.pipeline != GATEWAYS {
            return;
        }
        let state = self.read();
        let Some(gateways) = &state.gateways else { return };
        if !state.draining.iter().any(|own| std::ptr::eq(&**own, pump)) {
            return;
        }
        for taken in pump.take_all() {
            let parts = forward::cut_again(&gateways.ring, &taken.body);
            let spans: u64 = parts.iter().map(|(_, spans)| spans).sum();
            // Nothing else writes forwards: what cannot be read was damaged in memory.
            assert!(spans == taken.items, "a forward holds the spans that it was made of");
            gateways.push(parts, self.now());
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
        let mut thinned = Vec::new();
        let body = match threshold {
            Some(threshold) => {
                thin_traces(body, threshold, &mut thinned);
                &thinned[..]
            }
            None => body,
        };
        let sender = lane.sender_bytes();
        gateways.offer(forward::cut(&gateways.ring, &sender, body, id), items, now)
    }
}

impl Gateways {
    fn offer(&self, parts: Vec<(Bytes, u64)>, items: u64, now: Tick) -> Result<(), Refusal> {
        let cost = |(body, spans): &(Bytes, u64)| match spans {
            0 => 0,
            spans => chunk(body, *spans, None).cost(),
        };
        for (at, (pump, part)) in self.pumps.iter().zip(&parts).enumerate() {
            if 0 < part.1 && !pump.reserve(cost(part)) {
                let before = self.pumps.iter().zip(&parts).take(at);
                before.for_each(|(pump, part)| pump.cancel(cost(part)));
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
                let rule = sluice_engine::books::SampledOut::MemoryLimiter;
                *book.sampled_out.entry(rule).or_default() += items - queued;
            }
        }
        for (pump, (body, spans)) in self.pumps.iter().zip(parts) {
            if 0 < spans {
                pump.push(std::iter::once(chunk(&body, spans, None)), now);
            }
        }
        Ok(())
    }

    /// What was accepted before.
    fn push(&self, parts: Vec<(Bytes, u64)>, now: Tick) {
        for (pump, (body, spans)) in self.pumps.iter().zip(parts) {
            if 0 < spans {
                let part = chunk(&body, spans, None);
                pump.reserve_anyway(part.cost());
                pump.push(std::iter::once(part), now);
            }
        }
    }
}
