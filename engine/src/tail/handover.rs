//! What gateways tell each other when a trace gets another owner: its spans while it is open, and
//! what was decided of it afterwards.

use super::decided::Kept;
use super::harvest::{Departure, depart};
use super::shard::Leaving;
use super::{Tail, lock, millis};
use crate::config::sampling::Sampling;
use crate::handover::Slots;
use crate::ring::Ring;
use crate::tick::Tick;
use bytes::Bytes;
use sluice_wire::forward::{Handover, Kept as Told, write_handover};
use sluice_wire::sampling::Threshold;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Decisions in one message.
const DECISIONS_MAX: usize = 16 * 1024;

/// Open traces of one shard that belong to other gateways.
#[derive(Debug)]
pub struct Leavers(Leaving);

impl Leavers {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Tail {
    /// From now on only traces of these slots are decided; all others are held.
    pub fn set_slots(&self, slots: &Arc<Slots>) {
        let arrived = self.arrived();
        for shard in &self.shards {
            self.change(shard, |shard| shard.set_slots(Arc::clone(slots), &arrived));
        }
    }

    /// The open traces of a shard that are not of the collector with this index in the ring.
    pub fn leavers(&self, shard: usize, ring: &Ring, own: Option<usize>) -> Leavers {
        let owner = |slot: u16| {
            let place = ring.place(slot);
            (Some(place) != own).then(|| u16::try_from(place).unwrap_or_default())
        };
        Leavers(lock(&self.shards[shard]).leaving(&owner))
    }

    /// Lets some of them go, of about so many bytes.
    pub fn depart(&self, shard: usize, leavers: &mut Leavers, bytes_max: u64) -> Departure {
        let moving =
            self.change(&self.shards[shard], |shard| shard.part(&mut leavers.0, bytes_max));
        depart(moving)
    }

    /// Decides them instead, by the spans that are here.
    pub fn decide_leavers(&self, shard: usize, leavers: Leavers, now: Tick) {
        let pace = self.pace();
        let decide = |shard: &mut super::Shard| shard.decide_leaving(leavers.0, millis(now), &pace);
        self.change(&self.shards[shard], decide);
    }

    /// What is known of decided traces that belong to the gateway with index `to`: forwards.
    pub fn decisions_for(&self, to: usize, ring: &Ring, from: &str) -> Vec<Bytes> {
        let is_its_own = |slot: u16| ring.place(slot) == to;
        let mut dropped = self.arrived().of_slots(&is_its_own);
        let mut kept = Vec::new();
        for shard in &self.shards {
            let (more, others) = lock(shard).decided_in(&is_its_own);
            kept.extend(more);
            dropped.extend(others);
        }
        let with_kept = kept.chunks(DECISIONS_MAX).map(|some| {
            let told = some.iter().map(|(trace, kept)| Told {
                trace: *trace,
                threshold: kept.threshold.bits(),
                label: kept.label.as_deref().unwrap_or_default(),
            });
            Handover { from, epoch: ring.epoch(), kept: told.collect(), ..Handover::default() }
        });
        let with_dropped = dropped.chunks(DECISIONS_MAX).map(|some| Handover {
            from,
            epoch: ring.epoch(),
            dropped: some.to_vec(),
            ..Handover::default()
        });
        with_kept.chain(with_dropped).map(|handover| written(&handover)).collect()
    }

    /// Follows what another gateway decided.
    pub fn learn(&self, handover: &Handover<'_>) {
        for Told { trace, threshold, label } in &handover.kept {
            let label = (!label.is_empty()).then(|| Arc::from(*label));
            let kept = Kept { threshold: Threshold::new(*threshold), label };
            let shard = &self.shards[self.shard_of(*trace)];
            self.change(shard, |shard| shard.follow(*trace, kept));
        }
        if !handover.dropped.is_empty() {
            let mut arrived = self.arrived.write().unwrap_or_else(PoisonError::into_inner);
            handover.dropped.iter().for_each(|mark| arrived.add(*mark));
            self.has_arrived.store(true, Ordering::Release);
        }
    }

    pub(super) fn remember(&self, sampling: &Sampling) {
        let mut arrived = self.arrived.write().unwrap_or_else(PoisonError::into_inner);
        arrived.set_traces_max(sampling.tail.decisions_max as usize);
    }

    /// Open traces that may not be decided yet.
    pub fn held_traces(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).count_held()).sum()
    }
}

fn written(handover: &Handover<'_>) -> Bytes {
    let mut out = Vec::new();
    write_handover(handover, &mut out);
    Bytes::from(out)
}
