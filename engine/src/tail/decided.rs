//! What was decided, remembered for late spans: kept traces exactly, dropped ones by a mark.
//!
//! Both are kept in generations: when the newest one is full, the oldest one is forgotten.

use super::hash::TraceHasher;
use crate::ring::{SLOT_BITS, hash_of, slot_of};
use sluice_wire::sampling::Threshold;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Of kept traces. Few, and tables that grow take much memory at once; many, and all are looked at
/// for each trace that begins.
const GENERATIONS: usize = 4;

/// Cells of one bucket of marks.
const BUCKET: usize = 8;
/// As many buckets at least: what does not follow from the bucket has to fit a cell.
const BUCKET_BITS_MIN: u32 = SLOT_BITS;

/// How a trace was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) threshold: Threshold,
    /// The rule that its spans name; `None`: they do not.
    pub(super) label: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Past {
    Kept(Kept),
    Dropped,
}

#[derive(Debug)]
pub(super) struct Decided {
    hasher: TraceHasher,
    traces_max: usize,
    /// The newest last.
    kept: VecDeque<HashMap<u128, Entry, TraceHasher>>,
    /// All that entries name.
    labels: Vec<Arc<str>>,
    dropped: DroppedTraces,
}

/// As [`Kept`], smaller.
#[derive(Clone, Copy, Debug)]
struct Entry {
    threshold: Threshold,
    /// Place among the labels, or [`NO_LABEL`].
    label: u32,
}

const NO_LABEL: u32 = u32::MAX;

/// Dropped traces by their [`mark`]s.
#[derive(Debug, Default)]
pub(super) struct DroppedTraces {
    traces_max: usize,
    now: Marks,
    before: Marks,
}

/// A set of marks of at most a fixed size. May forget one when a bucket is full.
#[derive(Debug, Default)]
struct Marks {
    buckets: Vec<[u32; BUCKET]>,
    bits: u32,
    len: usize,
}

/// Stands for a trace among dropped ones: its slot, then 32 bits of the hash that slots come from.
/// All gateways make the same, so that they can tell each other.
pub(super) fn mark(trace: u128) -> u64 {
    let hash = hash_of(trace);
    hash >> (64 - SLOT_BITS) << 32 | hash & u64::from(u32::MAX)
}

/// The slot of a marked trace.
pub(super) fn slot_of_mark(mark: u64) -> u16 {
    (mark >> 32) as u16
}

impl Decided {
    pub(super) fn new(hasher: TraceHasher, traces_max: usize) -> Self {
        let (kept, labels) = (VecDeque::new(), Vec::new());
        Self { hasher, traces_max, kept, labels, dropped: DroppedTraces::new(traces_max) }
    }

    pub(super) fn set_traces_max(&mut self, traces_max: usize) {
        self.traces_max = traces_max;
        self.dropped.set_traces_max(traces_max);
    }

    pub(super) fn find(&self, trace: u128) -> Option<Past> {
        let entry = self.kept.iter().rev().find_map(|own| own.get(&trace));
        if let Some(entry) = entry {
            return Some(Past::Kept(self.kept(entry)));
        }
        self.dropped.has(mark(trace)).then_some(Past::Dropped)
    }

    fn kept(&self, entry: &Entry) -> Kept {
        let label = self.labels.get(entry.label as usize).cloned();
        Kept { threshold: entry.threshold, label }
    }

    pub(super) fn keep(&mut self, trace: u128, kept: Kept) {
        if self.traces_max == 0 {
            return;
        }
        let is_full = |own: &HashMap<_, _, _>| self.traces_max.div_ceil(GENERATIONS) <= own.len();
        if self.kept.back().is_none_or(is_full) {
            self.kept.push_back(HashMap::with_hasher(self.hasher));
            if GENERATIONS < self.kept.len() {
                self.kept.pop_front();
            }
        }
        let label = kept.label.map_or(NO_LABEL, |label| self.place(label));
        if let Some(newest) = self.kept.back_mut() {
            newest.insert(trace, Entry { threshold: kept.threshold, label });
        }
    }

    /// As many labels as there are rules, so far: few.
    fn place(&mut self, label: Arc<str>) -> u32 {
        let known = self.labels.iter().position(|own| *own == label);
        let place = known.unwrap_or_else(|| {
            self.labels.push(label);
            self.labels.len() - 1
        });
        place as u32
    }

    pub(super) fn drop(&mut self, trace: u128) {
        self.dropped.add(mark(trace));
    }

    /// What was decided of traces in slots that `is_wanted` names.
    pub(super) fn of_slots(
        &self,
        is_wanted: &dyn Fn(u16) -> bool,
    ) -> (Vec<(u128, Kept)>, Vec<u64>) {
        let kept = self.kept.iter().flatten();
        let kept = kept.filter(|(trace, _)| is_wanted(slot_of(&trace.to_be_bytes())));
        let kept = kept.map(|(trace, entry)| (*trace, self.kept(entry)));
        (kept.collect(), self.dropped.of_slots(is_wanted))
    }

    pub(super) fn bytes(&self) -> usize {
        let kept: usize = self.kept.iter().map(HashMap::capacity).sum();
        // A table is full at seven of eight, and has a byte more for each place.
        kept * 8 / 7 * (size_of::<(u128, Entry)>() + 1) + self.dropped.bytes()
    }
}

impl DroppedTraces {
    pub(super) fn new(traces_max: usize) -> Self {
        Self { traces_max, ..Self::default() }
    }

    pub(super) fn set_traces_max(&mut self, traces_max: usize) {
        self.traces_max = traces_max;
    }

    pub(super) fn has(&self, mark: u64) -> bool {
        self.now.has(mark) || self.before.has(mark)
    }

    pub(super) fn add(&mut self, mark: u64) {
        if self.traces_max == 0 {
            return;
        }
        let of_generation = self.traces_max.div_ceil(2);
        if self.now.buckets.is_empty() || of_generation <= self.now.len {
            self.before = std::mem::replace(&mut self.now, Marks::new(of_generation));
        }
        self.now.add(mark);
    }

    pub(super) fn of_slots(&self, is_wanted: &dyn Fn(u16) -> bool) -> Vec<u64> {
        let marks = self.before.iter().chain(self.now.iter());
        marks.filter(|mark| is_wanted(slot_of_mark(*mark))).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        (self.now.buckets.len() + self.before.buckets.len()) * size_of::<[u32; BUCKET]>()
    }
}

/// Of a mark's lower 32 bits the lowest name the bucket; its cell holds all others.
impl Marks {
    /// Of the size that holds all, half full. Pages that are not used cost nothing.
    fn new(traces_max: usize) -> Self {
        let wanted = traces_max.saturating_mul(2).div_ceil(BUCKET);
        let bits = wanted.next_power_of_two().ilog2().clamp(BUCKET_BITS_MIN, 31);
        Self { buckets: vec![[0; BUCKET]; 1 << bits], bits, len: 0 }
    }

    fn has(&self, mark: u64) -> bool {
        let Some(bucket) = self.buckets.get(self.place(mark)) else { return false };
        bucket.contains(&self.cell(mark))
    }

    fn add(&mut self, mark: u64) {
        let (place, cell) = (self.place(mark), self.cell(mark));
        let Some(bucket) = self.buckets.get_mut(place) else { return };
        if bucket.contains(&cell) {
            return;
        }
        let free = bucket.iter().position(|own| *own == 0);
        bucket[free.unwrap_or(self.len % BUCKET)] = cell;
        self.len += 1;
    }

    fn place(&self, mark: u64) -> usize {
        mark as usize & self.buckets.len().wrapping_sub(1)
    }

    /// Never 0, which is a free cell: one mark in 2^32 is taken for its neighbour.
    fn cell(&self, mark: u64) -> u32 {
        ((mark >> self.bits) as u32).max(1)
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        let cells =
            self.buckets.iter().zip(0_u64..).flat_map(|(bucket, place)| {
                bucket.iter().map(move |cell| (u64::from(*cell), place))
            });
        let taken = cells.filter(|(cell, _)| *cell != 0);
        taken.map(|(cell, place)| cell << self.bits | place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(count: u64) -> impl Iterator<Item = u128> {
        (1..=count).map(|number| u128::from(number) << 64 | u128::from(number))
    }

    #[test]
    fn marks_come_out_as_they_went_in() {
        for traces_max in [1, 5000, 200_000] {
            let mut dropped = DroppedTraces::new(traces_max);
            traces(traces_max as u64).for_each(|trace| dropped.add(mark(trace)));
            let mut found = dropped.of_slots(&|_| true);
            found.sort_unstable();
            let mut expected: Vec<u64> = traces(traces_max as u64).map(mark).collect();
            expected.sort_unstable();
            // A bucket that overflows forgets: few do.
            assert!(expected.len() - found.len() <= expected.len() / 100);
            assert!(found.iter().all(|mark| expected.binary_search(mark).is_ok()));
        }
    }

    #[test]
    fn of_the_slots_that_are_wanted_all_and_nothing_else() {
        let mut decided = Decided::new(TraceHasher::new(3), 0);
        decided.set_traces_max(10_000);
        let kept = Kept { threshold: Threshold::EVERYTHING, label: None };
        for trace in traces(5000) {
            match trace as u64 % 2 {
                0 => decided.keep(trace, kept.clone()),
                _ => decided.drop(trace),
            }
        }
        let is_wanted = |slot: u16| slot < 1000;
        let is_of_it = |trace: &u128| is_wanted(slot_of(&trace.to_be_bytes()));
        let (kept, dropped) = decided.of_slots(&is_wanted);
        let wanted = traces(5000).filter(is_of_it).count();
        assert!(kept.iter().all(|(trace, _)| is_of_it(trace)));
        assert_eq!(kept.len() + dropped.len(), wanted);
        assert!(800 < wanted && wanted < 1600, "{wanted}");
    }
}
