//! What to tell users about their objects: the conditions contract, as values.
//!
//! | situation | Ready | Reconciling | Stalled |
//! |---|---|---|---|
//! | being taken over | False (Progressing) | True | |
//! | runs | True (Reconciled) | | |
//! | a mistake, or something forbidden | False (its reason) | | True |
//! | a Secret is missing | False (SecretMissing) | True | after the deadline |
//! | not taken over within the deadline | False (ProgressDeadlineExceeded) | | True |
//! | paused, or no eligible node | True (Paused, NoEligibleNodes) | | |
//!
//! A destination that is down shows in FlowHealthy and Delivering, never in Ready.

mod adoption;
mod collector;
mod conditions;
mod delivery;
mod destination;
mod events;
mod flow;
mod gateways;
mod numbers;
mod pipeline;
mod policy;
mod programmed;

use crate::compile::Compiled;
use crate::observed::{ObjectName, Observed};
use crate::planned::{Event, Status, StatusWrite};
pub(crate) use destination::secrets;

use adoption::Adoptions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use std::collections::{BTreeMap, BTreeSet};

/// What a status is made from.
pub(crate) struct Source<'a> {
    pub(crate) observed: &'a Observed,
    pub(crate) compiled: &'a Compiled,
    pub(crate) adoptions: Adoptions<'a>,
    /// By pipeline, the policies that decide which of its traces are kept.
    affecting: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// Of every object, those that changed; and the events of these changes.
pub(crate) fn statuses(observed: &Observed, compiled: &Compiled) -> (Vec<StatusWrite>, Vec<Event>) {
    let adoptions = Adoptions::new(observed, compiled);
    let affecting = policy::affecting(compiled);
    let source = Source { observed, compiled, adoptions, affecting };
    let mut news = News::default();
    for (name, fleet) in &compiled.fleets {
        let Some(object) = observed.collectors.get(name) else { continue };
        let status = collector::status(&source, name, object, fleet);
        let before = object.status.as_ref();
        news.add(object.as_ref(), before, status, Status::Collector, events::of_collector);
    }
    let users = destination::users(compiled);
    for name in compiled.destinations.keys() {
        let Some(object) = observed.destinations.get(name) else { continue };
        let users = users.get(name.to_string().as_str()).copied().unwrap_or_default();
        let status = destination::status(&source, name, object, users);
        let before = object.status.as_ref();
        news.add(object.as_ref(), before, status, Status::Destination, events::of_destination);
    }
    for (name, verdict) in &compiled.pipelines {
        let Some(object) = observed.pipelines.get(name) else { continue };
        let status = pipeline::status(&source, name, object, verdict);
        let before = object.status.as_ref();
        news.add(object.as_ref(), before, status, Status::TelemetryPipeline, events::of_pipeline);
    }
    for (name, verdict) in &compiled.policies {
        let Some(object) = observed.policies.get(name) else { continue };
        let status = policy::status(&source, name, object, verdict);
        let before = object.status.as_ref();
        news.add(object.as_ref(), before, status, Status::SamplingPolicy, events::of_policy);
    }
    (news.statuses, news.events)
}

#[derive(Default)]
struct News {
    statuses: Vec<StatusWrite>,
    events: Vec<Event>,
}

impl News {
    fn add<K, S>(
        &mut self,
        object: &K,
        before: Option<&S>,
        after: S,
        wrap: impl Fn(S) -> Status,
        events: impl Fn(&S, &S) -> Vec<events::Told>,
    ) where
        K: Resource<DynamicType = ()>,
        S: HasConditions + PartialEq + Default,
    {
        if before == Some(&after) {
            return;
        }
        let nothing = S::default();
        let before = before.unwrap_or(&nothing);
        let name = ObjectName::of(object);
        let urgent = before.conditions() != after.conditions();
        let told = events(before, &after);
        let status = wrap(after);
        let uid = object.meta().uid.clone().unwrap_or_default();
        self.events.extend(told.into_iter().map(|(reason, note)| Event {
            kind: status.kind(),
            name: name.clone(),
            uid: uid.clone(),
            reason,
            severity: reason.event_type(),
            note,
        }));
        self.statuses.push(StatusWrite { name, status, urgent });
    }
}

trait HasConditions {
    fn conditions(&self) -> &[Condition];
}

impl HasConditions for sluice_crds::CollectorStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl HasConditions for sluice_crds::DestinationStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl HasConditions for sluice_crds::SamplingPolicyStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl HasConditions for sluice_crds::TelemetryPipelineStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
