//! The pod of an agent: with two folders of its node.

use super::pod::{self, STATE, confined, mount, port, volume};
use super::{AGENT, Source};
use k8s_openapi::api::core::v1::{
    Container, HostPathVolumeSource, PodSpec, ResourceRequirements, SecurityContext, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sluice_crds::collector::StorageType;

const POD_LOGS: &str = "/var/log/pods";
/// By group 0 the agent may read the logs of pods.
const GROUP: i64 = 0;
/// The agent sends what it holds before it ends.
const GRACE_S: i64 = 60;

pub(super) fn spec(source: &Source<'_>) -> PodSpec {
    let agent = source.collector.spec.agent();
    let mut node_selector = agent.node_selector.clone();
    node_selector.entry("kubernetes.io/os".into()).or_insert_with(|| "linux".into());
    let host_path = agent.storage().type_ == StorageType::HostPath;
    PodSpec {
        priority_class_name: Some(source.settings.priority_class.clone()).filter(|c| !c.is_empty()),
        termination_grace_period_seconds: Some(GRACE_S),
        node_selector: Some(node_selector),
        tolerations: Some(agent.tolerations.clone()),
        init_containers: host_path.then(|| vec![prepare_state(source)]),
        containers: vec![container(source)],
        volumes: Some(volumes(source)),
        ..pod::base(source, AGENT, GROUP)
    }
}

/// The kubelet makes the folder root's, 0755: this sets it to 0770 for group 0.
fn prepare_state(source: &Source<'_>) -> Container {
    Container {
        name: "prepare-state".into(),
        args: Some(vec!["prepare-state".into(), format!("--path={STATE}")]),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_non_root: Some(false),
            ..confined()
        }),
        resources: Some(resources(&[("cpu", "10m"), ("memory", "16Mi")], &[("memory", "64Mi")])),
        volume_mounts: Some(vec![mount("state", STATE, false)]),
        ..pod::program(source)
    }
}

fn container(source: &Source<'_>) -> Container {
    let spec = &source.collector.spec;
    let mut arguments = vec!["run".to_owned(), format!("--pod-logs={POD_LOGS}")];
    arguments.extend(pod::arguments(source));
    let mut mounts = pod::mounts();
    mounts.push(mount("pod-logs", POD_LOGS, true));
    let mut ports = vec![
        port("otlp-grpc", spec.grpc().port),
        port("otlp-http", spec.http().port),
        port("metrics", spec.metrics().port),
    ];
    if let Some(asked) = spec.jaeger_remote_sampling() {
        ports.push(port("jaeger-grpc", asked.grpc_port));
        ports.push(port("jaeger-http", asked.http_port));
    }
    Container {
        args: Some(arguments),
        env: Some(vec![
            pod::field("NODE_NAME", "spec.nodeName"),
            pod::field("POD_IP", "status.podIP"),
        ]),
        ports: Some(ports),
        volume_mounts: Some(mounts),
        ..pod::collector(source, "agent", &spec.agent().resources)
    }
}

fn resources(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> ResourceRequirements {
    let map = |pairs: &[(&str, &str)]| {
        let pair = |(name, text): &(&str, &str)| ((*name).into(), Quantity((*text).into()));
        Some(pairs.iter().map(pair).collect())
    };
    ResourceRequirements { requests: map(requests), limits: map(limits), claims: None }
}

fn volumes(source: &Source<'_>) -> Vec<Volume> {
    let storage = source.collector.spec.agent().storage();
    let state = match storage.type_ {
        StorageType::HostPath => host_path(storage.path()),
        StorageType::EmptyDir => pod::empty_dir(storage.max_size()),
    };
    let mut volumes = vec![volume("state", state), volume("pod-logs", host_path(POD_LOGS))];
    volumes.extend(pod::volumes(source));
    volumes
}

fn host_path(path: &str) -> Volume {
    let type_ = Some("DirectoryOrCreate".into());
    Volume {
        host_path: Some(HostPathVolumeSource { path: path.into(), type_ }),
        ..Volume::default()
    }
}
