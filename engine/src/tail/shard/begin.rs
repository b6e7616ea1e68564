//! Traces that begin: taken up, unless a head, the want of memory or a full buffer says otherwise.

use super::{Due, Shard, Version};
use crate::books::{Dropped, SampledOut};
use crate::tail::Admission;
use crate::tail::decided::{Past, mark};
use crate::tail::harvest::Loss;
use crate::tail::origin::Origin;
use crate::tail::sorter::Sorting;
use crate::tail::trace::{Sight, Trace};
use sluice_wire::sampling::Threshold;
use std::sync::Arc;

impl Shard {
    /// The place of a trace that is not open; `None` when its span has gone where it goes.
    pub(super) fn begin(
        &mut self,
        sorting: &Sorting<'_>,
        origin: &Arc<Origin>,
        (bits, version): (&[u64], u32),
        (now_ms, admission): (u64, &Admission<'_>),
    ) -> Option<u32> {
        let sight = &sorting.sight;
        let elsewhere = admission.arrived.is_some_and(|arrived| arrived.has(mark(sight.trace)));
        match self.decided.find(sight.trace).or(elsewhere.then_some(Past::Dropped)) {
            Some(Past::Kept(kept)) => {
                self.records.late(sight.trace);
                self.harvest.late(origin, sorting.message, kept);
                return None;
            }
            Some(Past::Dropped) => {
                self.records.late(sight.trace);
                self.harvest.lose(origin, Loss::SampledOut(SampledOut::Late), 1);
                self.note_error(sight.trace, bits, version);
                return None;
            }
            None => {}
        }
        let Some(head) = self.pass_heads(sorting, origin, version, admission) else {
            self.harvest.lose(origin, Loss::SampledOut(SampledOut::Head), 1);
            self.shed(sight.trace, bits, version);
            return None;
        };
        let memory = admission.threshold.unwrap_or(Threshold::EVERYTHING);
        let room = admission.threshold.map_or(Threshold::EVERYTHING, |_| self.admitted);
        let on_trial = admission.protects_errors && memory != Threshold::EVERYTHING;
        let asked = if on_trial { room } else { room.max(memory) };
        if !asked.keeps(sight.randomness) {
            self.harvest.lose(origin, Loss::SampledOut(SampledOut::MemoryLimiter), 1);
            self.shed(sight.trace, bits, version);
            return None;
        }
        if self.traces_max <= self.places.len() && !self.make_room(now_ms, admission) {
            self.harvest.lose(origin, Loss::Dropped(Dropped::BufferFull), 1);
            self.shed(sight.trace, bits, version);
            return None;
        }
        let place = self.open(sight, version, now_ms, asked.max(head));
        if on_trial {
            self.begin_trial(place, memory, now_ms);
        }
        Some(place)
    }

    /// What the rates of heads leave of a trace that begins, which they count; `None`: not this one.
    fn pass_heads(
        &mut self,
        sorting: &Sorting<'_>,
        origin: &Origin,
        version: u32,
        admission: &Admission<'_>,
    ) -> Option<Threshold> {
        let Version { rules, demand, .. } = self.version_mut(version);
        // What another collector took up already has passed.
        if admission.threshold.is_none() {
            return Some(Threshold::EVERYTHING);
        }
        let own =
            |policy: &&u16| origin.policies[usize::from(**policy) / 64] >> (**policy % 64) & 1 == 1;
        let own = rules.rated_heads.iter().filter(own).map(|policy| usize::from(*policy));
        let of_policy = |policy: usize| admission.pace.heads.get(policy).copied();
        let head = own.clone().filter_map(of_policy).max().unwrap_or_default();
        let passes = head <= sorting.sight.threshold || head.keeps(sorting.sight.randomness);
        for policy in own {
            demand.heads[policy].traces += 1.0;
            demand.heads[policy].taken += f64::from(u8::from(passes));
        }
        passes.then_some(head)
    }

    fn open(&mut self, sight: &Sight, version: u32, now_ms: u64, admitted: Threshold) -> u32 {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let own = self.version_mut(version);
        let mut trace = Trace::new(sight, turn, own.number, own.rules.words());
        trace.threshold = admitted;
        own.open += 1;
        let at_ms = now_ms + own.rules.tail.decision_wait_ms;
        let place = self.traces.put(&mut self.free, Some(trace));
        self.version_mut(version).by_wait.push_back(Due { at_ms, place, turn });
        self.places.insert(sight.trace, place);
        place
    }
}
