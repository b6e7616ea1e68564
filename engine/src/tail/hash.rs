//! A seeded hash of trace ids, for tables of traces: ids may be chosen by whoever sends them. And a
//! plain one of addresses, which nobody chooses.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy, Debug)]
pub(super) struct TraceHasher {
    seed: u64,
}

/// Of one `u128`.
#[derive(Debug)]
pub(super) struct OneTrace {
    seed: u64,
    hash: u64,
}

/// By the address of something, and by what else there is of it.
pub(super) type ByAddress<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

#[derive(Debug, Default)]
pub(super) struct AddressHasher {
    hash: u64,
}

impl TraceHasher {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    #[inline]
    pub(super) fn hash(self, trace: u128) -> u64 {
        self.hash_one(trace)
    }

    pub(super) fn of_bytes(self, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let start = self.seed ^ bytes.len() as u64;
        words
            .iter()
            .chain([&last])
            .fold(start, |hash, word| fold(hash ^ u64::from_le_bytes(*word) ^ ODD, ODD))
    }
}

impl BuildHasher for TraceHasher {
    type Hasher = OneTrace;

    fn build_hasher(&self) -> OneTrace {
        OneTrace { seed: self.seed, hash: 0 }
    }
}

impl Hasher for OneTrace {
    #[inline]
    fn write_u128(&mut self, trace: u128) {
        let (high, low) = ((trace >> 64) as u64, trace as u64);
        let once = fold(high ^ self.seed, ODD);
        self.hash = fold(low ^ once, self.seed | 1);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = fold(self.hash ^ u64::from(*byte), ODD);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

impl Hasher for AddressHasher {
    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.hash = fold(self.hash ^ value as u64, ODD);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

/// Both halves of the product: every bit of the input reaches every bit of the result.
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}
