//! What policies and rules did: counted for all rules, also for those that did not decide.

use super::pace::Pace;
use super::rules::{Case, Cause, Rules};
use super::trace::Trace;
use crate::config::sampling::Mode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one policy went through, in traces that have a span in its scope. Traces that were not taken
/// for lack of memory count as dropped, and errors that come too late as lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    pub traces: u64,
    pub kept: u64,
    /// With an error in a span of the scope.
    pub error_traces: u64,
    pub error_traces_kept: u64,
    /// Decided before their time.
    pub decided_early: u64,
    /// Of a policy that is tried: what it would have kept.
    pub would_keep: u64,
    pub would_keep_errors: u64,
    /// By the name of the rule.
    pub rules: BTreeMap<String, RuleCounts>,
    /// Rules that do not know enough yet to match anything.
    pub warming: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    pub matched: u64,
    /// Traces that owe it their probability.
    pub decided: u64,
    /// Those of them that were kept.
    pub kept: u64,
}

/// The rule under which what the default decided is counted.
pub const DEFAULT_RULE: &str = "default";

/// How a decision ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) cause: Cause,
    pub(super) is_kept: bool,
    pub(super) is_early: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `policy/rule`, where the policy asks for tags.
    pub(super) label: Option<Arc<str>>,
    pub(super) rule: Option<Arc<str>>,
}

/// As the rules number policies and rules.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    policies: Vec<PolicyCounts>,
    rules: Vec<RuleCounts>,
    defaults: Vec<RuleCounts>,
    names: Vec<Names>,
    default_names: Vec<Names>,
}

impl Ledger {
    pub(super) fn new(rules: &Rules) -> Self {
        let names = |policy: usize, rule: &str| {
            let own = &rules.policies[policy];
            let name: Arc<str> = format!("{}/{rule}", own.name).into();
            let label = own.policy.tag_decision.then(|| Arc::clone(&name));
            Names { label, rule: Some(name) }
        };
        let all = rules.rules.iter().map(|rule| names(usize::from(rule.policy), &rule.name));
        Self {
            policies: vec![PolicyCounts::default(); rules.policies.len()],
            rules: vec![RuleCounts::default(); rules.rules.len()],
            defaults: vec![RuleCounts::default(); rules.policies.len()],
            names: all.collect(),
            default_names: (0..rules.policies.len()).map(|at| names(at, DEFAULT_RULE)).collect(),
        }
    }

    pub(super) fn names(&self, cause: Cause) -> Names {
        match cause {
            Cause::Floor(rule) | Cause::Cap(rule) => self.names[rule as usize].clone(),
            Cause::Default(policy) => self.default_names[usize::from(policy)].clone(),
            Cause::None => Names { label: None, rule: None },
        }
    }

    /// `matched` holds the rules that matched; it is used up.
    pub(super) fn count(
        &mut self,
        rules: &Rules,
        trace: &Trace,
        fate: Fate,
        pace: &Pace,
        matched: &mut Vec<u32>,
    ) {
        for rule in &*matched {
            self.rules[*rule as usize].matched += 1;
        }
        let decided = match fate.cause {
            Cause::Floor(rule) | Cause::Cap(rule) => Some(&mut self.rules[rule as usize]),
            Cause::Default(policy) => Some(&mut self.defaults[usize::from(policy)]),
            Cause::None => None,
        };
        if let Some(decided) = decided {
            decided.decided += 1;
            decided.kept += u64::from(fate.is_kept);
        }
        for (at, own) in rules.policies.iter().enumerate() {
            let (is_touched, is_error) = rules.touches(at, trace.bits(trace.version));
            if !is_touched {
                continue;
            }
            let counts = &mut self.policies[at];
            counts.traces += 1;
            counts.kept += u64::from(fate.is_kept);
            counts.error_traces += u64::from(is_error);
            counts.error_traces_kept += u64::from(is_error && fate.is_kept);
            counts.decided_early += u64::from(fate.is_early);
            if own.policy.mode == Mode::DryRun {
                let case = Case::of(trace, rules, trace.version);
                let tried = rules.decide(&case, Some(at as u16), pace, matched);
                let kept = tried.threshold.max(trace.threshold).keeps(trace.randomness);
                counts.would_keep += u64::from(kept);
                counts.would_keep_errors += u64::from(kept && is_error);
            }
        }
    }

    /// A trace that was not taken, by its first span.
    pub(super) fn count_shed(&mut self, rules: &Rules, bits: &[u64]) {
        for (at, counts) in self.policies.iter_mut().enumerate() {
            counts.traces += u64::from(rules.touches(at, bits).0);
        }
    }

    /// An error of a trace that is counted as dropped already.
    pub(super) fn count_lost_error(&mut self, rules: &Rules, bits: &[u64]) {
        for (at, counts) in self.policies.iter_mut().enumerate() {
            counts.error_traces += u64::from(rules.touches(at, bits).1);
        }
    }

    /// Adds all of it to what is counted by the names of policies.
    pub(super) fn add_to(&self, rules: &Rules, totals: &mut BTreeMap<String, PolicyCounts>) {
        for (at, own) in rules.policies.iter().enumerate() {
            let total = totals.entry(own.name.clone()).or_default();
            total.add(&self.policies[at]);
            let named = own.rules.clone().map(|rule| (&*rules.rules[rule].name, self.rules[rule]));
            for (name, counts) in named.chain([(DEFAULT_RULE, self.defaults[at])]) {
                total.rules.entry(name.to_owned()).or_default().add(counts);
            }
        }
    }
}

impl PolicyCounts {
    pub fn add(&mut self, other: &Self) {
        let Self { traces, kept, error_traces, error_traces_kept, .. } = other;
        self.traces += traces;
        self.kept += kept;
        self.error_traces += error_traces;
        self.error_traces_kept += error_traces_kept;
        self.decided_early += other.decided_early;
        self.would_keep += other.would_keep;
        self.would_keep_errors += other.would_keep_errors;
        self.warming.extend(other.warming.iter().cloned());
        for (name, counts) in &other.rules {
            self.rules.entry(name.clone()).or_default().add(*counts);
        }
    }
}

impl RuleCounts {
    pub fn add(&mut self, other: Self) {
        self.matched += other.matched;
        self.decided += other.decided;
        self.kept += other.kept;
    }
}
