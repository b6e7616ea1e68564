//! What sampling policies did over all agents of one fleet. Shares of few traces need a longer look
//! than rates of many items: statuses show those of [`SHOWN_S`] seconds.

use super::books::{Past, WINDOW_S, rate};
use super::{AgentReport, PolicyCounts, RuleCounts};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The span of [`PolicyFlow::shown`], in seconds.
const SHOWN_S: i64 = 10 * WINDOW_S;

/// What one policy did, over all agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyFlow {
    /// Since the operator began to count.
    pub total: PolicyCounts,
    /// Since about [`WINDOW_S`] seconds ago, up to now.
    pub recent: PolicyGrowth,
    /// The last five minutes, or the part of them that was seen; renewed every [`WINDOW_S`] seconds,
    /// so that statuses stay calm.
    pub shown: PolicyGrowth,
    /// Rules that know too little yet, in at least half of the agents.
    pub warming: BTreeSet<String>,
}

/// What was counted within some seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyGrowth {
    pub seconds: i64,
    pub counts: PolicyCounts,
}

/// The traces that all agents hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TailFlow {
    pub open_traces: u64,
    pub bytes: u64,
    /// The most that one agent held in the time of [`PolicyFlow::shown`].
    pub bytes_high: u64,
    /// Since the operator began to count.
    pub late_spans: u64,
    /// As [`PolicyFlow::shown`].
    pub late_spans_per_second: f64,
}

#[derive(Debug, Default)]
pub(super) struct PolicyBooks {
    sums: Sums,
    /// By policy.
    warmth: BTreeMap<String, Warmth>,
    open_traces: u64,
    bytes: u64,
    /// The most that one agent held since the last moment.
    bytes_high: u64,
    /// The sums as they were, every [`WINDOW_S`] seconds.
    history: VecDeque<Moment>,
}

/// How many agents count for a policy, and for which rules they know too little yet.
#[derive(Debug, Default)]
struct Warmth {
    agents: usize,
    warming: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    policies: BTreeMap<String, PolicyCounts>,
    late_spans: u64,
}

#[derive(Debug)]
struct Moment {
    at: Timestamp,
    sums: Sums,
    /// Up to then.
    bytes_high: u64,
}

impl PolicyBooks {
    pub(super) fn absorb(&mut self, past: &Past<'_>, report: &AgentReport) {
        let policies = &mut self.sums.policies;
        past.grow(
            policies,
            &report.policies,
            |r| &r.policies,
            |total, own, base| {
                total.add(&growth(own, base));
            },
        );
        for (key, own) in &report.policies {
            let warmth = self.warmth.entry(key.clone()).or_default();
            warmth.agents += 1;
            for rule in &own.warming {
                *warmth.warming.entry(rule.clone()).or_default() += 1;
            }
        }
        let late = past.base(&report.tail.late_spans, |before| Some(&before.tail.late_spans));
        self.sums.late_spans += report.tail.late_spans.saturating_sub(late);
        self.open_traces += report.tail.open_traces;
        self.bytes += report.tail.bytes;
        self.bytes_high = self.bytes_high.max(report.tail.bytes);
    }

    /// Takes away the levels of an agent's last report.
    pub(super) fn retire(&mut self, before: &AgentReport) {
        self.open_traces = self.open_traces.saturating_sub(before.tail.open_traces);
        self.bytes = self.bytes.saturating_sub(before.tail.bytes);
        for (key, own) in &before.policies {
            let Some(warmth) = self.warmth.get_mut(key) else { continue };
            warmth.agents = warmth.agents.saturating_sub(1);
            for rule in &own.warming {
                if let Some(agents) = warmth.warming.get_mut(rule) {
                    *agents = agents.saturating_sub(1);
                }
            }
        }
        self.warmth.retain(|_, warmth| warmth.agents > 0);
    }

    pub(super) fn retain(&mut self, keep: &impl Fn(&str) -> bool) {
        self.sums.policies.retain(|key, _| keep(key));
    }

    /// What is shown from now on.
    pub(super) fn show(&mut self, now: Timestamp) {
        let bytes_high = std::mem::take(&mut self.bytes_high);
        self.history.push_back(Moment { at: now, sums: self.sums.clone(), bytes_high });
        let is_old = |moment: &Moment| now.duration_since(moment.at).as_secs() >= SHOWN_S;
        while self.history.get(1).is_some_and(is_old) {
            self.history.pop_front();
        }
    }

    pub(super) fn flows(&self, now: Timestamp) -> BTreeMap<String, PolicyFlow> {
        let is_past = |moment: &&Moment| now.duration_since(moment.at).as_secs() >= WINDOW_S;
        let recent = self.history.iter().rev().find(is_past).or(self.history.front());
        let flow = |(key, total): (&String, &PolicyCounts)| {
            let shown = self.history.front().zip(self.history.back());
            let flow = PolicyFlow {
                warming: self.warmth.get(key).map(Warmth::of_most).unwrap_or_default(),
                total: total.clone(),
                recent: recent.map(|from| from.growth(key, now, total)).unwrap_or_default(),
                shown: shown
                    .map(|(from, to)| from.growth(key, to.at, &to.counts(key)))
                    .unwrap_or_default(),
            };
            (key.clone(), flow)
        };
        self.sums.policies.iter().map(flow).collect()
    }

    pub(super) fn tail(&self) -> TailFlow {
        let shown = self.history.front().zip(self.history.back());
        let late = shown.map(|(from, to)| {
            let seconds = to.at.duration_since(from.at).as_secs();
            rate(to.sums.late_spans.saturating_sub(from.sums.late_spans), seconds)
        });
        TailFlow {
            open_traces: self.open_traces,
            bytes: self.bytes,
            bytes_high: self.history.iter().map(|m| m.bytes_high).max().unwrap_or_default(),
            late_spans: self.sums.late_spans,
            late_spans_per_second: late.unwrap_or_default(),
        }
    }
}

impl Warmth {
    fn of_most(&self) -> BTreeSet<String> {
        let most =
            self.warming.iter().filter(|(_, agents)| **agents > 0 && self.agents <= **agents * 2);
        most.map(|(rule, _)| rule.clone()).collect()
    }
}

impl Moment {
    fn counts(&self, key: &str) -> PolicyCounts {
        self.sums.policies.get(key).cloned().unwrap_or_default()
    }

    /// From this moment until another, with its counts.
    fn growth(&self, key: &str, until: Timestamp, counts: &PolicyCounts) -> PolicyGrowth {
        let seconds = until.duration_since(self.at).as_secs().max(0);
        PolicyGrowth { seconds, counts: growth(counts, &self.counts(key)) }
    }
}

impl PolicyGrowth {
    /// One of the counts, as a rate.
    pub fn per_second(&self, count: u64) -> f64 {
        rate(count, self.seconds)
    }
}

fn growth(own: &PolicyCounts, base: &PolicyCounts) -> PolicyCounts {
    let rule = |(name, own): (&String, &RuleCounts)| {
        let base = base.rules.get(name).copied().unwrap_or_default();
        let growth = RuleCounts {
            matched: own.matched.saturating_sub(base.matched),
            decided: own.decided.saturating_sub(base.decided),
            kept: own.kept.saturating_sub(base.kept),
        };
        (name.clone(), growth)
    };
    PolicyCounts {
        traces: own.traces.saturating_sub(base.traces),
        kept: own.kept.saturating_sub(base.kept),
        error_traces: own.error_traces.saturating_sub(base.error_traces),
        error_traces_kept: own.error_traces_kept.saturating_sub(base.error_traces_kept),
        decided_early: own.decided_early.saturating_sub(base.decided_early),
        would_keep: own.would_keep.saturating_sub(base.would_keep),
        would_keep_errors: own.would_keep_errors.saturating_sub(base.would_keep_errors),
        rules: own.rules.iter().map(rule).collect(),
        // A level: see `Warmth`.
        warming: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests;
