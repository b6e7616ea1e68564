//! What was decided of the last traces, for who asks by id.

use super::Record;
use super::hash::TraceHasher;
use std::collections::{HashMap, VecDeque};

/// Decisions of one shard that can be asked for.
const RECORDS_MAX: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Records {
    /// The oldest first.
    records: VecDeque<Record>,
    /// How many went before the oldest: with its place it makes a record's number.
    forgotten: usize,
    numbers: HashMap<u128, usize, TraceHasher>,
}

impl Records {
    pub(super) fn new(hasher: TraceHasher) -> Self {
        Self { records: VecDeque::new(), forgotten: 0, numbers: HashMap::with_hasher(hasher) }
    }

    /// Of a trace that was decided again, the last one counts.
    pub(super) fn add(&mut self, record: Record) {
        if RECORDS_MAX <= self.records.len()
            && let Some(oldest) = self.records.pop_front()
        {
            if self.numbers.get(&oldest.trace) == Some(&self.forgotten) {
                self.numbers.remove(&oldest.trace);
            }
            self.forgotten += 1;
        }
        self.numbers.insert(record.trace, self.forgotten + self.records.len());
        self.records.push_back(record);
    }

    /// A span came after its trace was decided.
    pub(super) fn late(&mut self, trace: u128) {
        if let Some(number) = self.numbers.get(&trace)
            && let Some(record) = self.records.get_mut(number - self.forgotten)
        {
            record.late_spans = record.late_spans.saturating_add(1);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let number = size_of::<(u128, usize)>() + 1;
        self.records.capacity() * size_of::<Record>() + self.numbers.capacity() * number
    }

    pub(super) fn find(&self, trace: u128) -> Option<&Record> {
        self.records.get(self.numbers.get(&trace)? - self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_wire::sampling::Threshold;

    fn record(trace: u128, at_ms: u64) -> Record {
        Record {
            trace,
            at_ms,
            spans: 1,
            late_spans: 0,
            is_kept: true,
            is_early: false,
            threshold: Threshold::EVERYTHING,
            rule: None,
        }
    }

    #[test]
    fn the_last_decisions_are_found_and_older_ones_forgotten() {
        let mut records = Records::new(TraceHasher::new(7));
        let all = RECORDS_MAX as u128 + 10;
        (0..all).for_each(|trace| records.add(record(trace, 1)));
        assert_eq!(records.find(9), None);
        assert_eq!(records.find(10), Some(&record(10, 1)));
        assert_eq!(records.find(all - 1), Some(&record(all - 1, 1)));
        assert_eq!(records.numbers.len(), RECORDS_MAX);
    }

    #[test]
    fn a_trace_that_was_decided_twice_shows_the_last_time() {
        let mut records = Records::new(TraceHasher::new(7));
        records.add(record(1, 5));
        records.add(record(1, 6));
        (2..RECORDS_MAX as u128 + 1).for_each(|trace| records.add(record(trace, 7)));
        assert_eq!(records.find(1), Some(&record(1, 6)), "only the first one is forgotten");
        records.late(1);
        records.late(1_000_000);
        assert_eq!(records.find(1).map(|found| found.late_spans), Some(1));
    }
}
