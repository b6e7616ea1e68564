//! While memory is short and errors are protected, new traces are taken on trial: most errors show
//! only after a trace has begun. Without one, what the threshold does not admit is shed.
//!
//! An error in time lifts the threshold of every trace, also of one that reaches it: it would have
//! been kept whatever its id, so it stands for itself alone.

use super::{Due, Shard};
use crate::books::SampledOut;
use sluice_wire::sampling::Threshold;

/// Most traces are over by then.
const TRIAL_MS: u64 = 1000;

impl Shard {
    /// Of a trace that has just begun.
    pub(super) fn begin_trial(&mut self, place: u32, admitted: Threshold, now_ms: u64) {
        let Some(trace) = self.trace_mut(place) else { return };
        trace.admitted = admitted;
        trace.on_trial = true;
        trace.is_brief = !trace.is_admitted();
        let due = Due { at_ms: now_ms + TRIAL_MS, place, turn: trace.turn };
        let number = trace.version;
        self.version_mut(number).by_trial.push_back(due);
    }

    /// Where a span's bits show an error.
    pub(super) fn end_trial_by_error(&mut self, place: u32, (bits, version): (&[u64], u32)) {
        let is_on_trial = self.trace(place).is_some_and(|own| own.on_trial);
        if !is_on_trial || !self.version(version).rules.has_error(bits) {
            return;
        }
        if let Some(trace) = self.trace_mut(place) {
            trace.on_trial = false;
            trace.admitted = Threshold::EVERYTHING;
        }
    }

    pub(super) fn end_trials(&mut self, now_ms: u64) {
        for at in 0..self.versions.len() {
            let is_due = |due: &mut Due| due.at_ms <= now_ms;
            while let Some(due) = self.versions[at].by_trial.pop_front_if(is_due) {
                self.end_trial(due);
            }
        }
    }

    fn end_trial(&mut self, due: Due) {
        if self.trace_due(due).is_none_or(|own| !own.on_trial) {
            return;
        }
        let Some(trace) = self.trace_mut(due.place) else { return };
        trace.on_trial = false;
        // Another collector may still have an error of it.
        let id = trace.id;
        if trace.is_admitted() || self.is_held(id) {
            return;
        }
        if let Some(trace) = self.remove(due.place) {
            self.settle(&trace, Err(SampledOut::MemoryLimiter));
            self.shed(trace.id, trace.bits(trace.version), trace.version);
        }
    }
}
