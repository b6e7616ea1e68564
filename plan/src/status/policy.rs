//! The status of a SamplingPolicy.

mod ancestors;
mod estimates;
mod measured;
mod rules;
mod view;

pub(super) use view::affecting;

use super::Source;
use super::adoption::Count;
use super::conditions::{Conditions, Readiness};
use super::flow::sentence;
use super::programmed::{self, Done, Progress};
use crate::compile::{CompiledPolicy, Overridden, PolicyVerdict};
use crate::effects::effects;
use crate::observed::ObjectName;
use crate::problem::Problem;
use measured::Measured;
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::{SamplingPolicy, SamplingPolicyStatus};
use sluice_engine::config::sampling::Mode;
use std::collections::BTreeSet;
use view::{Seat, View, fleet_of};

pub(super) fn status(
    source: &Source<'_>,
    name: &ObjectName,
    object: &SamplingPolicy,
    verdict: &PolicyVerdict,
) -> SamplingPolicyStatus {
    let before = object.status.as_ref();
    let conditions_before = before.map_or(&[][..], |before| &before.conditions);
    let generation = object.metadata.generation.unwrap_or_default();
    let view = View::new(source, name);
    let mut conditions = Conditions::new(conditions_before, generation, source.observed.now);
    set_accepted(&mut conditions, verdict, view.is_running());
    let (policy, readiness) = match verdict {
        PolicyVerdict::Rejected(problem) => {
            let message = rejected(problem, view.is_running());
            (view.running().next(), Readiness::Failed(problem.reason(), message))
        }
        PolicyVerdict::Disabled => {
            (None, Readiness::Done(Reason::Disabled, sentence(Reason::Disabled)))
        }
        PolicyVerdict::Accepted(own) => {
            (Some(&own.policy), set_programmed(&mut conditions, source, &view, own))
        }
    };
    let effects = policy.map(effects).unwrap_or_default();
    let measured = Measured::new(&view);
    let told = rules::told(policy, &effects, &measured, before.map_or(&[], |b| &b.rules));
    if policy.is_some() {
        measured.set_buffer(&mut conditions, view.is_running());
        rules::set_effective(&mut conditions, &effects, &told);
        estimates::set(&mut conditions, source.observed, &view);
    }
    conditions.set_readiness(readiness, source.observed.settings.progress_deadline);
    let is_tried = policy.is_some_and(|policy| policy.mode == Mode::DryRun);
    SamplingPolicyStatus {
        observed_generation: Some(generation),
        ancestors: ancestors::ancestors(source, &view, object, verdict),
        observed: measured.observed(before.and_then(|before| before.observed.as_ref())),
        dry_run: measured.dry_run(is_tried, before.and_then(|before| before.dry_run.as_ref())),
        effective: policy.map(|_| {
            measured.effective(&view, &effects, before.and_then(|b| b.effective.as_ref()))
        }),
        rules: told,
        conditions: conditions.finish(),
    }
}

fn set_accepted(conditions: &mut Conditions<'_>, verdict: &PolicyVerdict, runs_on: bool) {
    let (status, reason, message) = match verdict {
        PolicyVerdict::Accepted(_) => (Status::True, Reason::Accepted, sentence(Reason::Accepted)),
        PolicyVerdict::Disabled => (Status::False, Reason::Disabled, sentence(Reason::Disabled)),
        PolicyVerdict::Rejected(problem) => {
            (Status::False, problem.reason(), rejected(problem, runs_on))
        }
    };
    conditions.set(ConditionType::Accepted, status, reason, message);
}

fn rejected(problem: &Problem, runs_on: bool) -> String {
    match runs_on {
        true => format!("{problem}. The last good version runs on."),
        false => format!("{problem}. The policy has no effect until then."),
    }
}

/// Over all fleets.
fn set_programmed(
    conditions: &mut Conditions<'_>,
    source: &Source<'_>,
    view: &View<'_>,
    own: &CompiledPolicy,
) -> Readiness {
    if let Some(collector) = closed(source, view, own) {
        return programmed::set_not_handed_out(conditions, collector);
    }
    if view.seats.is_empty() {
        let (type_, reason) = (ConditionType::Programmed, Reason::NoCollectors);
        conditions.set(type_, Status::False, reason, UNATTACHED);
        return Readiness::Done(Reason::Reconciled, UNATTACHED.to_owned());
    }
    let progress = view.seats.iter().map(|seat| seat.progress(&view.key));
    let progress = progress.reduce(|all, one| Progress {
        count: all.count.add(one.count),
        has_no_node: all.has_no_node && one.has_no_node,
        rejection: all.rejection.or(one.rejection),
    });
    let none = Progress { count: Count::default(), has_no_node: false, rejection: None };
    programmed::set(conditions, &progress.unwrap_or(none), done(own, view.overridden()))
}

const UNATTACHED: &str = "No pipeline that it is for runs, so there is nothing to decide. Create a \
                          TelemetryPipeline with traces, or mend the one that should run.";

/// A Collector that the policy needs and that does not take it.
fn closed<'a>(source: &Source<'a>, view: &View<'a>, own: &'a CompiledPolicy) -> Option<&'a str> {
    let old = view.seats.iter().find(|seat| seat.running != seat.placed);
    let fleets = own.targets.iter().filter_map(|target| fleet_of(source.observed, target));
    let is_empty = |name: &&str| {
        let fleet = source.compiled.fleets.get(*name);
        fleet.is_some_and(|fleet| fleet.config.is_none())
    };
    old.map(|seat| seat.collector).or_else(|| fleets.into_iter().find(is_empty))
}

fn done<'a>(own: &CompiledPolicy, overridden: impl Iterator<Item = &'a Overridden>) -> Done {
    let reason = Reason::DryRun;
    if own.policy.mode == Mode::DryRun {
        return Done { status: Status::False, reason, message: sentence(reason) };
    }
    let lost = overridden.map(|lost| format!("{} of SamplingPolicy \"{}\"", lost.path, lost.by));
    let lost: BTreeSet<_> = lost.collect();
    if lost.is_empty() {
        return Done::programmed();
    }
    let (reason, names) = (Reason::Overridden, Vec::from_iter(lost).join(", "));
    let message = format!("In force instead: {names}. {}", sentence(reason));
    Done { status: Status::False, reason, message }
}
