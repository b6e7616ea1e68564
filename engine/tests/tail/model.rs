//! The plain model of tail sampling that the engine is held against: every span is kept as a value,
//! every rule is asked of every span.

use crate::spans::{Left, Span};
use crate::world::START_NS;
use sluice_engine::config::sampling::{AtMost, Match, Mode, Policy, Sampling, SpanStatus};
use sluice_wire::sampling::Threshold;
use std::collections::BTreeMap;

const DAY_NS: u64 = 24 * 3_600_000_000_000;

pub(crate) struct Model<'a> {
    sampling: &'a Sampling,
    open: BTreeMap<u128, Open>,
    decided: BTreeMap<u128, Option<Threshold>>,
    pub(crate) left: Vec<Left>,
    pub(crate) lost: u64,
}

struct Open {
    due_ms: u64,
    has_root: bool,
    spans: Vec<Span>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(sampling: &'a Sampling) -> Self {
        let (open, decided) = (BTreeMap::new(), BTreeMap::new());
        Self { sampling, open, decided, left: Vec::new(), lost: 0 }
    }

    pub(crate) fn send(&mut self, now_ms: u64, spans: &[&Span]) {
        for span in spans {
            if let Some(decision) = self.decided.get(&span.trace) {
                let decision = *decision;
                self.pass(span, decision);
                continue;
            }
            let wait = &self.sampling.tail;
            let fresh = || Open {
                due_ms: now_ms + wait.decision_wait_ms,
                has_root: false,
                spans: Vec::new(),
            };
            let open = self.open.entry(span.trace).or_insert_with(fresh);
            if span.parent == 0 && !open.has_root {
                open.has_root = true;
                open.due_ms = open.due_ms.min(now_ms + wait.after_root_ms);
            }
            open.spans.push((*span).clone());
            if floor(self.sampling, &open.spans) == Some(Threshold::EVERYTHING) {
                self.decide(span.trace);
            }
        }
    }

    pub(crate) fn harvest(&mut self, now_ms: u64) {
        let due: Vec<u128> =
            self.open.iter().filter(|(_, open)| open.due_ms <= now_ms).map(|(id, _)| *id).collect();
        due.into_iter().for_each(|trace| self.decide(trace));
    }

    fn decide(&mut self, trace: u128) {
        let Some(Open { spans, .. }) = self.open.remove(&trace) else { return };
        let before = spans.iter().map(|span| Threshold::new(span.threshold)).max();
        let threshold = threshold(self.sampling, &spans).max(before.unwrap_or_default());
        let randomness = trace as u64 & ((1 << 56) - 1);
        let decision = threshold.keeps(randomness).then_some(threshold);
        self.decided.insert(trace, decision);
        spans.iter().for_each(|span| self.pass(span, decision));
    }

    fn pass(&mut self, span: &Span, decision: Option<Threshold>) {
        match decision {
            Some(threshold) => {
                self.left.push((span.trace, span.id, threshold.bits().max(span.threshold)));
            }
            None => self.lost += 1,
        }
    }
}

fn threshold(sampling: &Sampling, spans: &[Span]) -> Threshold {
    let roots = spans.iter().filter(|span| span.parent == 0);
    let place = |span: &&Span| (span.start_ns, span.id);
    let first = roots.min_by_key(place).or_else(|| spans.iter().min_by_key(place));
    let namespace = first.map(|span| span.namespace);
    let of_root = |policy: &&Policy| {
        policy.mode == Mode::Enforce
            && policy.scope.namespace.as_deref().is_none_or(|own| Some(own) == namespace)
    };
    let default = |own: bool| {
        let policies = sampling.policies.values().filter(of_root);
        let policies = policies.filter(|policy| policy.scope.namespace.is_some() == own);
        policies.filter_map(|policy| policy.default_ppm).max().map(Threshold::from_ppm)
    };
    let default = default(true).or_else(|| default(false)).unwrap_or_default();
    let caps = sampling.policies.values().filter(of_root).flat_map(|policy| {
        let matched = policy.limit.iter().filter(|cap| matches(&cap.matches, policy, spans));
        matched.map(|cap| match cap.at_most {
            AtMost::Ppm(ppm) => Threshold::from_ppm(ppm),
            AtMost::PerSecond(_) => Threshold::EVERYTHING,
        })
    });
    let capped = caps.max().unwrap_or_default().max(default);
    floor(sampling, spans).map_or(capped, |floor| floor.min(capped))
}

fn floor(sampling: &Sampling, spans: &[Span]) -> Option<Threshold> {
    let policies = sampling.policies.values().filter(|policy| policy.mode == Mode::Enforce);
    let floors = policies.flat_map(|policy| {
        let matched = policy.keep.iter().filter(|floor| matches(&floor.matches, policy, spans));
        matched.map(|floor| Threshold::from_ppm(floor.at_least_ppm))
    });
    floors.min()
}

fn matches(rule: &Match, policy: &Policy, spans: &[Span]) -> bool {
    let sane =
        |span: &&Span| span.start_ns.abs_diff(START_NS) < DAY_NS && span.start_ns <= span.end_ns;
    let start = spans.iter().filter(sane).map(|span| span.start_ns).min().unwrap_or_default();
    let end = spans.iter().filter(sane).map(|span| span.end_ns).max().unwrap_or_default();
    rule.trace_duration_min_ns.is_none_or(|min| min <= end - start)
        && rule.span_count_min.is_none_or(|min| min as usize <= spans.len())
        && spans.iter().any(|span| {
            policy.scope.namespace.as_deref().is_none_or(|own| own == span.namespace)
                && rule.status.is_none_or(|status| (status == SpanStatus::Error) == span.is_error)
                && within(&rule.http_status, span.http_status)
                && rule
                    .span_duration_min_ns
                    .is_none_or(|min| min <= span.end_ns.saturating_sub(span.start_ns))
                && listed(&rule.services, span.service)
                && listed(&rule.operations, span.name)
                && rule.attributes.iter().all(|own| own.values.iter().any(|v| v == span.tier))
        })
}

fn within(ranges: &[(u16, u16)], code: u64) -> bool {
    let is_in = |(low, high): &(u16, u16)| u64::from(*low) <= code && code <= u64::from(*high);
    ranges.is_empty() || ranges.iter().any(is_in)
}

fn listed(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|own| own == name)
}
