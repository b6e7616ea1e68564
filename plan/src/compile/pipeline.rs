//! A TelemetryPipeline as collectors read it: references resolved, namespaces known by name.

use super::{LastGood, selector};
use crate::compile::{living_collector, living_destination};
use crate::observed::{ObjectName, Observed};
use crate::problem::{NotAllowed, Problem};
use crate::report::Signal;
use sluice_crds::TelemetryPipeline;
use sluice_crds::conditions::Kind;
use sluice_crds::destination::DestinationType;
use sluice_crds::pipeline as crd;
use sluice_crds::reference::DestinationRef;
use sluice_engine::config::{
    self, Config, Delivery, Enrich, EnrichKubernetes, Namespaces, OnFull, Pipeline, PodLogs,
    Selector, StartAt,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Destinations = BTreeMap<ObjectName, Result<Arc<config::Destination>, Problem>>;

pub(super) fn compile(
    observed: &Observed,
    last: &LastGood,
    destinations: &Destinations,
    name: &ObjectName,
    object: &TelemetryPipeline,
) -> Result<Pipeline, Problem> {
    let spec = &object.spec;
    let fleet = spec.collector();
    if living_collector(observed, fleet).is_none() && !is_unreadable_collector(observed, fleet) {
        return Err(Problem::CollectorNotFound { name: fleet.to_owned() });
    }
    let workload = spec.workload_selector.as_ref();
    let resolve = |signal, refs: &[DestinationRef]| {
        let last = last.get(fleet).map(AsRef::as_ref);
        let resolve = |one| resolve(observed, last, destinations, name, signal, one);
        refs.iter().map(resolve).collect::<Result<Vec<_>, _>>()
    };
    Ok(Pipeline {
        generation: object.metadata.generation.unwrap_or_default(),
        namespaces: namespaces(observed, name, spec)?,
        workload: workload
            .map_or(Ok(Selector::default()), |s| selector::compile(s, "spec.workloadSelector"))?,
        otlp: spec.sources().otlp_enabled(),
        pod_logs: spec.sources().pod_logs().map(pod_logs),
        enrich: enrich(spec.enrich()),
        traces: resolve(Signal::Traces, spec.traces())?,
        metrics: resolve(Signal::Metrics, spec.metrics())?,
        logs: resolve(Signal::Logs, spec.logs())?,
        delivery: delivery(&spec.delivery()),
    })
}

fn is_unreadable_collector(observed: &Observed, name: &str) -> bool {
    observed.unreadable.contains(&(Kind::Collector, ObjectName::new("", name)))
}

fn namespaces(
    observed: &Observed,
    name: &ObjectName,
    spec: &crd::TelemetryPipelineSpec,
) -> Result<Namespaces, Problem> {
    let system_namespace = &observed.settings.system_namespace;
    let only_in_system = |path| {
        let system_namespace = system_namespace.clone();
        Err(Problem::SystemOnly { path, system_namespace })
    };
    if name.namespace != *system_namespace {
        if spec.namespace_selector.is_some() {
            return only_in_system("spec.namespaceSelector");
        }
        if !spec.exclude_namespaces.is_empty() {
            return only_in_system("spec.excludeNamespaces");
        }
    }
    let Some(selector) = &spec.namespace_selector else {
        return Ok(Namespaces::Only(BTreeSet::from([name.namespace.clone()])));
    };
    let selector = selector::compile(selector, "spec.namespaceSelector")?;
    let excluded: BTreeSet<_> = spec.exclude_namespaces.iter().cloned().collect();
    if selector.is_empty() {
        return Ok(Namespaces::AllExcept(excluded));
    }
    let selected = observed
        .namespaces
        .iter()
        .filter(|(name, labels)| selector.matches(labels) && !excluded.contains(*name));
    Ok(Namespaces::Only(selected.map(|(name, _)| name.clone()).collect()))
}

/// The key of the destination that a reference names, when it may be used for the signal.
fn resolve(
    observed: &Observed,
    last: Option<&Config>,
    destinations: &Destinations,
    pipeline: &ObjectName,
    signal: Signal,
    reference: &DestinationRef,
) -> Result<String, Problem> {
    let namespace = reference.namespace_or(&pipeline.namespace);
    let destination = ObjectName::new(namespace, &reference.name);
    let key = destination.to_string();
    let Some(object) = living_destination(observed, &destination) else {
        let unreadable = (Kind::Destination, destination.clone());
        let known = last.is_some_and(|last| last.destinations.contains_key(&key));
        return match observed.unreadable.contains(&unreadable) {
            true if known => Ok(key),
            true => Err(Problem::DestinationInvalid { destination }),
            false => Err(Problem::DestinationNotFound { destination }),
        };
    };
    if namespace != pipeline.namespace {
        may_share(observed, pipeline, &destination, object)?;
    }
    if object.spec.type_ == DestinationType::Tempo && signal != Signal::Traces {
        let type_name = object.spec.type_.as_str();
        return Err(Problem::UnsupportedSignal { destination, type_name, signal });
    }
    let compiled = matches!(destinations.get(&destination), Some(Ok(_)));
    if !compiled && last.is_none_or(|last| !last.destinations.contains_key(&key)) {
        return Err(Problem::DestinationInvalid { destination });
    }
    Ok(key)
}

/// Whether the owner of a destination lets the pipelines of a namespace use it.
pub(super) fn may_share(
    observed: &Observed,
    pipeline: &ObjectName,
    destination: &ObjectName,
    object: &sluice_crds::Destination,
) -> Result<(), Problem> {
    let refuse = |why| {
        let (destination, from) = (destination.clone(), pipeline.namespace.clone());
        Err(Problem::DestinationNotAllowed { destination, from, why })
    };
    if destination.namespace != observed.settings.system_namespace {
        return refuse(NotAllowed::NotShared);
    }
    let Some(allowed) = &object.spec.allowed_namespaces else {
        return refuse(NotAllowed::NotSelected);
    };
    let Ok(selector) = selector::compile(allowed, "spec.allowedNamespaces") else {
        return refuse(NotAllowed::NotSelected);
    };
    let labels = observed.namespaces.get(&pipeline.namespace);
    let selected = selector.is_empty() || labels.is_some_and(|labels| selector.matches(labels));
    if selected { Ok(()) } else { refuse(NotAllowed::NotSelected) }
}

fn pod_logs(logs: &crd::PodLogs) -> PodLogs {
    let containers = logs.containers();
    PodLogs {
        include: containers.include,
        exclude: containers.exclude,
        start_at: match logs.start_at {
            crd::StartAt::Beginning => StartAt::Beginning,
            crd::StartAt::End => StartAt::End,
        },
    }
}

fn enrich(enrich: crd::Enrich) -> Enrich {
    Enrich {
        kubernetes: match enrich.kubernetes {
            crd::EnrichKubernetes::Disabled => EnrichKubernetes::Disabled,
            crd::EnrichKubernetes::Standard => EnrichKubernetes::Standard,
            crd::EnrichKubernetes::Full => EnrichKubernetes::Full,
        },
        pod_labels: enrich.pod_labels,
        resource_attributes: enrich.resource_attributes,
    }
}

fn delivery(delivery: &crd::Delivery) -> Delivery {
    let (queue, retry) = (delivery.queue(), delivery.retry());
    Delivery {
        queue_bytes_max: queue.max_size.bytes(),
        age_max_ms: queue.max_age.millis(),
        retry_initial_ms: retry.initial.millis(),
        retry_max_ms: retry.max.millis(),
        retry_elapsed_max_ms: retry.max_elapsed.millis(),
        on_full: match delivery.on_full {
            crd::OnFull::DropOldest => OnFull::DropOldest,
            crd::OnFull::DropNew => OnFull::DropNew,
            crd::OnFull::Block => OnFull::Block,
        },
    }
}
