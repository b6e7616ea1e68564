//! What was accepted of each trace, what arrived of it, and what follows from both.

use super::corpus::{Key, key};
use crate::bench::tail::traces::SPANS_PER_TRACE;
use crate::contest::destination::Arrival;
use crate::contest::threshold::{ot_field, threshold_of};
use std::collections::{BTreeMap, HashMap};

/// Spans that were accepted, of each trace of a round.
pub(super) type Rounds = BTreeMap<u32, Vec<u8>>;

/// What came of one trace.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    spans: u32,
    threshold: u64,
    /// Not all spans say the same.
    is_mixed: bool,
}

#[derive(Default)]
pub(super) struct Arrived {
    traces: HashMap<Key, Came>,
}

/// Of the traces that were accepted whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) traces: u64,
    pub(super) kept: u64,
    pub(super) failed: u64,
    pub(super) failed_kept: u64,
    /// Some of their spans arrived.
    pub(super) torn: u64,
    /// Their spans do not agree on the threshold.
    pub(super) mixed: u64,
    /// Traces that stand for all: the sum of 1/p over those that arrived.
    pub(super) estimate: f64,
    /// The sum of (1/p)(1/p − 1): the variance of the estimate.
    pub(super) variance: f64,
    /// Traces of which some span was given up by the sender.
    pub(super) cut: u64,
}

impl Arrived {
    pub(super) fn add(&mut self, arrival: &Arrival) {
        let Some(id) = arrival.id.first_chunk() else { return };
        let threshold = ot_field(&arrival.trace_state, "th").map_or(0, threshold_of);
        let came = self.traces.entry(key(id)).or_default();
        came.is_mixed |= 0 < came.spans && came.threshold != threshold;
        came.threshold = came.threshold.max(threshold);
        came.spans += 1;
    }

    pub(super) fn sum(&self, rounds: &Rounds, failed: &[bool]) -> Sums {
        let mut sums = Sums::default();
        for (round, accepted) in rounds {
            for ((trace, spans), failed) in (0..).zip(accepted).zip(failed) {
                match usize::from(*spans) {
                    0 => {}
                    SPANS_PER_TRACE => {
                        let came = self.traces.get(&Key { round: *round, trace });
                        sums.add(*failed, came);
                    }
                    _ => sums.cut += 1,
                }
            }
        }
        sums
    }
}

impl Sums {
    fn add(&mut self, failed: bool, came: Option<&Came>) {
        self.traces += 1;
        self.failed += u64::from(failed);
        let Some(came) = came else { return };
        if (came.spans as usize) < SPANS_PER_TRACE {
            self.torn += 1;
        } else {
            self.kept += 1;
            self.failed_kept += u64::from(failed);
        }
        self.mixed += u64::from(came.is_mixed);
        let all = (1_u64 << 56) as f64;
        let weight = all / (all - came.threshold as f64);
        self.estimate += weight;
        self.variance += weight * (weight - 1.0);
    }

    /// By how many standard errors the estimate is too high.
    pub(super) fn deviation(&self) -> f64 {
        (self.estimate - self.traces as f64) / self.variance.sqrt().max(1.0)
    }

    pub(super) fn failed_percent(&self) -> f64 {
        percent(self.failed_kept, self.failed)
    }

    pub(super) fn others_percent(&self) -> f64 {
        percent(self.kept - self.failed_kept, self.traces - self.failed)
    }
}

pub(super) fn percent(part: u64, all: u64) -> f64 {
    part as f64 * 100.0 / (all as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::corpus::id;
    use super::*;

    #[test]
    fn a_kept_trace_stands_for_those_that_were_not() {
        let mut arrived = Arrived::default();
        let mut add = |trace, spans, state: &str| {
            let [id, rest] = [id(Key { round: 1, trace }).to_vec(), vec![0; 8]];
            let id = [id, rest].concat().try_into().unwrap();
            let arrival = Arrival { id, trace_state: state.to_owned() };
            (0..spans).for_each(|_| arrived.add(&arrival));
        };
        add(0, SPANS_PER_TRACE, "ot=th:8");
        add(1, SPANS_PER_TRACE, "");
        add(3, 2, "ot=th:c");
        add(4, SPANS_PER_TRACE, "ot=th:c");
        let accepted = vec![13, 13, 13, 13, 5];
        let sums = arrived.sum(&[(1, accepted)].into(), &[false, true, true, false, false]);
        let expected = Sums {
            traces: 4,
            kept: 2,
            failed: 2,
            failed_kept: 1,
            torn: 1,
            mixed: 0,
            estimate: 7.0,
            variance: 2.0 + 12.0,
            cut: 1,
        };
        assert_eq!(sums, expected);
    }
}
