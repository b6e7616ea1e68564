//! Rates made into thresholds, once a second: caps in traces a second, what heads let begin, and the
//! share that the defaults of policies keep.
//!
//! Feed-forward: a second's threshold comes from the traces of the second before; what was too much
//! then is taken off now. Nothing is dropped after its decision.

use super::rules::{RuleKind, Rules};
use crate::config::sampling::{Adaptive, AtMost, HeadRate};
use sluice_wire::sampling::Threshold;
use std::time::Duration;

/// Weight of a second in the baseline of the share of errors, which spans about an hour.
const BASELINE_WEIGHT: f64 = 1.0 / 3600.0;
/// Seconds before a baseline is one.
const BASELINE_SECONDS_MIN: u64 = 60;

/// What was too much is taken off later, but never more than this.
const EXCESS_SECONDS: f64 = 1.0;
/// Of a rate, whatever was too much before.
const ALLOWED_MIN: f64 = 0.2;

/// In force for a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// As rates are numbered.
    pub(super) caps: Vec<Threshold>,
    /// As policies are numbered; `None`: as the policy says.
    pub(super) defaults: Vec<Option<Threshold>>,
    /// As policies are numbered: what traces that begin must reach.
    pub(super) heads: Vec<Threshold>,
}

/// What came in a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Demand {
    /// As rates are numbered.
    pub(super) caps: Vec<CapDemand>,
    /// As policies are numbered: traces that their default decided.
    pub(super) defaults: Vec<DefaultDemand>,
    /// As policies are numbered.
    pub(super) heads: Vec<HeadDemand>,
}

/// Traces that a cap is about and no floor keeps anyhow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CapDemand {
    pub(super) traces: f64,
    /// What would be kept of them without this cap.
    pub(super) expected: f64,
    pub(super) kept: f64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DefaultDemand {
    pub(super) traces: f64,
    /// Of the policy's scope, whoever decided them.
    pub(super) seen: f64,
    pub(super) errors: f64,
}

/// Traces that began in the scope of a policy whose head has a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadDemand {
    pub(super) traces: f64,
    pub(super) taken: f64,
}

/// What is remembered from one second to the next.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    excess: Vec<f64>,
    spikes: Vec<Spike>,
    /// As policies are numbered; `None`: full.
    buckets: Vec<Option<Bucket>>,
}

/// Of tokens, one for each trace that begins.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Below 0 too many began.
    level: f64,
    /// That began in the last second.
    traces: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spike {
    baseline: f64,
    seconds: u64,
    until_ms: u64,
}

impl Demand {
    pub(super) fn new(rules: &Rules) -> Self {
        let rates = rules.rules.iter().filter(|rule| matches!(rule.kind, RuleKind::Rate(_)));
        Self {
            caps: vec![CapDemand::default(); rates.count()],
            defaults: vec![DefaultDemand::default(); rules.policies.len()],
            heads: vec![HeadDemand::default(); rules.policies.len()],
        }
    }

    /// Takes over what another counted; `other` is empty then.
    pub(super) fn take(&mut self, other: &mut Self) {
        for (own, other) in self.caps.iter_mut().zip(&mut other.caps) {
            let CapDemand { traces, expected, kept } = std::mem::take(other);
            own.traces += traces;
            own.expected += expected;
            own.kept += kept;
        }
        for (own, other) in self.defaults.iter_mut().zip(&mut other.defaults) {
            let DefaultDemand { traces, seen, errors } = std::mem::take(other);
            own.traces += traces;
            own.seen += seen;
            own.errors += errors;
        }
        for (own, other) in self.heads.iter_mut().zip(&mut other.heads) {
            let HeadDemand { traces, taken } = std::mem::take(other);
            own.traces += traces;
            own.taken += taken;
        }
    }
}

impl Pacer {
    /// What is in force for the next second; `collectors` share each rate evenly.
    pub(super) fn next(
        &mut self,
        rules: &Rules,
        demand: &Demand,
        (seconds, collectors): (f64, u32),
        now_ms: u64,
    ) -> Pace {
        let per_collector = 1.0 / f64::from(collectors.max(1));
        let caps = rules.policies.iter().flat_map(|own| &own.policy.limit);
        let rates = caps.filter_map(|cap| match cap.at_most {
            AtMost::PerSecond(rate) => Some(f64::from(rate) * per_collector),
            AtMost::Ppm(_) => None,
        });
        self.excess.resize(demand.caps.len(), 0.0);
        let caps = rates.zip(&demand.caps).zip(&mut self.excess);
        let caps = caps.map(|((rate, demand), excess)| {
            *excess = (*excess + demand.kept - rate * seconds).clamp(0.0, rate * EXCESS_SECONDS);
            // Never nothing: what is not kept at all cannot be estimated.
            let allowed = (rate - *excess).max(rate * ALLOWED_MIN);
            if demand.expected <= allowed * seconds {
                return Threshold::EVERYTHING;
            }
            threshold(allowed * seconds / demand.traces)
        });
        let caps = caps.collect();
        self.spikes.resize(demand.defaults.len(), Spike::default());
        self.buckets.resize(demand.heads.len(), None);
        let heads = rules.policies.iter().zip(&demand.heads).zip(&mut self.buckets);
        let heads = heads.map(|((own, demand), bucket)| match own.policy.head_rate_in_force() {
            Some(rate) => passing(rate, demand, bucket, (seconds, per_collector)),
            None => Threshold::EVERYTHING,
        });
        let heads = heads.collect();
        let adaptive = rules.policies.iter().map(|own| own.policy.adaptive.as_ref());
        let defaults = adaptive.zip(&demand.defaults).zip(&mut self.spikes);
        let defaults = defaults.map(|((adaptive, demand), spike)| {
            let adaptive = adaptive?;
            let raised = spike.raised(adaptive, demand, seconds, now_ms);
            raised.or_else(|| steered(adaptive, demand, seconds, per_collector))
        });
        Pace { caps, defaults: defaults.collect(), heads }
    }
}

impl Spike {
    /// The share that is kept while errors are far above their usual share.
    fn raised(
        &mut self,
        adaptive: &Adaptive,
        demand: &DefaultDemand,
        seconds: f64,
        now_ms: u64,
    ) -> Option<Threshold> {
        let spike = adaptive.error_spike.as_ref()?;
        if demand.seen == 0.0 {
            return (now_ms < self.until_ms).then(|| Threshold::from_ppm(spike.raise_to_ppm));
        }
        let share = demand.errors / demand.seen;
        let is_usual = self.seconds < BASELINE_SECONDS_MIN
            || share <= self.baseline * f64::from(spike.factor)
            || demand.errors / seconds < f64::from(spike.errors_per_second_min);
        if !is_usual {
            self.until_ms = now_ms + spike.hold_ms;
        }
        if self.until_ms <= now_ms {
            // While a spike lasts it is not what is usual.
            self.seconds += 1;
            let weight = BASELINE_WEIGHT.max(1.0 / Duration::from_secs(self.seconds).as_secs_f64());
            self.baseline += (share - self.baseline) * weight;
            return None;
        }
        Some(Threshold::from_ppm(spike.raise_to_ppm))
    }
}

/// The share that makes as many traces as are wanted, within its bounds.
fn steered(
    adaptive: &Adaptive,
    demand: &DefaultDemand,
    seconds: f64,
    per_collector: f64,
) -> Option<Threshold> {
    if adaptive.traces_per_second == 0 || demand.traces == 0.0 {
        return None;
    }
    let wanted = f64::from(adaptive.traces_per_second) * per_collector * seconds;
    let least = f64::from(adaptive.min_ppm) / 1e6;
    let most = f64::from(adaptive.max_ppm) / 1e6;
    Some(threshold((wanted / demand.traces).clamp(least, most.max(least))))
}

/// Spreads what is in the bucket over as many traces as are awaited in the next second: those of
/// the last one, or of the one before where that was less and the bucket can bear a mistake.
fn passing(
    rate: HeadRate,
    demand: &HeadDemand,
    bucket: &mut Option<Bucket>,
    (seconds, per_collector): (f64, f64),
) -> Threshold {
    let burst = f64::from(rate.burst) * per_collector;
    let rate = f64::from(rate.traces_per_second) * per_collector;
    let traces = demand.traces / seconds;
    let before = bucket.unwrap_or(Bucket { level: burst, traces });
    let level = before.level + rate * seconds - demand.taken;
    let level = level.clamp(-rate * EXCESS_SECONDS, burst.max(rate));
    *bucket = Some(Bucket { level, traces });
    let awaited = if rate <= level { traces.min(before.traces) } else { traces };
    let allowed = level.max(rate * ALLOWED_MIN);
    if awaited <= allowed { Threshold::EVERYTHING } else { threshold(allowed / awaited) }
}

fn threshold(probability: f64) -> Threshold {
    Threshold::from_ratio((probability.clamp(0.0, 1.0) * 1e9) as u64, 1_000_000_000)
}
