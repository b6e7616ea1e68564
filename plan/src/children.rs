//! The objects of one Collector, in the order in which they are applied.

mod agent_pod;
mod boot_strap;
mod daemon_set;
mod deployment;
mod gateway_pod;
mod gateways;
mod image;
mod patch;
mod pod;
mod service;
mod template;

pub(crate) use boot_strap::stored_config;
pub(crate) use gateways::stored_memory;
pub(crate) use image::version;

use crate::observed::{Fleet, Settings};
use crate::planned::{Child, FleetConfig};
use crate::problem::Problem;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::DynamicObject;
use serde::Serialize;
use sluice_crds::{Collector, DEFAULT_COLLECTOR};
use std::collections::BTreeMap;

/// Everything that a child is made from.
pub(crate) struct Source<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) name: &'a str,
    pub(crate) collector: &'a Collector,
    pub(crate) config: &'a FleetConfig,
    pub(crate) fleet: &'a Fleet,
    pub(crate) now: jiff::Timestamp,
}

/// The label that says which Collector a child belongs to.
pub const FLEET_LABEL: &str = "sluice.dev/collector";

/// `app.kubernetes.io/name` of what belongs to agents; their ServiceAccount.
pub(crate) const AGENT: &str = "sluice-agent";
/// The same of gateways.
pub const GATEWAY: &str = "sluice-gateway";

/// Name of the DaemonSet and of the Service of a fleet.
pub(crate) fn agent_name(fleet: &str) -> String {
    name(AGENT, fleet)
}

/// Name of the Deployment of a fleet, and of what goes with it.
pub(crate) fn gateway_name(fleet: &str) -> String {
    name(GATEWAY, fleet)
}

fn name(app: &str, fleet: &str) -> String {
    match fleet {
        DEFAULT_COLLECTOR => app.to_owned(),
        _ => format!("{app}-{fleet}"),
    }
}

/// Boot-strap first: a new pod should start with it.
///
/// # Errors
/// When a `podTemplatePatch` of the Collector does not fit, or the config fits no ConfigMap.
pub(crate) fn children(source: &Source<'_>) -> Result<Vec<Child>, Problem> {
    let mut objects: Vec<DynamicObject> =
        boot_strap::config_maps(source)?.iter().map(dynamic).collect();
    objects.push(dynamic(&service::service(source)));
    objects.push(daemon_set::daemon_set(source)?);
    if let Some(memory) = &source.config.gateways {
        objects.extend(gateways::gateways(source, memory)?);
    }
    let child = |object| Child { fleet: source.name.to_owned(), object };
    Ok(objects.into_iter().map(child).collect())
}

fn dynamic(object: &impl Serialize) -> DynamicObject {
    #[expect(clippy::expect_used, reason = "a typed object is plain data with types and metadata")]
    serde_json::to_value(object)
        .and_then(serde_json::from_value)
        .expect("an object is a dynamic object")
}

fn metadata(source: &Source<'_>, app: &str, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(source.settings.system_namespace.clone()),
        labels: Some(labels(source, app)),
        owner_references: owner(source.collector).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn labels(source: &Source<'_>, app: &str) -> BTreeMap<String, String> {
    let mut labels = selector(source, app);
    labels.insert("app.kubernetes.io/managed-by".into(), "sluice".into());
    labels.insert("app.kubernetes.io/instance".into(), source.name.into());
    labels
}

/// What a fleet's pods are found by; cannot be changed after their workload was made.
fn selector(source: &Source<'_>, app: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".into(), app.into()),
        (FLEET_LABEL.into(), source.name.into()),
    ])
}

/// `None` for a Collector that no API server holds.
fn owner(collector: &Collector) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: crate::API_VERSION.into(),
        kind: "Collector".into(),
        name: collector.metadata.name.clone()?,
        uid: collector.metadata.uid.clone()?,
        controller: Some(true),
        block_owner_deletion: None,
    })
}
