//! The gateways of a fleet as the API server shows them.

use super::unready;
use crate::apply::DELETION_COST;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use sluice_plan::{DeploymentState, GATEWAY, GatewayPod, GatewayPodState};

const APP: &str = "app.kubernetes.io/name";

pub(super) fn is_gateway(pod: &Pod) -> bool {
    pod.labels().get(APP).is_some_and(|app| app == GATEWAY)
}

/// By its name; `None`: it has ended.
pub(super) fn pod(pod: &Pod) -> Option<(String, GatewayPod)> {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let state = match unready(pod) {
        _ if pod.metadata.deletion_timestamp.is_some() => GatewayPodState::Ending,
        Some(unready) => GatewayPodState::Unready(unready),
        None => GatewayPodState::Ready,
    };
    let cost = pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok());
    let gateway = GatewayPod {
        state,
        ip: status.and_then(|status| status.pod_ip.clone()).unwrap_or_default(),
        deletion_cost: cost.unwrap_or_default(),
    };
    Some((pod.name_any(), gateway))
}

pub(super) fn deployment_state(set: &Deployment) -> DeploymentState {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = set.status.clone().unwrap_or_default();
    DeploymentState {
        generation: set.metadata.generation.unwrap_or_default(),
        observed_generation: status.observed_generation.unwrap_or_default(),
        replicas,
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
    }
}
