//! A SamplingPolicy as collectors read it, but for its scope: which pipelines it is about, each
//! fleet says ([`super::sampling`]).

mod matching;

use super::{is_alive, living_collector};
use crate::observed::{ObjectName, Observed};
use crate::problem::Problem;
use jiff::Timestamp;
use sluice_crds::SamplingPolicy;
use sluice_crds::conditions::Kind;
use sluice_crds::policy::{self as crd, PolicyMode, TargetKind};
use sluice_engine::config::sampling::{
    Adaptive, AtMost, Cap, ErrorSpike, Floor, Head, HeadRate, Match, Mode, OnBufferFull, Policy,
    Scope, Tail,
};
use sluice_engine::matching::{Matcher, RuleError};
use sluice_engine::tail::DEFAULT_RULE;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyVerdict {
    Accepted(Arc<CompiledPolicy>),
    Disabled,
    Rejected(Problem),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompiledPolicy {
    /// Its scope holds the namespace only.
    pub(crate) policy: Policy,
    pub(crate) targets: Vec<Target>,
    /// As it stands in the object; `None`: not written.
    pub(crate) tail: Option<Tail>,
}

/// What a policy is attached to. All of them exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Fleet(String),
    Pipeline(ObjectName),
}

pub(super) fn compile(
    observed: &Observed,
    name: &ObjectName,
    object: &SamplingPolicy,
) -> PolicyVerdict {
    if object.spec.mode == PolicyMode::Disabled {
        return PolicyVerdict::Disabled;
    }
    match accept(observed, name, object) {
        Ok(compiled) => PolicyVerdict::Accepted(Arc::new(compiled)),
        Err(problem) => PolicyVerdict::Rejected(problem),
    }
}

fn accept(
    observed: &Observed,
    name: &ObjectName,
    object: &SamplingPolicy,
) -> Result<CompiledPolicy, Problem> {
    let spec = &object.spec;
    let targets = targets(observed, name, &spec.target_refs)?;
    let is_system = name.namespace == observed.settings.system_namespace;
    let policy = Policy {
        generation: object.metadata.generation.unwrap_or_default(),
        mode: match spec.mode {
            PolicyMode::DryRun => Mode::DryRun,
            PolicyMode::Enforce | PolicyMode::Disabled => Mode::Enforce,
        },
        scope: Scope { namespace: (!is_system).then(|| name.namespace.clone()), pipelines: None },
        keep: spec.keep.iter().map(floor).collect(),
        limit: spec.limit.iter().enumerate().map(cap).collect::<Result<_, _>>()?,
        default_ppm: spec.keep_percent().map(|percent| percent.ppm()),
        tag_decision: spec.tag_decision,
        head: spec.head.as_ref().map(head),
        adaptive: spec.adaptive.as_ref().map(adaptive),
    };
    check_rules(&policy)?;
    Ok(CompiledPolicy { policy, targets, tail: spec.tail.as_ref().map(tail) })
}

fn head(head: &crd::Head) -> Head {
    let rate = head.rate_limit.as_ref().map(|limit| HeadRate {
        traces_per_second: count(limit.traces_per_second),
        burst: count(limit.burst.unwrap_or(limit.traces_per_second)),
    });
    Head { keep_ppm: head.probabilistic.as_ref().map(|own| own.keep_percent.ppm()), rate }
}

fn adaptive(adaptive: &crd::Adaptive) -> Adaptive {
    let bounds = adaptive.bounds();
    Adaptive {
        traces_per_second: count(adaptive.target_traces_per_second),
        min_ppm: bounds.min_percent.ppm(),
        max_ppm: bounds.max_percent.ppm(),
        error_spike: adaptive.error_spike().map(|spike| ErrorSpike {
            factor: count(spike.factor),
            errors_per_second_min: count(spike.min_errors_per_second),
            raise_to_ppm: spike.raise_to.ppm(),
            hold_ms: spike.hold_for.millis(),
        }),
    }
}

/// When the object was made: an older one wins.
pub(crate) fn created(object: &SamplingPolicy) -> Option<Timestamp> {
    object.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn targets(
    observed: &Observed,
    name: &ObjectName,
    references: &[crd::TargetRef],
) -> Result<Vec<Target>, Problem> {
    if references.is_empty() {
        return Ok(pipelines_of(observed, &name.namespace));
    }
    let system_namespace = &observed.settings.system_namespace;
    let target = |reference: &crd::TargetRef| {
        let kind = reference.kind;
        let namespace = match kind {
            TargetKind::TelemetryPipeline => name.namespace.as_str(),
            TargetKind::Collector if name.namespace == *system_namespace => "",
            TargetKind::Collector => {
                return Err(Problem::SystemOnly {
                    path: "spec.targetRefs of kind Collector",
                    system_namespace: system_namespace.clone(),
                });
            }
        };
        let name = ObjectName::new(namespace, &reference.name);
        match kind {
            _ if !exists(observed, kind, &name) => Err(Problem::TargetNotFound { kind, name }),
            TargetKind::Collector => Ok(Target::Fleet(name.name)),
            TargetKind::TelemetryPipeline => Ok(Target::Pipeline(name)),
        }
    };
    references.iter().map(target).collect()
}

fn exists(observed: &Observed, kind: TargetKind, name: &ObjectName) -> bool {
    let (kind, is_living) = match kind {
        TargetKind::Collector => {
            (Kind::Collector, living_collector(observed, &name.name).is_some())
        }
        TargetKind::TelemetryPipeline => {
            let object = observed.pipelines.get(name);
            (Kind::TelemetryPipeline, object.is_some_and(|object| is_alive(object.as_ref())))
        }
    };
    is_living || observed.unreadable.contains(&(kind, name.clone()))
}

fn pipelines_of(observed: &Observed, namespace: &str) -> Vec<Target> {
    let own = observed.pipelines.range(ObjectName::new(namespace, "")..);
    let own = own.take_while(|(name, _)| name.namespace == namespace);
    let living = own.filter(|(_, object)| is_alive(object.as_ref())).map(|(name, _)| name);
    let unreadable = observed.unreadable.iter().filter_map(|(kind, name)| {
        (*kind == Kind::TelemetryPipeline && name.namespace == namespace).then_some(name)
    });
    let mut names: Vec<_> = living.chain(unreadable).cloned().collect();
    names.sort();
    names.dedup();
    names.into_iter().map(Target::Pipeline).collect()
}

fn floor(rule: &crd::KeepRule) -> Floor {
    Floor {
        name: rule.name.clone(),
        matches: matching::compile(&rule.match_),
        at_least_ppm: rule.at_least_percent.ppm(),
    }
}

fn cap((at, rule): (usize, &crd::LimitRule)) -> Result<Cap, Problem> {
    let at_most = match rule.at_most() {
        Some(crd::AtMost::Percent(percent)) => AtMost::Ppm(percent.ppm()),
        Some(crd::AtMost::PerSecond(rate)) => {
            AtMost::PerSecond(u32::try_from(rate).unwrap_or_default())
        }
        None => {
            return Err(Problem::invalid(
                &format!("spec.limit[{at}]"),
                "says no cap, or two",
                "set exactly one of atMostPercent and atMostPerSecond",
            ));
        }
    };
    Ok(Cap { name: rule.name.clone(), matches: matching::compile(&rule.match_), at_most })
}

fn check_rules(policy: &Policy) -> Result<(), Problem> {
    let keep = policy.keep.iter().map(|rule| (&rule.name, &rule.matches));
    let limit = policy.limit.iter().map(|rule| (&rule.name, &rule.matches));
    let rules: Vec<_> = keep.chain(limit).collect();
    let path = |rule: usize| match rule.checked_sub(policy.keep.len()) {
        None => format!("spec.keep[{rule}]"),
        Some(rule) => format!("spec.limit[{rule}]"),
    };
    for (at, (name, matches)) in rules.iter().enumerate() {
        if *name == DEFAULT_RULE {
            let message = format!("\"{DEFAULT_RULE}\" stands for spec.default in the status");
            let path = format!("{}.name", path(at));
            return Err(Problem::invalid(&path, message, "use another name"));
        }
        if **matches == Match::default() {
            let remedy = "add a field, such as status: Error";
            return Err(Problem::invalid(&format!("{}.match", path(at)), "names nothing", remedy));
        }
    }
    let matcher = Matcher::new(rules.iter().map(|(_, matches)| *matches));
    matcher.map(drop).map_err(|RuleError { rule, problem }| {
        Problem::invalid(&format!("{}.match", path(rule)), problem, "correct it")
    })
}

fn tail(tail: &crd::Tail) -> Tail {
    Tail {
        decision_wait_ms: tail.decision_wait.millis(),
        after_root_ms: tail.decision_wait_after_root.millis(),
        traces_max: count(tail.max_traces),
        trace_bytes_max: tail.max_trace_size.bytes(),
        on_full: match tail.on_buffer_full {
            crd::OnBufferFull::DecideOldest => OnBufferFull::DecideOldest,
            crd::OnBufferFull::SampleByHash => OnBufferFull::SampleByHash,
            crd::OnBufferFull::DropNew => OnBufferFull::DropNew,
        },
        decisions_max: count(tail.decision_cache_size),
    }
}

/// The API server takes none below 0.
fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}
