//! The policies that one fleet runs, and the one buffer that serves them all.

use super::policy::{CompiledPolicy, PolicyVerdict, Target, created};
use super::{Compiled, parse_key};
use crate::observed::{ObjectName, Observed};
use jiff::Timestamp;
use sluice_crds::conditions::Kind;
use sluice_engine::config::Pipeline;
use sluice_engine::config::sampling::{Mode, Policy, Sampling, Tail};
use std::collections::{BTreeMap, BTreeSet};

/// What a fleet should run of all policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    pub(crate) sampling: Sampling,
    /// Whose wishes are not granted, by `namespace/name`.
    pub(crate) overridden: BTreeMap<String, Vec<Overridden>>,
}

/// A field of which another policy's value is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overridden {
    pub(crate) path: &'static str,
    /// The policy, `namespace/name`.
    pub(crate) by: String,
}

/// One policy within the fleet.
struct Entry {
    key: String,
    created: Option<Timestamp>,
    policy: Policy,
    wish: Wish,
}

/// How a policy wants traces to be held.
enum Wish {
    Default,
    Written(Tail),
    /// Its last good version runs on; what that one wanted, only the last tail tells.
    Last,
}

/// `pipelines` are those that the fleet runs.
pub(super) fn place(
    observed: &Observed,
    compiled: &Compiled,
    last: Option<&Sampling>,
    fleet: &str,
    pipelines: &BTreeMap<String, Pipeline>,
) -> Placed {
    let mut entries = sound(observed, compiled, fleet, pipelines);
    entries.extend(last.into_iter().flat_map(|last| kept(observed, compiled, last, pipelines)));
    if entries.is_empty() {
        return Placed::default();
    }
    // The older wins; of two of one age, the first by name.
    entries.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
    let mut placed = Placed::default();
    settle_defaults(&mut entries, &mut placed.overridden);
    let last = last.map(|last| &last.tail);
    placed.sampling.tail = settle_tail(&entries, last, &mut placed.overridden);
    let policies = entries.into_iter().map(|entry| (entry.key, entry.policy));
    placed.sampling.policies = policies.collect();
    placed
}

fn sound(
    observed: &Observed,
    compiled: &Compiled,
    fleet: &str,
    pipelines: &BTreeMap<String, Pipeline>,
) -> Vec<Entry> {
    let entry = |(name, verdict): (&ObjectName, &PolicyVerdict)| {
        let PolicyVerdict::Accepted(own) = verdict else { return None };
        let mut policy = own.policy.clone();
        policy.scope.pipelines = within(own, fleet, pipelines)?;
        let wish = own.tail.clone().map_or(Wish::Default, Wish::Written);
        let created = observed.policies.get(name).and_then(|object| created(object));
        Some(Entry { key: name.to_string(), created, policy, wish })
    };
    compiled.policies.iter().filter_map(entry).collect()
}

/// The pipelines of the fleet that collect traces and that a policy is about: `Some(None)` for all of them, `None` when
/// there is none.
fn within(
    own: &CompiledPolicy,
    fleet: &str,
    pipelines: &BTreeMap<String, Pipeline>,
) -> Option<Option<BTreeSet<String>>> {
    let mut named = BTreeSet::new();
    for target in &own.targets {
        match target {
            Target::Fleet(name) if name == fleet => return Some(None),
            Target::Fleet(_) => {}
            Target::Pipeline(name) => {
                named.insert(name.to_string());
            }
        }
    }
    named.retain(|key| has_traces(pipelines, key));
    (!named.is_empty()).then_some(Some(named))
}

fn has_traces(pipelines: &BTreeMap<String, Pipeline>, key: &str) -> bool {
    pipelines.get(key).is_some_and(|pipeline| !pipeline.traces.is_empty())
}

/// The last good versions of policies that have a mistake now.
fn kept(
    observed: &Observed,
    compiled: &Compiled,
    last: &Sampling,
    pipelines: &BTreeMap<String, Pipeline>,
) -> Vec<Entry> {
    let entry = |(key, policy): (&String, &Policy)| {
        let name = parse_key(key)?;
        match compiled.policies.get(&name) {
            Some(PolicyVerdict::Rejected(_)) => {}
            None if observed.unreadable.contains(&(Kind::SamplingPolicy, name.clone())) => {}
            Some(PolicyVerdict::Accepted(_) | PolicyVerdict::Disabled) | None => return None,
        }
        let mut policy = policy.clone();
        if let Some(named) = &mut policy.scope.pipelines {
            named.retain(|key| has_traces(pipelines, key));
            if named.is_empty() {
                return None;
            }
        }
        let created = observed.policies.get(&name).and_then(|object| created(object));
        Some(Entry { key: key.clone(), created, policy, wish: Wish::Last })
    };
    last.policies.iter().filter_map(entry).collect()
}

/// Of policies that are about the same traces, the first one's default counts. One that is only
/// tried takes it from nobody.
fn settle_defaults(entries: &mut [Entry], overridden: &mut BTreeMap<String, Vec<Overridden>>) {
    for at in 1..entries.len() {
        let (before, rest) = entries.split_at_mut(at);
        let Some(own) = rest.first_mut() else { return };
        if own.policy.default_ppm.is_none() {
            continue;
        }
        let winner = before.iter().find(|other| {
            other.policy.mode == Mode::Enforce
                && other.policy.default_ppm.is_some()
                && overlap(&other.policy, &own.policy)
        });
        if let Some(winner) = winner {
            own.policy.default_ppm = None;
            let lost = Overridden { path: "spec.default", by: winner.key.clone() };
            overridden.entry(own.key.clone()).or_default().push(lost);
        }
    }
}

fn overlap(a: &Policy, b: &Policy) -> bool {
    let pipelines = match (&a.scope.pipelines, &b.scope.pipelines) {
        (Some(a), Some(b)) => !a.is_disjoint(b),
        (None, _) | (_, None) => true,
    };
    pipelines && a.scope.namespace == b.scope.namespace
}

/// Everybody is given at least what he asks for; what to do when it is not enough, the most
/// specific and oldest one says.
fn settle_tail(
    entries: &[Entry],
    last: Option<&Tail>,
    overridden: &mut BTreeMap<String, Vec<Overridden>>,
) -> Tail {
    let default = Tail::default();
    let wanted = |entry: &Entry| match &entry.wish {
        Wish::Default => default.clone(),
        Wish::Written(tail) => tail.clone(),
        Wish::Last => last.unwrap_or(&default).clone(),
    };
    let mut tail = entries.iter().map(wanted).reduce(longest).unwrap_or_default();
    let has_wish = |entry: &&Entry| !matches!(entry.wish, Wish::Default);
    // Stable: of one specificity, the first stays first.
    let winner = entries.iter().filter(has_wish);
    let winner = winner.min_by_key(|entry| entry.policy.scope.namespace.is_none());
    tail.on_full = winner.map_or(default.on_full, |entry| wanted(entry).on_full);
    for entry in entries {
        if let (Wish::Written(own), Some(winner)) = (&entry.wish, winner)
            && own.on_full != tail.on_full
        {
            let lost = Overridden { path: "spec.tail.onBufferFull", by: winner.key.clone() };
            overridden.entry(entry.key.clone()).or_default().push(lost);
        }
    }
    tail
}

fn longest(a: Tail, b: Tail) -> Tail {
    Tail {
        decision_wait_ms: a.decision_wait_ms.max(b.decision_wait_ms),
        after_root_ms: larger(a.after_root_ms, b.after_root_ms),
        traces_max: larger(a.traces_max, b.traces_max),
        trace_bytes_max: a.trace_bytes_max.max(b.trace_bytes_max),
        on_full: a.on_full,
        decisions_max: a.decisions_max.max(b.decisions_max),
    }
}

/// Zero is the largest.
fn larger<T: Ord + Default>(a: T, b: T) -> T {
    let zero = T::default();
    if a == zero || b == zero { zero } else { a.max(b) }
}
