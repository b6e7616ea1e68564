//! The pod of an agent: unprivileged, read-only, with two folders of its node.

use super::{Source, boot_strap, image};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, ConfigMapVolumeSource, Container, ContainerPort,
    EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction, HostPathVolumeSource, KeyToPath,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, Probe,
    ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecurityContext,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sluice_crds::collector::StorageType;
use std::collections::BTreeMap;

const BINARY: &str = "/usr/bin/sluice-agent";
const USER: i64 = 65532;
const STATE: &str = "/var/lib/sluice";
const POD_LOGS: &str = "/var/log/pods";
const BOOT_STRAP: &str = "/etc/sluice/boot-strap";
const OPERATOR_CA: &str = "/etc/sluice/operator-ca";
const TOKEN: &str = "/var/run/secrets/sluice.dev/operator";
/// The agent sends what it holds before it ends.
const GRACE_S: i64 = 60;

pub(super) fn spec(source: &Source<'_>) -> PodSpec {
    let agent = source.collector.spec.agent();
    let image = source.collector.spec.image();
    let mut node_selector = agent.node_selector.clone();
    node_selector.entry("kubernetes.io/os".into()).or_insert_with(|| "linux".into());
    let secrets = image.pull_secrets.iter();
    let secrets: Vec<_> = secrets.map(|name| LocalObjectReference { name: name.clone() }).collect();
    let host_path = agent.storage().type_ == StorageType::HostPath;
    PodSpec {
        service_account_name: Some("sluice-agent".into()),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        priority_class_name: Some(source.settings.priority_class.clone()).filter(|c| !c.is_empty()),
        termination_grace_period_seconds: Some(GRACE_S),
        node_selector: Some(node_selector),
        tolerations: Some(agent.tolerations.clone()),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(USER),
            run_as_group: Some(0),
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        init_containers: host_path.then(|| vec![prepare_state(source)]),
        containers: vec![container(source)],
        volumes: Some(volumes(source)),
        ..PodSpec::default()
    }
}

/// The kubelet makes the folder root's, 0755: this sets it to 0770 for group 0.
fn prepare_state(source: &Source<'_>) -> Container {
    Container {
        name: "prepare-state".into(),
        command: Some(vec![BINARY.into()]),
        args: Some(vec!["prepare-state".into(), format!("--path={STATE}")]),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_non_root: Some(false),
            ..confined()
        }),
        resources: Some(resources(&[("cpu", "10m"), ("memory", "16Mi")], &[("memory", "64Mi")])),
        volume_mounts: Some(vec![mount("state", STATE, false)]),
        ..base(source)
    }
}

fn container(source: &Source<'_>) -> Container {
    let spec = &source.collector.spec;
    let wanted = spec.agent().resources;
    let quantities = |map: &BTreeMap<String, sluice_crds::Quantity>| {
        map.iter().map(|(name, quantity)| (name.clone(), quantity.into())).collect()
    };
    Container {
        name: "agent".into(),
        command: Some(vec![BINARY.into()]),
        args: Some(arguments(source)),
        env: Some(environment()),
        ports: Some(vec![
            port("otlp-grpc", spec.grpc().port),
            port("otlp-http", spec.http().port),
            port("metrics", spec.metrics().port),
        ]),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&wanted.requests)),
            limits: Some(quantities(&wanted.limits)),
            claims: None,
        }),
        startup_probe: Some(probe("/healthz", 1, 60)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        security_context: Some(confined()),
        volume_mounts: Some(vec![
            mount("state", STATE, false),
            mount("pod-logs", POD_LOGS, true),
            mount("boot-strap", BOOT_STRAP, true),
            mount("operator-ca", OPERATOR_CA, true),
            mount("operator-token", TOKEN, true),
        ]),
        ..base(source)
    }
}

fn base(source: &Source<'_>) -> Container {
    let image = source.collector.spec.image();
    Container {
        image: Some(image::reference(&image, source.settings)),
        image_pull_policy: Some(image.pull_policy.as_str().into()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// Two fleets may share a node's folder: each has its own below it.
fn arguments(source: &Source<'_>) -> Vec<String> {
    let (name, namespace) = (source.name, &source.settings.system_namespace);
    let metrics_port = source.collector.spec.metrics().port;
    vec![
        "run".into(),
        format!("--fleet={name}"),
        format!("--data-folder={STATE}/{name}"),
        format!("--pod-logs={POD_LOGS}"),
        format!("--boot-strap={BOOT_STRAP}"),
        format!("--operator=sluice-operator.{namespace}.svc:9443"),
        format!("--operator-ca={OPERATOR_CA}/ca.crt"),
        format!("--operator-token={TOKEN}/token"),
        format!("--metrics-port={metrics_port}"),
    ]
}

fn environment() -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.into(), api_version: None }),
            ..EnvVarSource::default()
        }),
    };
    vec![field("NODE_NAME", "spec.nodeName"), field("POD_IP", "status.podIP")]
}

fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        ..SecurityContext::default()
    }
}

fn resources(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> ResourceRequirements {
    let map = |pairs: &[(&str, &str)]| {
        let pair = |(name, text): &(&str, &str)| ((*name).into(), Quantity((*text).into()));
        Some(pairs.iter().map(pair).collect())
    };
    ResourceRequirements { requests: map(requests), limits: map(limits), claims: None }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_s: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("metrics".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_s),
        failure_threshold: Some(failures),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn volumes(source: &Source<'_>) -> Vec<Volume> {
    let boot_strap = (0..boot_strap::PARTS_MAX).map(|part| boot_strap_part(source, part));
    vec![
        state(source),
        volume(
            "pod-logs",
            Volume { host_path: host_path(POD_LOGS, "DirectoryOrCreate"), ..Volume::default() },
        ),
        volume("boot-strap", projected(boot_strap.collect())),
        volume(
            "operator-ca",
            Volume {
                config_map: Some(ConfigMapVolumeSource {
                    name: "sluice-operator-ca".into(),
                    optional: Some(true),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
        ),
        volume("operator-token", projected(vec![token()])),
    ]
}

fn volume(name: &str, volume: Volume) -> Volume {
    Volume { name: name.into(), ..volume }
}

fn state(source: &Source<'_>) -> Volume {
    let storage = source.collector.spec.agent().storage();
    let kind = match storage.type_ {
        StorageType::HostPath => Volume {
            host_path: host_path(storage.path(), "DirectoryOrCreate"),
            ..Volume::default()
        },
        StorageType::EmptyDir => Volume {
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity(storage.max_size().to_string())),
                medium: None,
            }),
            ..Volume::default()
        },
    };
    volume("state", kind)
}

fn host_path(path: &str, type_: &str) -> Option<HostPathVolumeSource> {
    Some(HostPathVolumeSource { path: path.into(), type_: Some(type_.into()) })
}

fn projected(sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: None }),
        ..Volume::default()
    }
}

fn boot_strap_part(source: &Source<'_>, part: usize) -> VolumeProjection {
    let key = boot_strap::key(part);
    VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: boot_strap::mounted_name(source.name, part),
            items: Some(vec![KeyToPath { path: key.clone(), key, mode: None }]),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    }
}

/// Good for the operator alone.
fn token() -> VolumeProjection {
    VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some("sluice-operator".into()),
            expiration_seconds: Some(3600),
            path: "token".into(),
        }),
        ..VolumeProjection::default()
    }
}
