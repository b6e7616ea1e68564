//! What a policy did, in numbers that do not flicker, and the buffer that it needs.

use super::super::conditions::Conditions;
use super::super::flow::sentence;
use super::super::numbers::{memory, rate, share};
use super::View;
use crate::effects::Effects;
use crate::report::{PolicyCounts, PolicyGrowth};
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::policy::{DryRun, EffectiveSampling, Observed};
use sluice_crds::{Duration, Size};
use std::collections::BTreeSet;

/// Over all fleets that run the policy.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) total: PolicyCounts,
    recent: PolicyGrowth,
    /// Of no seconds while nothing is known yet.
    pub(super) shown: PolicyGrowth,
    /// Rules that know too little yet.
    pub(super) warming: BTreeSet<String>,
    late_spans_per_second: f64,
    /// The most that one collector held for open traces.
    bytes_high: u64,
    /// The least that a gateway may hold; 0 where it does not run.
    bytes_max: u64,
}

impl Measured {
    pub(super) fn new(view: &View<'_>) -> Self {
        let mut all = Self::default();
        for (config, _, fleet) in view.configs() {
            let soft = config.gateway.limiter.soft_bytes;
            all.bytes_max = if all.bytes_max == 0 { soft } else { all.bytes_max.min(soft) };
            let Some(report) = fleet.map(|fleet| &fleet.report) else { continue };
            all.bytes_high = all.bytes_high.max(report.tail.bytes_high);
            all.late_spans_per_second += report.tail.late_spans_per_second;
            if let Some(flow) = report.policies.get(&view.key) {
                all.total.add(&flow.total);
                add(&mut all.recent, &flow.recent);
                add(&mut all.shown, &flow.shown);
                all.warming.extend(flow.warming.iter().cloned());
            }
        }
        all
    }

    /// As before while nothing is known.
    pub(super) fn observed(&self, before: Option<&Observed>) -> Option<Observed> {
        let counts = &self.shown.counts;
        if self.bytes_max == 0 {
            return None;
        }
        if self.shown.seconds == 0 {
            return before.cloned();
        }
        let of = |text: fn(&Observed) -> &String| before.map(|before| text(before).as_str());
        let per_second = |count| self.shown.per_second(count);
        Some(Observed {
            traces_per_second: rate(per_second(counts.traces), of(|o| &o.traces_per_second)),
            kept_per_second: rate(per_second(counts.kept), of(|o| &o.kept_per_second)),
            keep_percent: share(counts.kept, counts.traces, of(|o| &o.keep_percent)),
            errors_kept_percent: share(
                counts.error_traces_kept,
                counts.error_traces,
                of(|o| &o.errors_kept_percent),
            ),
            decided_early_per_minute: rate(
                per_second(counts.decided_early) * 60.0,
                of(|o| &o.decided_early_per_minute),
            ),
            late_spans_per_minute: rate(
                self.late_spans_per_second * 60.0,
                of(|o| &o.late_spans_per_minute),
            ),
        })
    }

    /// As before while nothing is known.
    pub(super) fn dry_run(&self, is_tried: bool, before: Option<&DryRun>) -> Option<DryRun> {
        let counts = &self.shown.counts;
        if !is_tried || self.bytes_max == 0 {
            return None;
        }
        if self.shown.seconds == 0 {
            return before.cloned();
        }
        let lost = counts.error_traces.saturating_sub(counts.would_keep_errors);
        let lost = self.shown.per_second(lost) * 60.0;
        Some(DryRun {
            would_keep_percent: share(
                counts.would_keep,
                counts.traces,
                before.map(|before| before.would_keep_percent.as_str()),
            ),
            errors_lost: rate(lost, before.map(|before| before.errors_lost.as_str())),
        })
    }

    pub(super) fn effective(
        &self,
        view: &View<'_>,
        effects: &Effects<'_>,
        before: Option<&EffectiveSampling>,
    ) -> EffectiveSampling {
        let tails = || view.configs().map(|(config, _, _)| &config.sampling.tail);
        let wait = tails().map(|tail| tail.decision_wait_ms).max();
        let traces_max = tails().map(|tail| tail.traces_max).min();
        let traces_max = traces_max.filter(|traces| *traces > 0);
        let active = effects.rules.iter().filter(|rule| rule.effect.is_active()).count();
        let memory_before = before.and_then(|before| before.buffer_memory.as_deref());
        let needed = match self.bytes_high {
            0 => memory_before.map(str::to_owned),
            bytes => Some(memory(bytes, memory_before)),
        };
        EffectiveSampling {
            max_traces: traces_max.and_then(|traces| i32::try_from(traces).ok()),
            buffer_memory: needed.filter(|_| self.bytes_max > 0),
            buffer_memory_available: Some(Size::from_bytes(self.bytes_max))
                .filter(|size| size.bytes() > 0)
                .map(|size| size.to_string()),
            decision_wait: wait.map(|wait| Duration::from_millis(wait).to_string()),
            adaptive_percent: None,
            summary: format!("{active}/{}", effects.rules.len()),
        }
    }

    pub(super) fn set_buffer(&self, conditions: &mut Conditions<'_>, is_running: bool) {
        let is_early = self.recent.counts.decided_early > 0 || self.shown.counts.decided_early > 0;
        let (status, reason) = match is_running {
            false => (Status::True, Reason::NotRequired),
            true if is_early => (Status::False, Reason::DecidedEarly),
            true if self.bytes_high > self.bytes_max => (Status::False, Reason::MemoryTooSmall),
            true => (Status::True, Reason::Sufficient),
        };
        conditions.set(ConditionType::BufferSufficient, status, reason, sentence(reason));
    }
}

fn add(all: &mut PolicyGrowth, one: &PolicyGrowth) {
    all.seconds = all.seconds.max(one.seconds);
    all.counts.add(&one.counts);
}
