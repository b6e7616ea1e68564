//! All sampling policies of a fleet, compiled: which rules a trace matched, and what that makes of it.

use super::origin::Origin;
use super::pace::Pace;
use super::sorter::STATUS_ERROR;
use super::trace::Trace;
use super::trackers::{Operation, Sample, Snapshot};
use crate::config::sampling::{AtMost, Match, Mode, Policy, Sampling, Tail};
use crate::matching::{Matcher, ResourceMatch, RuleError, Scratch, TraceFacts, Tracked};
use sluice_wire::sampling::Threshold;
use sluice_wire::spans::{Found, SpanView};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub struct Rules {
    pub(super) tail: Tail,
    pub(super) matcher: Matcher,
    /// In the order of their names.
    pub(super) policies: Vec<PolicyRules>,
    /// As the matcher numbers them.
    pub(super) rules: Vec<Rule>,
    /// Numbers of the policies whose heads have a rate.
    pub(super) rated_heads: Vec<u16>,
    scopes: Mutex<Scopes>,
    /// Floors that keep all: a trace that matched one for good need not wait.
    pub(super) certain: Vec<u32>,
    /// The least that such a floor asks of a trace's duration.
    pub(super) certain_duration_ns: u64,
}

#[derive(Debug)]
pub(super) struct PolicyRules {
    pub(super) name: String,
    pub(super) policy: Policy,
    /// Its own of [`Rules::rules`]: floors, then caps.
    pub(super) rules: Range<usize>,
    pub(super) default: Option<Threshold>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) policy: u16,
    pub(super) kind: RuleKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleKind {
    Floor(Threshold),
    Cap(Threshold),
    /// Number of the rate among all.
    Rate(u32),
}

/// Distinct sets of policies that origins are in the scope of.
#[derive(Debug, Default)]
struct Scopes {
    sets: Vec<Vec<u16>>,
    numbers: HashMap<Vec<u16>, u16>,
}

/// What a trace is decided by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Of the matcher.
    pub(super) bits: &'a [u64],
    pub(super) facts: TraceFacts,
    /// Scope of the root span, else of the first.
    pub(super) root_scope: u16,
}

/// Why a trace is kept with its probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Number of the rule.
    Floor(u32),
    Cap(u32),
    /// Number of the policy.
    Default(u16),
    /// No policy says anything: all is kept.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) threshold: Threshold,
    pub(super) cause: Cause,
    /// What it would be kept with if there were no rates; `None` where a floor keeps it anyhow.
    pub(super) capped_from: Option<Threshold>,
}

impl<'a> Case<'a> {
    /// As rules of this version see the trace.
    pub(super) fn of(trace: &'a Trace, rules: &Rules, version: u32) -> Self {
        let (bits, facts) = (trace.bits(version), trace.facts());
        let root = trace.root.as_ref();
        Self { bits, facts, root_scope: root.map_or(0, |root| root.scope_by(rules, version)) }
    }
}

impl Rules {
    /// # Errors
    /// Names the rule that cannot be compiled.
    pub fn new(sampling: &Sampling) -> Result<Self, String> {
        let (mut policies, mut rules, mut matches) = (Vec::new(), Vec::new(), Vec::new());
        let mut rates = 0;
        for (at, (name, policy)) in sampling.policies.iter().enumerate() {
            let number = u16::try_from(at).map_err(|_| "more than 65535 policies".to_owned())?;
            let first = rules.len();
            for floor in &policy.keep {
                let kind = RuleKind::Floor(Threshold::from_ppm(floor.at_least_ppm));
                rules.push(Rule { name: floor.name.clone(), policy: number, kind });
                matches.push(&floor.matches);
            }
            for cap in &policy.limit {
                let kind = match cap.at_most {
                    AtMost::Ppm(ppm) => RuleKind::Cap(Threshold::from_ppm(ppm)),
                    AtMost::PerSecond(_) => {
                        rates += 1;
                        RuleKind::Rate(rates - 1)
                    }
                };
                rules.push(Rule { name: cap.name.clone(), policy: number, kind });
                matches.push(&cap.matches);
            }
            policies.push(PolicyRules {
                name: name.clone(),
                policy: policy.clone(),
                rules: first..rules.len(),
                default: policy.default_ppm.map(Threshold::from_ppm),
            });
        }
        let matcher =
            Matcher::new(matches.iter().copied()).map_err(|RuleError { rule, problem }| {
                let Rule { name, policy, .. } = &rules[rule];
                let policy: &PolicyRules = &policies[usize::from(*policy)];
                format!("policy {}, rule {name}: {problem}", policy.name)
            })?;
        let is_certain = |(_, rule): &(usize, &Rule)| {
            let policy = &policies[usize::from(rule.policy)].policy;
            policy.mode == Mode::Enforce && rule.kind == RuleKind::Floor(Threshold::EVERYTHING)
        };
        let certain: Vec<u32> =
            rules.iter().enumerate().filter(is_certain).map(|(at, _)| at as u32).collect();
        let durations =
            certain.iter().filter_map(|rule| matches[*rule as usize].trace_duration_min_ns);
        let certain_duration_ns = durations.min().unwrap_or(u64::MAX);
        let is_rated = |own: &PolicyRules| own.policy.head_rate_in_force().is_some();
        let rated_heads = (0..).zip(&policies).filter(|(_, own)| is_rated(own));
        let rated_heads = rated_heads.map(|(number, _)| number).collect();
        let (scopes, tail) = (Mutex::default(), sampling.tail.clone());
        Ok(Self {
            tail,
            matcher,
            policies,
            rules,
            rated_heads,
            scopes,
            certain,
            certain_duration_ns,
        })
    }

    /// The number of the set of policies that are about these spans.
    pub(super) fn scope(&self, namespace: Option<&str>, pipelines: &BTreeSet<&str>) -> u16 {
        let is_about = |own: &PolicyRules| own.policy.scope.has(namespace, pipelines);
        let all = self.policies.iter().enumerate();
        let set: Vec<u16> = all.filter(|(_, own)| is_about(own)).map(|(at, _)| at as u16).collect();
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = scopes.numbers.get(&set) {
            return *number;
        }
        // One set for each namespace and pipelines at most: far below 65536, else the last one.
        let number = u16::try_from(scopes.sets.len()).unwrap_or(u16::MAX);
        if number < u16::MAX {
            scopes.sets.push(set.clone());
            scopes.numbers.insert(set, number);
        }
        number
    }

    /// Numbers of the policies of a scope.
    pub(super) fn policies_of(&self, scope: u16) -> Vec<u16> {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.sets.get(usize::from(scope)).cloned().unwrap_or_default()
    }

    pub(super) fn resource(
        &self,
        found: &[Found<'_>],
        proven: &dyn Fn(&str) -> Option<String>,
        scope: u16,
    ) -> ResourceMatch {
        let policies = self.policies_of(scope);
        let in_scope = |rule: usize| policies.contains(&self.rules[rule].policy);
        self.matcher.resource(found, proven, &in_scope)
    }

    /// Policies and rules that ask a tracker of which `is_asked` says yes.
    pub(super) fn tracked_rules(
        &self,
        is_asked: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (&str, &str)> {
        let asks = move |matches: &Match| {
            self.matcher.tracked().iter().enumerate().any(|(number, tracked)| {
                let is_own = match tracked {
                    Tracked::SlowerThan(own) => matches.slower_than.as_ref() == Some(own),
                    Tracked::Rare(own) => matches.rare_operation.as_ref() == Some(own),
                };
                is_own && is_asked(number)
            })
        };
        self.policies.iter().flat_map(move |own| {
            let floors = own.policy.keep.iter().map(|floor| (&*floor.name, &floor.matches));
            let caps = own.policy.limit.iter().map(|cap| (&*cap.name, &cap.matches));
            let asking: Vec<&str> = floors
                .chain(caps)
                .filter(|(_, matches)| asks(matches))
                .map(|(name, _)| name)
                .collect();
            asking.into_iter().map(|rule| (&*own.name, rule))
        })
    }

    /// Whether a floor that keeps all has matched, whatever else comes.
    pub(super) fn is_certain(&self, case: &Case<'_>) -> bool {
        self.certain
            .iter()
            .any(|rule| self.matcher.matched_for_good(*rule as usize, case.bits, &case.facts))
    }

    /// Puts the numbers of the rules that the trace matched into `matched`, and decides. A policy
    /// that is tried counts as enforced.
    pub(super) fn decide(
        &self,
        case: &Case<'_>,
        tried: Option<u16>,
        pace: &Pace,
        matched: &mut Vec<u32>,
    ) -> Verdict {
        matched.clear();
        let root = self.policies_of(case.root_scope);
        let counts = |policy: u16| {
            tried == Some(policy) || self.policies[usize::from(policy)].policy.mode == Mode::Enforce
        };
        let mut floor: Option<(Threshold, u32)> = None;
        let mut cap: Option<(Threshold, u32)> = None;
        let mut fixed = Threshold::EVERYTHING;
        for (number, rule) in self.rules.iter().enumerate() {
            if !self.matcher.matched(number, case.bits, &case.facts) {
                continue;
            }
            let threshold = match rule.kind {
                RuleKind::Floor(threshold) => threshold,
                RuleKind::Cap(_) | RuleKind::Rate(_) if !root.contains(&rule.policy) => continue,
                RuleKind::Cap(threshold) => threshold,
                RuleKind::Rate(rate) => pace.caps.get(rate as usize).copied().unwrap_or_default(),
            };
            let number = number as u32;
            matched.push(number);
            if !counts(rule.policy) {
                continue;
            }
            if matches!(rule.kind, RuleKind::Cap(_)) {
                fixed = fixed.max(threshold);
            }
            match rule.kind {
                RuleKind::Floor(_) if floor.is_none_or(|(least, _)| threshold < least) => {
                    floor = Some((threshold, number));
                }
                RuleKind::Cap(_) | RuleKind::Rate(_)
                    if cap.is_none_or(|(most, _)| most < threshold) =>
                {
                    cap = Some((threshold, number));
                }
                _ => {}
            }
        }
        let default = self.default(&root, &counts, pace);
        let plain = fixed.max(default.map_or(Threshold::EVERYTHING, |(default, _)| default));
        let (threshold, cause) = combine(floor, cap, default);
        let is_capped = floor.is_none_or(|(floor, _)| plain < floor);
        Verdict { threshold, cause, capped_from: is_capped.then_some(plain) }
    }

    /// The one of the root's namespace, else that of the whole cluster; the highest of several.
    fn default(
        &self,
        root: &[u16],
        counts: &dyn Fn(u16) -> bool,
        pace: &Pace,
    ) -> Option<(Threshold, u16)> {
        let of = |own: bool| {
            let policies = root.iter().copied().filter(|policy| {
                let scope = &self.policies[usize::from(*policy)].policy.scope;
                counts(*policy) && scope.namespace.is_some() == own
            });
            let defaults = policies.filter_map(|policy| {
                let own = self.policies[usize::from(policy)].default?;
                let steered = pace.defaults.get(usize::from(policy)).copied().flatten();
                Some((steered.unwrap_or(own), policy))
            });
            defaults.min()
        };
        of(true).or_else(|| of(false))
    }
}

/// Sets the bits of spans: those of the matcher, then one for each policy that is about the span,
/// then one for each that is about a span with an error.
#[derive(Debug)]
pub(super) struct Rater {
    rules: Arc<Rules>,
    scratch: Scratch,
    policy_words: usize,
}

impl Rules {
    /// Words of bits that a trace takes.
    pub(super) fn words(&self) -> usize {
        self.matcher.words() + 2 * self.policies.len().div_ceil(64)
    }

    /// Whether the trace has a span in the policy's scope, and whether one with an error.
    pub(super) fn touches(&self, policy: usize, bits: &[u64]) -> (bool, bool) {
        let word = self.matcher.words() + policy / 64;
        let has = |word: usize| bits[word] >> (policy % 64) & 1 == 1;
        (has(word), has(word + self.policies.len().div_ceil(64)))
    }

    /// Whether any policy is about a span with an error.
    pub(super) fn has_error(&self, bits: &[u64]) -> bool {
        let errors = self.matcher.words() + self.policies.len().div_ceil(64);
        bits.iter().take(self.words()).skip(errors).any(|word| *word != 0)
    }
}

impl Rater {
    pub(super) fn new(rules: &Arc<Rules>) -> Self {
        let policy_words = rules.policies.len().div_ceil(64);
        Self { rules: Arc::clone(rules), scratch: rules.matcher.scratch(), policy_words }
    }

    #[inline]
    pub(super) fn rate(
        &mut self,
        origin: &Origin,
        span: &SpanView<'_>,
        snapshot: &Snapshot,
        bits: &mut [u64],
    ) -> Option<Sample> {
        let (matched, policies) = bits.split_at_mut(self.rules.matcher.words());
        let (seen, errors) = policies.split_at_mut(self.policy_words);
        seen.copy_from_slice(&origin.policies);
        if span.status == STATUS_ERROR {
            errors.copy_from_slice(&origin.policies);
        }
        let is_sample = !self.rules.matcher.tracked().is_empty() && span.is_entry();
        let sample = is_sample.then(|| Sample {
            operation: Operation::new(origin.service, span.name),
            duration_ns: span.duration_ns(),
        });
        let mut is_tracked =
            |number: usize| sample.as_ref().is_some_and(|sample| snapshot.says(number, sample));
        let resource = &origin.resource;
        self.rules.matcher.span(resource, span, &mut self.scratch, &mut is_tracked, matched);
        sample
    }
}

/// `p = max(floor, min(cap, default))`, in thresholds, where more is less.
fn combine(
    floor: Option<(Threshold, u32)>,
    cap: Option<(Threshold, u32)>,
    default: Option<(Threshold, u16)>,
) -> (Threshold, Cause) {
    let (mut threshold, mut cause) = match default {
        Some((threshold, policy)) => (threshold, Cause::Default(policy)),
        None => (Threshold::EVERYTHING, Cause::None),
    };
    if let Some((cap, rule)) = cap
        && threshold < cap
    {
        (threshold, cause) = (cap, Cause::Cap(rule));
    }
    if let Some((floor, rule)) = floor
        && floor <= threshold
    {
        (threshold, cause) = (floor, Cause::Floor(rule));
    }
    (threshold, cause)
}
