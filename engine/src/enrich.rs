//! What is stamped on a resource, and what its sender may not say about itself.

use crate::config::{Cluster, Enrich, EnrichKubernetes};
use crate::sender::{Pod, Sender, WorkloadKind};
use sluice_wire::ResourceEdit;

/// Set to `unknown` on what came from a sender that could not be identified.
pub const SENDER: &str = "sluice.sender";

/// Whatever a sender says under these keys is removed; what is proven is stamped instead.
pub const PROVEN_ONLY: [&str; 16] = [
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.pod.ip",
    "k8s.pod.hostname",
    "k8s.pod.start_time",
    "k8s.node.name",
    "k8s.node.uid",
    "k8s.cluster.name",
    "k8s.cluster.uid",
    "k8s.deployment.uid",
    "k8s.replicaset.uid",
    "k8s.statefulset.uid",
    "k8s.daemonset.uid",
    "k8s.job.uid",
    SENDER,
];

/// Beginnings of keys of which the same holds.
pub const PROVEN_PREFIXES: [&str; 6] = [
    "k8s.pod.label.",
    "k8s.pod.annotation.",
    "k8s.namespace.label.",
    "k8s.namespace.annotation.",
    "k8s.node.label.",
    "k8s.node.annotation.",
];

/// `None` when nothing of the resource changes.
pub fn edit(cluster: &Cluster, enrich: &Enrich, sender: &Sender) -> Option<ResourceEdit> {
    let mut set: Vec<(String, &str)> = Vec::new();
    let enriched = enrich.kubernetes != EnrichKubernetes::Disabled;
    if enriched {
        stamp_cluster(cluster, &mut set);
    }
    match sender {
        Sender::Pod(pod) if enriched => stamp_pod(pod, enrich, &mut set),
        Sender::Unknown => set.push((SENDER.to_owned(), "unknown")),
        Sender::Pod(_) | Sender::Claimed => (),
    }
    for (key, value) in &enrich.resource_attributes {
        set.push((key.clone(), value));
    }
    let removed = removed(sender);
    if set.is_empty() && removed.is_empty() {
        return None;
    }
    let set: Vec<(&str, &str)> = set.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let removed: Vec<&str> = removed.iter().map(String::as_str).collect();
    let edit = ResourceEdit::new(&set, &removed);
    Some(match sender {
        Sender::Claimed => edit,
        Sender::Pod(_) | Sender::Unknown => edit.without_prefixes(&PROVEN_PREFIXES),
    })
}

/// Whether what a sender says under this key counts for nothing.
pub fn is_reserved(key: &[u8]) -> bool {
    PROVEN_ONLY.iter().any(|own| own.as_bytes() == key)
        || WorkloadKind::ALL.iter().any(|kind| kind.attribute().as_bytes() == key)
        || PROVEN_PREFIXES.iter().any(|prefix| key.starts_with(prefix.as_bytes()))
}

/// What is stamped on every resource of a sender under this key, whatever the pipeline.
pub fn proven(cluster: &Cluster, sender: &Sender, key: &str) -> Option<String> {
    let mut set = Vec::new();
    stamp_cluster(cluster, &mut set);
    if let Sender::Pod(pod) = sender {
        stamp_pod_itself(pod, &mut set);
    }
    set.into_iter().find(|(own, _)| own == key).map(|(_, value)| value.to_owned())
}

fn stamp_cluster<'a>(cluster: &'a Cluster, set: &mut Vec<(String, &'a str)>) {
    let known = [
        ("k8s.cluster.name", &cluster.name),
        ("k8s.cluster.uid", &cluster.uid),
        ("deployment.environment.name", &cluster.environment),
    ];
    for (key, value) in known {
        if !value.is_empty() {
            set.push((key.to_owned(), value));
        }
    }
}

fn stamp_pod<'a>(pod: &'a Pod, enrich: &'a Enrich, set: &mut Vec<(String, &'a str)>) {
    stamp_pod_itself(pod, set);
    if enrich.kubernetes == EnrichKubernetes::Full {
        for key in &enrich.pod_labels {
            if let Some(value) = pod.labels.get(key) {
                set.push((pod_label(key), value));
            }
        }
    }
}

fn stamp_pod_itself<'a>(pod: &'a Pod, set: &mut Vec<(String, &'a str)>) {
    set.push(("k8s.namespace.name".to_owned(), &pod.namespace));
    set.push(("k8s.pod.name".to_owned(), &pod.name));
    set.push(("k8s.pod.uid".to_owned(), &pod.uid));
    set.push(("k8s.node.name".to_owned(), &pod.node));
    if let Some(workload) = &pod.workload {
        set.push((workload.kind.attribute().to_owned(), &workload.name));
    }
    if let [only] = pod.containers.as_slice() {
        set.push(("k8s.container.name".to_owned(), only));
    }
}

/// In local mode nothing can be proven, so nothing is taken away.
fn removed(sender: &Sender) -> Vec<String> {
    if *sender == Sender::Claimed {
        return Vec::new();
    }
    let workloads = WorkloadKind::ALL.iter().map(|kind| kind.attribute());
    let fixed = PROVEN_ONLY.iter().copied().chain(workloads).map(str::to_owned);
    fixed.collect()
}

fn pod_label(key: &str) -> String {
    format!("k8s.pod.label.{key}")
}
