//! From the stores to one [`Observed`]: copies and sums, no decision.

mod gateways;

use crate::control::Reports;
use crate::published::Published;
use crate::settings::Settings;
use crate::stores::Stores;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Namespace, Pod};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use sluice_plan::{
    DaemonSetState, FLEET_LABEL, Fleet, Kind, ObjectName, Observed, UnreadyPod, UnreadyReason,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was seen in one moment.
pub(crate) struct Seen {
    pub observed: Observed,
    pub existing: Existing,
}

/// The children that exist, as [`crate::apply`] needs them.
#[derive(Clone, Debug, Default)]
pub struct Existing {
    pub children: BTreeMap<ChildKey, ExistingChild>,
    /// Collectors that exist but could not be read: what they own must not be taken for orphaned.
    pub unreadable_fleets: BTreeSet<String>,
}

/// Kind and name; all children live in the system namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildKey {
    pub kind: ChildKind,
    pub name: String,
}

/// The kinds of which the operator may own objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildKind {
    ConfigMap,
    Service,
    DaemonSet,
    Deployment,
    PodDisruptionBudget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingChild {
    /// Empty where the label is absent: such an object belongs to no fleet.
    pub fleet: String,
    pub resource_version: String,
    pub being_deleted: bool,
}

impl ChildKind {
    pub const ALL: [Self; 5] = [
        Self::ConfigMap,
        Self::Service,
        Self::DaemonSet,
        Self::Deployment,
        Self::PodDisruptionBudget,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
        }
    }
}

/// All of it, as of `now`.
pub(crate) fn observe(
    stores: &Stores,
    reports: &Reports,
    published: &Published,
    settings: &Settings,
    now: Timestamp,
) -> Seen {
    let mut unreadable = BTreeSet::new();
    let collectors = readable(&stores.collectors, Kind::Collector, &mut unreadable);
    let pipelines = readable(&stores.pipelines, Kind::TelemetryPipeline, &mut unreadable);
    let destinations = readable(&stores.destinations, Kind::Destination, &mut unreadable);
    let policies = readable(&stores.policies, Kind::SamplingPolicy, &mut unreadable);
    let broken = unreadable.iter().filter(|(kind, _)| *kind == Kind::Collector);
    let unreadable_fleets: BTreeSet<_> = broken.map(|(_, name)| name.name.clone()).collect();
    let namespaces = stores.namespaces.state();
    let names = collectors.keys().map(|name| &name.name).chain(&unreadable_fleets);
    let mut fleets: BTreeMap<String, Fleet> =
        names.map(|name| (name.clone(), Fleet::default())).collect();
    gather(stores, &mut fleets);
    let pods = pod_names(stores);
    let is_object = |key: &str| {
        let name = key.split_once('/').map(|(namespace, name)| ObjectName::new(namespace, name));
        name.is_some_and(|name| {
            pipelines.contains_key(&name)
                || destinations.contains_key(&name)
                || policies.contains_key(&name)
        })
    };
    for (name, fleet) in &mut fleets {
        fleet.report = reports.report(name, now, &pods, is_object);
        published.recall(name, fleet);
    }
    Seen {
        observed: Observed {
            now,
            settings: plan_settings(settings, &namespaces),
            collectors: collectors.into_iter().map(|(name, c)| (name.name, c)).collect(),
            pipelines,
            destinations,
            policies,
            unreadable,
            namespaces: namespaces.iter().map(|n| (n.name_any(), n.labels().clone())).collect(),
            fleets,
        },
        existing: Existing { children: existing(stores), unreadable_fleets },
    }
}

fn plan_settings(
    settings: &Settings,
    namespaces: &[Arc<PartialObjectMeta<Namespace>>],
) -> sluice_plan::Settings {
    let version = env!("CARGO_PKG_VERSION");
    let kube_system = namespaces.iter().find(|n| n.name_any() == "kube-system");
    sluice_plan::Settings {
        cluster_uid: kube_system.and_then(|n| n.uid()).unwrap_or_default(),
        priority_class: settings.priority_class.clone(),
        progress_deadline: signed(settings.progress_deadline),
        boot_strap_interval: signed(settings.bootstrap_interval),
        ..sluice_plan::Settings::new(&settings.namespace, version, &settings.agent_image)
    }
}

/// Settings are at most a day, so this never saturates.
fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The objects of a store; the names of those that could not be read go to `unreadable`.
fn readable<K>(
    store: &Store<DeserializeGuard<K>>,
    kind: Kind,
    unreadable: &mut BTreeSet<(Kind, ObjectName)>,
) -> BTreeMap<ObjectName, Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut objects = BTreeMap::new();
    for guard in store.state() {
        let name =
            ObjectName::new(guard.namespace().as_deref().unwrap_or_default(), &guard.name_any());
        match &guard.0 {
            Ok(object) => _ = objects.insert(name, Arc::new(object.clone())),
            Err(error) => {
                tracing::debug!(kind = kind.as_str(), %name, %error, "object not understood");
                unreadable.insert((kind, name));
            }
        }
    }
    objects
}

/// Fills in what exists of each fleet. Children of a Collector that is gone are left out.
fn gather(stores: &Stores, fleets: &mut BTreeMap<String, Fleet>) {
    for guard in stores.daemon_sets.state() {
        if let Ok(set) = &guard.0
            && let Some(fleet) = fleets.get_mut(fleet_of(set))
        {
            fleet.daemon_set = Some(daemon_set_state(set));
        }
    }
    for guard in stores.config_maps.state() {
        if let Ok(map) = &guard.0
            && let Some(fleet) = fleets.get_mut(fleet_of(map))
        {
            let map: &ConfigMap = map;
            fleet.config_maps.insert(map.name_any(), map.clone());
        }
    }
    for guard in stores.deployments.state() {
        if let Ok(set) = &guard.0
            && let Some(fleet) = fleets.get_mut(fleet_of(set))
        {
            fleet.deployment = Some(gateways::deployment_state(set));
        }
    }
    for guard in stores.pods.state() {
        if let Ok(pod) = &guard.0
            && let Some(fleet) = fleets.get_mut(fleet_of(pod))
        {
            if gateways::is_gateway(pod) {
                fleet.gateways.extend(gateways::pod(pod));
            } else if let Some(unready) = unready(pod) {
                fleet.unready_pods.insert(pod.name_any(), unready);
            }
        }
    }
}

fn fleet_of(object: &impl Resource) -> &str {
    object.labels().get(FLEET_LABEL).map_or("", String::as_str)
}

fn pod_names(stores: &Stores) -> BTreeSet<String> {
    stores.pods.state().iter().map(|pod| pod.name_any()).collect()
}

fn daemon_set_state(set: &DaemonSet) -> DaemonSetState {
    let generation = set.metadata.generation.unwrap_or_default();
    let Some(status) = &set.status else {
        return DaemonSetState { generation, ..DaemonSetState::default() };
    };
    DaemonSetState {
        generation,
        observed_generation: status.observed_generation.unwrap_or_default(),
        desired: status.desired_number_scheduled,
        current: status.current_number_scheduled,
        updated: status.updated_number_scheduled.unwrap_or_default(),
        ready: status.number_ready,
    }
}

/// `None`: the pod is ready, or on its way out.
fn unready(pod: &Pod) -> Option<UnreadyPod> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref();
    let condition = |type_: &str| {
        status?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
    };
    let ready = condition("Ready");
    if ready.is_some_and(|condition| condition.status == "True") {
        return None;
    }
    let created = pod.metadata.creation_timestamp.as_ref();
    let since = ready.and_then(|condition| condition.last_transition_time.as_ref()).or(created);
    let scheduled = condition("PodScheduled").filter(|condition| condition.status == "False");
    let own = status.and_then(|status| status.reason.as_deref());
    let reasons = scheduled.and_then(|condition| condition.reason.as_deref()).into_iter();
    let containers = status.into_iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten()).flat_map(container_reasons)
    });
    let worst = reasons.chain(own).chain(containers).map(UnreadyReason::from_kubernetes).min();
    Some(UnreadyPod {
        reason: worst.unwrap_or(UnreadyReason::Starting),
        since: since.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    })
}

/// Why a container waits, and how it ended the last time.
fn container_reasons(status: &ContainerStatus) -> impl Iterator<Item = &str> {
    let now = status.state.as_ref();
    let waiting = now.and_then(|state| state.waiting.as_ref()?.reason.as_deref());
    let ended = now.and_then(|state| state.terminated.as_ref());
    let before = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let failed = |exit: &&k8s_openapi::api::core::v1::ContainerStateTerminated| exit.exit_code != 0;
    let exits = [ended.filter(failed), before.filter(failed)].into_iter().flatten();
    waiting.into_iter().chain(exits.filter_map(|exit| exit.reason.as_deref()))
}

fn existing(stores: &Stores) -> BTreeMap<ChildKey, ExistingChild> {
    let mut children = BTreeMap::new();
    for map in stores.config_maps.state() {
        children.extend([existing_child(ChildKind::ConfigMap, &*map)]);
    }
    for service in stores.services.state() {
        children.extend([existing_child(ChildKind::Service, &*service)]);
    }
    for set in stores.daemon_sets.state() {
        children.extend([existing_child(ChildKind::DaemonSet, &*set)]);
    }
    for set in stores.deployments.state() {
        children.extend([existing_child(ChildKind::Deployment, &*set)]);
    }
    for budget in stores.disruption_budgets.state() {
        children.extend([existing_child(ChildKind::PodDisruptionBudget, &*budget)]);
    }
    children
}

fn existing_child(kind: ChildKind, object: &impl Resource) -> (ChildKey, ExistingChild) {
    let child = ExistingChild {
        fleet: fleet_of(object).to_owned(),
        resource_version: object.resource_version().unwrap_or_default(),
        being_deleted: object.meta().deletion_timestamp.is_some(),
    };
    (ChildKey { kind, name: object.name_any() }, child)
}

#[cfg(test)]
mod tests;
