//! The pod of a gateway: satisfies Pod Security's profile *restricted*, and lives long enough after
//! it is told to end that its open traces have moved.

use super::pod::{self, port, volume};
use super::{AGENT, GATEWAY, Source, selector};
use k8s_openapi::api::core::v1::{Container, PodSpec, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sluice_crds::Size;

const GROUP: i64 = 65532;
/// The last good configuration, and what destinations of type File write.
const STATE_SIZE_MAX: Size = Size::from_mebibytes(2048);
/// After the hand-off, for sending what is decided.
const SEND_S: u64 = 30;
/// The gateway's own deadline is so much before the kubelet's.
const MARGIN_S: u64 = 5;

pub(super) fn spec(source: &Source<'_>) -> PodSpec {
    let gateway = source.collector.spec.gateway();
    let mut volumes = vec![volume("state", pod::empty_dir(STATE_SIZE_MAX))];
    volumes.extend(pod::volumes(source));
    PodSpec {
        termination_grace_period_seconds: i64::try_from(grace_s(source)).ok(),
        topology_spread_constraints: gateway.topology_spread.then(|| spread(source)),
        containers: vec![container(source)],
        volumes: Some(volumes),
        ..pod::base(source, GATEWAY, GROUP)
    }
}

fn grace_s(source: &Source<'_>) -> u64 {
    source.collector.spec.gateway().handoff().timeout.millis().div_ceil(1000) + SEND_S
}

fn container(source: &Source<'_>) -> Container {
    let spec = &source.collector.spec;
    let mut arguments = vec!["run".to_owned(), "--role=gateway".to_owned()];
    arguments.extend(pod::arguments(source));
    // Other gateways too: what comes by an old ring is passed on.
    let namespace = &source.settings.system_namespace;
    let peer = |account| format!("--peer=system:serviceaccount:{namespace}:{account}");
    arguments.extend([AGENT, GATEWAY].map(peer));
    arguments.push(format!("--shutdown-seconds={}", grace_s(source) - MARGIN_S));
    Container {
        args: Some(arguments),
        env: Some(vec![
            pod::field("NODE_NAME", "spec.nodeName"),
            pod::field("POD_NAME", "metadata.name"),
            pod::field("POD_IP", "status.podIP"),
        ]),
        ports: Some(vec![
            port("forward", i32::from(source.config.config.gateway.port)),
            port("metrics", spec.metrics().port),
        ]),
        volume_mounts: Some(pod::mounts()),
        ..pod::collector(source, "gateway", &spec.gateway().resources)
    }
}

/// Over zones and nodes, where there are any, each rollout for itself.
fn spread(source: &Source<'_>) -> Vec<TopologySpreadConstraint> {
    let keys = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"];
    let constraint = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(LabelSelector {
            match_labels: Some(selector(source, GATEWAY)),
            ..LabelSelector::default()
        }),
        match_label_keys: Some(vec!["pod-template-hash".into()]),
        ..TopologySpreadConstraint::default()
    };
    keys.map(constraint).into()
}
