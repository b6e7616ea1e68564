//! The decision of a trace: by all rules that saw it, once.

use super::{Moment, Shard, Version};
use crate::books::SampledOut;
use crate::tail::Record;
use crate::tail::decided::{Kept, mark};
use crate::tail::harvest::{Keeper, Loss};
use crate::tail::ledger::Fate;
use crate::tail::pace::Pace;
use crate::tail::rules::{Case, Cause, RuleKind, Verdict};
use crate::tail::trace::{Link, Trace};
use sluice_wire::sampling::Threshold;

impl Shard {
    pub(super) fn decide(&mut self, place: u32, moment: Moment, now_ms: u64, pace: &Pace) {
        let Some(trace) = self.remove(place) else { return };
        let mut matched = std::mem::take(&mut self.matched);
        // By all rules that saw it: what one of them keeps is kept. Those it began under come last.
        let (mut verdict, mut version) = (None::<Verdict>, trace.version);
        for number in trace.versions() {
            let found = self.judge(&trace, number, pace, &mut matched);
            if verdict.is_none_or(|best| found.threshold <= best.threshold) {
                (verdict, version) = (Some(found), number);
            }
        }
        let Some(Verdict { threshold, cause, capped_from }) = verdict else { return };
        let threshold = threshold.max(trace.threshold).max(trace.admitted);
        let is_kept = threshold.keeps(trace.randomness);
        let names = self.version(version).ledger.names(cause);
        let own = self.version_mut(trace.version);
        if version == trace.version {
            own.count_demand((cause, capped_from), &matched, is_kept, &trace);
        }
        let cause_of_own = if version == trace.version { cause } else { Cause::None };
        let is_early = moment == Moment::Forced;
        let fate = Fate { cause: cause_of_own, is_kept, is_early };
        own.ledger.count(&own.rules, &trace, fate, pace, &mut matched);
        self.matched = matched;
        let kept = Kept { threshold, label: names.label.clone() };
        let loss = match trace.is_admitted() {
            true => sampled_out(cause),
            false => SampledOut::MemoryLimiter,
        };
        self.settle(&trace, if is_kept { Ok(&kept) } else { Err(loss) });
        if is_kept {
            self.decided.keep(trace.id, kept);
        } else {
            self.decided.drop(trace.id);
            if self.version(trace.version).rules.has_error(trace.bits(trace.version)) {
                self.lost_errors.add(mark(trace.id));
            }
        }
        self.records.add(Record {
            trace: trace.id,
            at_ms: now_ms,
            spans: trace.spans,
            late_spans: 0,
            is_kept,
            is_early: moment == Moment::Forced,
            threshold,
            rule: names.rule,
        });
    }

    /// A trace is not taken, and counts as dropped by all policies that its first span is about.
    pub(super) fn shed(&mut self, trace: u128, bits: &[u64], version: u32) {
        self.decided.drop(trace);
        let own = self.version_mut(version);
        own.ledger.count_shed(&own.rules, bits);
        self.note_error(trace, bits, version);
    }

    /// An error of a dropped trace counts as lost once, though it shows only now.
    pub(super) fn note_error(&mut self, trace: u128, bits: &[u64], version: u32) {
        if !self.version(version).rules.has_error(bits) || self.lost_errors.has(mark(trace)) {
            return;
        }
        self.lost_errors.add(mark(trace));
        let own = self.version_mut(version);
        own.ledger.count_lost_error(&own.rules, bits);
    }

    /// What rules of one version make of a trace. Rates are those of the rules in force.
    fn judge(&self, trace: &Trace, number: u32, pace: &Pace, matched: &mut Vec<u32>) -> Verdict {
        let own = self.version(number);
        let is_in_force = self.versions.back().is_some_and(|newest| newest.number == number);
        let idle = Pace::default();
        let case = Case::of(trace, &own.rules, number);
        own.rules.decide(&case, None, if is_in_force { pace } else { &idle }, matched)
    }

    /// What becomes of the spans that are held of a trace.
    pub(super) fn settle(&mut self, trace: &Trace, fate: Result<&Kept, SampledOut>) {
        let frames = &mut self.frames[usize::from(trace.is_brief)];
        let harvest = &mut self.harvest;
        frames.release_open(trace.tip, |origin, piece| match fate {
            Ok(kept) => harvest.pass(origin, (trace.id, piece), kept),
            Err(rule) => harvest.lose(origin, Loss::SampledOut(rule), 1),
        });
        let mut at = trace.last_run;
        while let Some(Link { run, before }) = self.links.get(at).copied() {
            self.free_links.push(at);
            at = before;
            match fate {
                Ok(kept) => {
                    let keeper = Keeper { run, trace: trace.id, kept: kept.clone() };
                    harvest.keep(keeper, trace.is_brief);
                }
                Err(rule) => {
                    if let Some(origin) = frames.origin(run) {
                        harvest.lose(origin, Loss::SampledOut(rule), u64::from(run.spans()));
                    }
                    frames.release(run);
                }
            }
        }
    }
}

fn sampled_out(cause: Cause) -> SampledOut {
    match cause {
        Cause::Cap(_) => SampledOut::Limit,
        _ => SampledOut::Policy,
    }
}

impl Version {
    fn count_demand(
        &mut self,
        (cause, capped_from): (Cause, Option<Threshold>),
        matched: &[u32],
        is_kept: bool,
        trace: &Trace,
    ) {
        if let Some(plain) = capped_from {
            for rule in matched {
                let RuleKind::Rate(rate) = self.rules.rules[*rule as usize].kind else { continue };
                let cap = &mut self.demand.caps[rate as usize];
                cap.traces += 1.0;
                cap.expected += plain.probability();
                cap.kept += f64::from(u8::from(is_kept));
            }
        }
        for (at, own) in self.rules.policies.iter().enumerate() {
            if own.policy.adaptive.is_none() {
                continue;
            }
            let (is_touched, is_error) = self.rules.touches(at, trace.bits(trace.version));
            let demand = &mut self.demand.defaults[at];
            demand.traces += f64::from(u8::from(cause == Cause::Default(at as u16)));
            demand.seen += f64::from(u8::from(is_touched));
            demand.errors += f64::from(u8::from(is_error));
        }
    }
}
