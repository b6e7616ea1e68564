//! What was decided, remembered for late spans: kept traces exactly, dropped ones by a fingerprint.
//!
//! Both are kept in two generations: when the newer one is full, the older one is forgotten.

use super::hash::TraceHasher;
use sluice_wire::sampling::Threshold;
use std::collections::HashMap;
use std::sync::Arc;

/// Slots of one bucket of fingerprints.
const BUCKET: usize = 8;

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
    /// Of one generation.
    traces_max: usize,
    kept: HashMap<u128, Kept, TraceHasher>,
    kept_before: HashMap<u128, Kept, TraceHasher>,
    dropped: Fingerprints,
    dropped_before: Fingerprints,
}

/// A set of 32-bit fingerprints of at most a fixed size. May forget one when a bucket is full;
/// takes one trace for another once in 2^29.
#[derive(Debug, Default)]
struct Fingerprints {
    buckets: Vec<[u32; BUCKET]>,
    len: usize,
}

impl Decided {
    pub(super) fn new(hasher: TraceHasher, traces_max: usize) -> Self {
        Self {
            hasher,
            traces_max,
            kept: HashMap::with_hasher(hasher),
            kept_before: HashMap::with_hasher(hasher),
            dropped: Fingerprints::default(),
            dropped_before: Fingerprints::default(),
        }
    }

    pub(super) fn set_traces_max(&mut self, traces_max: usize) {
        self.traces_max = traces_max;
    }

    pub(super) fn find(&self, trace: u128) -> Option<Past> {
        if let Some(kept) = self.kept.get(&trace).or_else(|| self.kept_before.get(&trace)) {
            return Some(Past::Kept(kept.clone()));
        }
        let hash = self.hasher.hash(trace);
        let dropped = self.dropped.has(hash) || self.dropped_before.has(hash);
        dropped.then_some(Past::Dropped)
    }

    pub(super) fn keep(&mut self, trace: u128, kept: Kept) {
        if self.traces_max == 0 {
            return;
        }
        if self.traces_max <= self.kept.len() {
            let empty = HashMap::with_hasher(self.hasher);
            self.kept_before = std::mem::replace(&mut self.kept, empty);
        }
        self.kept.insert(trace, kept);
    }

    pub(super) fn drop(&mut self, trace: u128) {
        if self.traces_max == 0 {
            return;
        }
        if self.dropped.buckets.is_empty() || self.traces_max <= self.dropped.len {
            let empty = Fingerprints::new(self.traces_max);
            self.dropped_before = std::mem::replace(&mut self.dropped, empty);
        }
        self.dropped.add(self.hasher.hash(trace));
    }

    pub(super) fn bytes(&self) -> usize {
        let kept = self.kept.capacity() + self.kept_before.capacity();
        let buckets = self.dropped.buckets.len() + self.dropped_before.buckets.len();
        kept * 48 + buckets * size_of::<[u32; BUCKET]>()
    }
}

impl Fingerprints {
    /// Of the size that holds all, three quarters full. Pages that are not used cost nothing.
    fn new(traces_max: usize) -> Self {
        let buckets = (traces_max * 4 / 3).div_ceil(BUCKET).next_power_of_two();
        Self { buckets: vec![[0; BUCKET]; buckets], len: 0 }
    }

    fn has(&self, hash: u64) -> bool {
        let Some(bucket) = self.buckets.get(self.place(hash)) else { return false };
        bucket.contains(&fingerprint(hash))
    }

    fn add(&mut self, hash: u64) {
        let place = self.place(hash);
        let Some(bucket) = self.buckets.get_mut(place) else { return };
        let fingerprint = fingerprint(hash);
        if bucket.contains(&fingerprint) {
            return;
        }
        let free = bucket.iter().position(|slot| *slot == 0);
        bucket[free.unwrap_or(self.len % BUCKET)] = fingerprint;
        self.len += 1;
    }

    fn place(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.buckets.len().wrapping_sub(1)
    }
}

/// Never 0, which is a free slot.
fn fingerprint(hash: u64) -> u32 {
    (hash as u32).max(1)
}
