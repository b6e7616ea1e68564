//! The agents of a fleet: one on each node.

use super::{Source, agent_name, dynamic, labels, metadata, patch, pod, selector};
use crate::problem::Problem;
use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const PATCH: &str = "spec.agent.podTemplatePatch";

pub(super) fn daemon_set(source: &Source<'_>) -> Result<DynamicObject, Problem> {
    let rollout = source.collector.spec.agent_rollout();
    let set = DaemonSet {
        metadata: metadata(source, agent_name(source.name)),
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(selector(source)),
                ..LabelSelector::default()
            },
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDaemonSet {
                    max_surge: Some(IntOrString::Int(rollout.max_surge)),
                    max_unavailable: Some(IntOrString::Int(rollout.max_unavailable)),
                }),
            }),
            template: template(source),
            revision_history_limit: Some(3),
            min_ready_seconds: None,
        }),
        status: None,
    };
    let mut object = dynamic(&set);
    if let Some(patch) = &source.collector.spec.agent().pod_template_patch {
        patch_template(source, &mut object, patch)?;
    }
    Ok(object)
}

fn template(source: &Source<'_>) -> PodTemplateSpec {
    // A mesh's side-car would take the sender's address, and so its name, from every request.
    let annotations = [
        ("sidecar.istio.io/inject", "false"),
        ("linkerd.io/inject", "disabled"),
        ("kubectl.kubernetes.io/default-container", "agent"),
    ];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(source)),
            annotations: Some(BTreeMap::from(annotations)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::spec(source)),
    }
}

fn patch_template(
    source: &Source<'_>,
    object: &mut DynamicObject,
    changes: &Map<String, Value>,
) -> Result<(), Problem> {
    if let Some(name) = directive(changes) {
        let message = format!("\"{name}\" is a directive, which is not understood here");
        return Err(Problem::invalid(PATCH, message, "use plain fields; null removes one"));
    }
    let Some(Value::Object(template)) = object.data.pointer_mut("/spec/template") else {
        return Ok(());
    };
    patch::merge(template, changes);
    // Without its labels the pod would belong to no fleet.
    patch::merge(template, &own_labels(source));
    let misfit = |error: serde_json::Error| {
        Problem::invalid(PATCH, format!("gives no pod template: {error}"), "correct the field")
    };
    serde_json::from_value::<PodTemplateSpec>(Value::Object(template.clone())).map_err(misfit)?;
    Ok(())
}

fn own_labels(source: &Source<'_>) -> Map<String, Value> {
    let mut patch = Map::new();
    patch.insert("metadata".into(), json!({ "labels": labels(source) }));
    patch
}

/// The first key that is a directive of strategic merge patches.
fn directive(patch: &Map<String, Value>) -> Option<&str> {
    patch.iter().find_map(|(name, value)| {
        let below = match value {
            _ if name.starts_with('$') => return Some(name.as_str()),
            Value::Object(fields) => return directive(fields),
            Value::Array(items) => items,
            _ => return None,
        };
        below.iter().filter_map(Value::as_object).find_map(directive)
    })
}
