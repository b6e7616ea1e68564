//! What is said of each target of a policy (GEP-713).

use super::super::conditions::Conditions;
use super::super::programmed;
use super::{Seat, Source, UNATTACHED, View, done, fleet_of, set_accepted};
use crate::compile::{CompiledPolicy, PolicyVerdict, Target};
use sluice_crds::SamplingPolicy;
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::policy::{Ancestor, AncestorRef, TargetKind};

/// As many as the schema takes.
const ANCESTORS_MAX: usize = 16;
const CONTROLLER: &str = "sluice.dev/operator";

pub(super) fn ancestors(
    source: &Source<'_>,
    view: &View<'_>,
    object: &SamplingPolicy,
    verdict: &PolicyVerdict,
) -> Vec<Ancestor> {
    let before = object.status.as_ref().map_or(&[][..], |status| &status.ancestors);
    let generation = object.metadata.generation.unwrap_or_default();
    let ancestor = |kind: TargetKind, name: &str, target: Option<(&CompiledPolicy, &Target)>| {
        let ancestor_ref = AncestorRef {
            group: sluice_crds::GROUP.to_owned(),
            kind: kind.as_str().to_owned(),
            name: name.to_owned(),
        };
        let before = before.iter().find(|before| before.ancestor_ref == ancestor_ref);
        let before = before.map_or(&[][..], |before| &before.conditions);
        let mut conditions = Conditions::new(before, generation, source.observed.now);
        set_accepted(&mut conditions, verdict, view.is_running());
        if let Some((own, target)) = target {
            set_programmed(&mut conditions, source, view, own, target);
        }
        Ancestor {
            ancestor_ref,
            controller_name: CONTROLLER.to_owned(),
            conditions: conditions.finish(),
        }
    };
    let written = &object.spec.target_refs;
    match verdict {
        PolicyVerdict::Accepted(own) => {
            // Of all pipelines of the namespace, those count that collect traces.
            let counts =
                |target: &&Target| !written.is_empty() || seat(source, view, target).is_some();
            let targets = own.targets.iter().filter(counts).take(ANCESTORS_MAX);
            let told = targets.map(|target| {
                let (kind, name) = match target {
                    Target::Fleet(name) => (TargetKind::Collector, name),
                    Target::Pipeline(name) => (TargetKind::TelemetryPipeline, &name.name),
                };
                ancestor(kind, name, Some((own, target)))
            });
            told.collect()
        }
        PolicyVerdict::Disabled | PolicyVerdict::Rejected(_) => {
            let written = written.iter().take(ANCESTORS_MAX);
            written.map(|written| ancestor(written.kind, &written.name, None)).collect()
        }
    }
}

/// The fleet in which the policy is placed for this target.
fn seat<'v, 'a>(source: &Source<'_>, view: &'v View<'a>, target: &Target) -> Option<&'v Seat<'a>> {
    let collector = fleet_of(source.observed, target);
    let seat = view.seats.iter().find(|seat| Some(seat.collector) == collector)?;
    let is_about = match (&seat.placed?.scope.pipelines, target) {
        (None, _) => true,
        (Some(named), Target::Pipeline(name)) => named.contains(&name.to_string()),
        (Some(_), Target::Fleet(_)) => false,
    };
    is_about.then_some(seat)
}

fn set_programmed(
    conditions: &mut Conditions<'_>,
    source: &Source<'_>,
    view: &View<'_>,
    own: &CompiledPolicy,
    target: &Target,
) {
    match seat(source, view, target) {
        Some(seat) if seat.running != seat.placed => {
            programmed::set_not_handed_out(conditions, seat.collector);
        }
        Some(seat) => {
            let done = done(own, seat.overridden.iter());
            programmed::set(conditions, &seat.progress(&view.key), done);
        }
        None => {
            let (type_, reason) = (ConditionType::Programmed, Reason::NoCollectors);
            conditions.set(type_, Status::False, reason, UNATTACHED);
        }
    }
}
