//! Open traces that are another gateway's leave undecided; what others decided is followed here.

use super::{Due, Moment, Shard};
use crate::books::SampledOut;
use crate::handover::Slots;
use crate::ring::slot_of;
use crate::tail::decided::{DroppedTraces, Kept, mark};
use crate::tail::frames::{Frame, Run};
use crate::tail::pace::Pace;
use crate::tail::trace::Link;
use std::collections::VecDeque;
use std::sync::Arc;

/// Open traces that are to leave one shard, those first whose spans are oldest.
pub(in crate::tail) type Leaving = VecDeque<Leaver>;

#[derive(Clone, Copy, Debug)]
pub(in crate::tail) struct Leaver {
    frame: u32,
    due: Due,
    to: u16,
}

/// Spans of a trace that leaves, still in their frame.
#[derive(Clone, Debug)]
pub(in crate::tail) struct Moving {
    pub(in crate::tail) run: Run,
    pub(in crate::tail) trace: u128,
    /// What its spans must say: the trace was thinned to this before.
    pub(in crate::tail) kept: Kept,
    pub(in crate::tail) to: u16,
}

impl Shard {
    /// From now on only traces of these slots are decided.
    pub(in crate::tail) fn set_slots(&mut self, slots: Arc<Slots>, arrived: &DroppedTraces) {
        self.slots = Some(slots);
        self.retried.extend(self.waiting.drain(..));
        if arrived.bytes() == 0 {
            return;
        }
        for place in 0..self.traces.len() as u32 {
            let Some(trace) = self.trace(place) else { continue };
            if !self.is_held(trace.id) && arrived.has(mark(trace.id)) {
                self.follow_at(place, None);
            }
        }
    }

    pub(super) fn is_held(&self, trace: u128) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.holds(trace))
    }

    /// Those that are open and belong elsewhere; `owner` says where, by the slot.
    pub(in crate::tail) fn leaving(&self, owner: &dyn Fn(u16) -> Option<u16>) -> Leaving {
        let traces = self.traces.iter().zip(0..);
        let leavers = traces.filter_map(|(trace, place)| {
            let trace = trace.as_ref()?;
            let to = owner(slot_of(&trace.id.to_be_bytes()))?;
            let last = self.links.get(trace.last_run);
            // Of traces on trial most would be gone before it is their turn: they come last.
            let last = last.filter(|_| !trace.is_brief);
            let frame = last.map_or(u32::MAX, |link| self.frames[0].number(link.run));
            Some(Leaver { frame, due: Due { at_ms: 0, place, turn: trace.turn }, to })
        });
        let mut leavers: Vec<Leaver> = leavers.collect();
        leavers.sort_unstable_by_key(|leaver| leaver.frame);
        leavers.into()
    }

    /// Lets traces go, of about so many bytes.
    pub(in crate::tail) fn part(
        &mut self,
        leaving: &mut Leaving,
        bytes_max: u64,
    ) -> Vec<(Frame, Vec<Moving>)> {
        self.seal(|_| true);
        let (mut moving, mut bytes) = ([Vec::new(), Vec::new()], 0);
        while bytes < bytes_max {
            let Some(Leaver { due, to, .. }) = leaving.pop_front() else { break };
            if self.trace_due(due).is_none() {
                continue;
            }
            let Some(trace) = self.remove(due.place) else { continue };
            bytes += u64::from(trace.bytes);
            let kept = Kept { threshold: trace.threshold.max(trace.admitted), label: None };
            let mut at = trace.last_run;
            while let Some(Link { run, before }) = self.links.get(at).copied() {
                self.free_links.push(at);
                at = before;
                let moving = &mut moving[usize::from(trace.is_brief)];
                moving.push(Moving { run, trace: trace.id, kept: kept.clone(), to });
            }
        }
        let frames = self.frames.iter_mut().zip(moving);
        frames.flat_map(|(own, moving)| own.take(moving, |moving| moving.run)).collect()
    }

    /// Decides those that would leave, by what is here of them.
    pub(in crate::tail) fn decide_leaving(&mut self, leaving: Leaving, now_ms: u64, pace: &Pace) {
        for Leaver { due, .. } in leaving {
            self.decide_turn(due, Moment::Forced, now_ms, pace);
        }
    }

    /// Another gateway kept this trace, before it became ours.
    pub(in crate::tail) fn follow(&mut self, trace: u128, kept: Kept) {
        if let Some(place) = self.places.get(&trace).copied() {
            self.follow_at(place, Some(&kept));
        }
        self.decided.keep(trace, kept);
    }

    /// Its spans are late here; who decided it counted it.
    fn follow_at(&mut self, place: u32, kept: Option<&Kept>) {
        if let Some(trace) = self.remove(place) {
            self.settle(&trace, kept.ok_or(SampledOut::Late));
        }
    }

    pub(in crate::tail) fn decided_in(
        &self,
        is_wanted: &dyn Fn(u16) -> bool,
    ) -> (Vec<(u128, Kept)>, Vec<u64>) {
        self.decided.of_slots(is_wanted)
    }

    /// Open traces of slots that were never handed over.
    pub(in crate::tail) fn count_held(&self) -> u64 {
        let open = self.traces.iter().flatten();
        open.filter(|trace| self.is_held(trace.id)).count() as u64
    }
}
