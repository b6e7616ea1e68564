//! The pod template of a workload: whose pods these are, and what the user changes in them.

use super::{Source, labels, patch};
use crate::problem::Problem;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What tells the workloads apart.
pub(super) struct Template {
    pub(super) app: &'static str,
    /// The name of its main container.
    pub(super) container: &'static str,
    /// The field of the Collector that holds the user's changes.
    pub(super) patch: &'static str,
}

pub(super) fn template(source: &Source<'_>, kind: &Template, pod: PodSpec) -> PodTemplateSpec {
    // A mesh's side-car would take the sender's address, and so its name, from every request.
    let annotations = [
        ("sidecar.istio.io/inject", "false"),
        ("linkerd.io/inject", "disabled"),
        ("kubectl.kubernetes.io/default-container", kind.container),
    ];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(source, kind.app)),
            annotations: Some(BTreeMap::from(annotations)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    }
}

/// # Errors
/// When what comes out is no pod template.
pub(super) fn change(
    source: &Source<'_>,
    kind: &Template,
    object: &mut DynamicObject,
    changes: &Map<String, Value>,
) -> Result<(), Problem> {
    if let Some(name) = directive(changes) {
        let message = format!("\"{name}\" is a directive, which is not understood here");
        return Err(Problem::invalid(kind.patch, message, "use plain fields; null removes one"));
    }
    let Some(Value::Object(template)) = object.data.pointer_mut("/spec/template") else {
        return Ok(());
    };
    patch::merge(template, changes);
    // Without its labels the pod would belong to no fleet.
    patch::merge(template, &own_labels(source, kind.app));
    let misfit = |error: serde_json::Error| {
        Problem::invalid(kind.patch, format!("gives no pod template: {error}"), "correct the field")
    };
    serde_json::from_value::<PodTemplateSpec>(Value::Object(template.clone())).map_err(misfit)?;
    Ok(())
}

fn own_labels(source: &Source<'_>, app: &str) -> Map<String, Value> {
    let mut patch = Map::new();
    patch.insert("metadata".into(), json!({ "labels": labels(source, app) }));
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
