//! Whether counts of all traces can be recovered from the kept ones.

use super::super::conditions::Conditions;
use super::super::flow::sentence;
use super::view::{View, pipelines};
use crate::compile::parse_key;
use crate::observed::{Fleet, Observed};
use crate::report::{DeliveryKey, Signal};
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_engine::config::Config;
use std::collections::BTreeSet;

pub(super) fn set(conditions: &mut Conditions<'_>, observed: &Observed, view: &View<'_>) {
    let type_ = ConditionType::EstimatesUnbiased;
    let mut unknown = BTreeSet::new();
    for (config, policy, fleet) in view.configs() {
        for key in pipelines(config, policy) {
            if loses_traces(config, fleet, key) {
                let reason = Reason::GuardDropped;
                let message = format!("Pipeline \"{key}\": {}", sentence(reason));
                return conditions.set(type_, Status::False, reason, message);
            }
            let object = parse_key(key).and_then(|name| observed.pipelines.get(&name));
            if object.is_some_and(|object| !object.spec.trace_context().assume_unsampled) {
                unknown.insert(key);
            }
        }
    }
    let (status, reason, message) = match unknown.first() {
        Some(key) => {
            let reason = Reason::InputProbabilityUnknown;
            (Status::Unknown, reason, format!("Pipeline \"{key}\": {}", sentence(reason)))
        }
        None => {
            let reason = Reason::AssumesUnsampledInput;
            (Status::True, reason, sentence(reason))
        }
    };
    conditions.set(type_, status, reason, message);
}

/// Kept traces are lost on their way to a destination.
fn loses_traces(config: &Config, fleet: Option<&Fleet>, pipeline: &str) -> bool {
    let destinations = config.pipelines.get(pipeline).map(|pipeline| &pipeline.traces);
    destinations.into_iter().flatten().any(|destination| {
        let key = DeliveryKey {
            destination: destination.clone(),
            pipeline: pipeline.to_owned(),
            signal: Signal::Traces,
        };
        let delivery = fleet.and_then(|fleet| fleet.report.deliveries.get(&key));
        delivery.is_some_and(|delivery| delivery.dropped_rate > 0.0)
    })
}
