//! The pods of this node, watched for their addresses and what their telemetry is stamped with.

use crate::pods::PodTable;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod as ApiPod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use sluice_engine::sender::{Pod, Workload, WorkloadKind};
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

/// A mirror pod's log folder carries this annotation's value in place of the pod's UID.
const MIRROR: &str = "kubernetes.io/config.mirror";
const HASH_LABEL: &str = "pod-template-hash";

/// Never ends: a watch that breaks is begun anew, with the watcher's own back-off.
pub(super) async fn watch_pods(client: Client, node: String, table: PodTable) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let stream = watcher(Api::<ApiPod>::all(client), config);
    let mut stream = std::pin::pin!(stream);
    let mut listed = HashSet::new();
    let mut failing = false;
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                failing = false;
                apply(event, &table, &mut listed);
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "cannot watch the node's pods");
                }
                failing = true;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    }
}

fn apply(event: Event<ApiPod>, table: &PodTable, listed: &mut HashSet<String>) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(pod) => {
            listed.extend(put(pod, table));
        }
        Event::InitDone => table.retain(listed),
        Event::Apply(pod) => {
            put(pod, table);
        }
        Event::Delete(pod) => {
            if let Some(uid) = pod.metadata.uid {
                table.remove(&uid);
            }
        }
    }
}

fn put(pod: ApiPod, table: &PodTable) -> Option<String> {
    let uid = pod.metadata.uid.clone()?;
    let mirror = pod.metadata.annotations.as_ref().and_then(|all| all.get(MIRROR)).cloned();
    let addresses = addresses(&pod);
    table.put(known(pod), addresses);
    if let Some(folder_uid) = mirror {
        table.alias(folder_uid, uid.clone());
    }
    Some(uid)
}

/// None for a pod in its node's network, or one that has ended: its address may be another's.
fn addresses(pod: &ApiPod) -> Vec<IpAddr> {
    let on_host = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let Some(status) = pod.status.as_ref().filter(|_| !on_host) else { return Vec::new() };
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return Vec::new();
    }
    let many = status.pod_ips.iter().flatten().map(|address| address.ip.as_str());
    many.chain(status.pod_ip.as_deref()).filter_map(|address| address.parse().ok()).collect()
}

fn known(pod: ApiPod) -> Pod {
    let (meta, spec) = (pod.metadata, pod.spec.unwrap_or_default());
    let labels = meta.labels.unwrap_or_default();
    let owner = meta.owner_references.into_iter().flatten().find(|it| it.controller == Some(true));
    let workload =
        owner.and_then(|owner| workload(&owner, labels.get(HASH_LABEL).map_or("", String::as_str)));
    Pod {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        node: spec.node_name.unwrap_or_default(),
        workload,
        containers: spec.containers.into_iter().map(|container| container.name).collect(),
        labels,
    }
}

/// A ReplicaSet that is named after a pod template's hash is a Deployment's.
fn workload(owner: &OwnerReference, template_hash: &str) -> Option<Workload> {
    let kind = match owner.kind.as_str() {
        "ReplicaSet" => WorkloadKind::ReplicaSet,
        "StatefulSet" => WorkloadKind::StatefulSet,
        "DaemonSet" => WorkloadKind::DaemonSet,
        "Job" => WorkloadKind::Job,
        _ => return None,
    };
    let deployment = owner.name.strip_suffix(template_hash).and_then(|name| name.strip_suffix('-'));
    match deployment {
        Some(name) if kind == WorkloadKind::ReplicaSet && !template_hash.is_empty() => {
            Some(Workload { kind: WorkloadKind::Deployment, name: name.to_owned() })
        }
        _ => Some(Workload { kind, name: owner.name.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, name: &str, hash: &str, expected: &str) {
        let owner =
            OwnerReference { kind: kind.into(), name: name.into(), ..OwnerReference::default() };
        let found = workload(&owner, hash);
        let found = found.map(|it| format!("{}={}", it.kind.attribute(), it.name));
        assert_eq!(found.unwrap_or_default(), expected);
    }

    #[test]
    fn the_owner_names_the_workload() {
        check("ReplicaSet", "cart-7d4b9", "7d4b9", "k8s.deployment.name=cart");
        check("ReplicaSet", "cart-7d4b9", "", "k8s.replicaset.name=cart-7d4b9");
        check("ReplicaSet", "cart", "7d4b9", "k8s.replicaset.name=cart");
        check("DaemonSet", "node-agent", "", "k8s.daemonset.name=node-agent");
        check("Job", "report-28391", "", "k8s.job.name=report-28391");
        check("Node", "kind", "", "");
    }
}
