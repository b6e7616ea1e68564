//! What the pods of agents and gateways have in common: unprivileged and read-only, started from the
//! boot-strap, known to the operator and to gateways by a token each.

use super::{Source, boot_strap, image};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, ConfigMapVolumeSource, Container, ContainerPort,
    EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction, KeyToPath, LocalObjectReference,
    ObjectFieldSelector, PodSecurityContext, PodSpec, Probe, ProjectedVolumeSource,
    ResourceRequirements, SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sluice_crds::Size;
use sluice_crds::collector::Resources;
use std::collections::BTreeMap;

pub(super) const BINARY: &str = "/usr/bin/sluice-agent";
pub(super) const STATE: &str = "/var/lib/sluice";
const USER: i64 = 65532;
const BOOT_STRAP: &str = "/etc/sluice/boot-strap";
const OPERATOR_CA: &str = "/etc/sluice/operator-ca";
const OPERATOR_TOKEN: &str = "/var/run/secrets/sluice.dev/operator";
const GATEWAY_TOKEN: &str = "/var/run/secrets/sluice.dev/gateway";

/// Without containers and volumes.
pub(super) fn base(source: &Source<'_>, account: &str, group: i64) -> PodSpec {
    let image = source.collector.spec.image();
    let secrets = image.pull_secrets.iter();
    let secrets: Vec<_> = secrets.map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodSpec {
        service_account_name: Some(account.into()),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        node_selector: Some(BTreeMap::from([("kubernetes.io/os".into(), "linux".into())])),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(USER),
            run_as_group: Some(group),
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// Any container of our image.
pub(super) fn program(source: &Source<'_>) -> Container {
    let image = source.collector.spec.image();
    Container {
        image: Some(image::reference(&image, source.settings)),
        image_pull_policy: Some(image.pull_policy.as_str().into()),
        command: Some(vec![BINARY.into()]),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        security_context: Some(confined()),
        ..Container::default()
    }
}

/// A container that collects.
pub(super) fn collector(source: &Source<'_>, name: &str, resources: &Resources) -> Container {
    let quantities = |map: &BTreeMap<String, sluice_crds::Quantity>| {
        map.iter().map(|(name, quantity)| (name.clone(), quantity.into())).collect()
    };
    Container {
        name: name.into(),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&resources.requests)),
            limits: Some(quantities(&resources.limits)),
            claims: None,
        }),
        startup_probe: Some(probe("/healthz", 1, 60)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        ..program(source)
    }
}

/// Two fleets may share a node's folder: each has its own below it.
pub(super) fn arguments(source: &Source<'_>) -> Vec<String> {
    let (name, namespace) = (source.name, &source.settings.system_namespace);
    let metrics_port = source.collector.spec.metrics().port;
    vec![
        format!("--fleet={name}"),
        format!("--data-folder={STATE}/{name}"),
        format!("--boot-strap={BOOT_STRAP}"),
        format!("--operator=sluice-operator.{namespace}.svc:9443"),
        format!("--operator-ca={OPERATOR_CA}/ca.crt"),
        format!("--operator-token={OPERATOR_TOKEN}/token"),
        format!("--gateway-token={GATEWAY_TOKEN}/token"),
        format!("--metrics-port={metrics_port}"),
    ]
}

/// An environment variable that holds a field of the pod.
pub(super) fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.into(), api_version: None }),
            ..EnvVarSource::default()
        }),
    }
}

pub(super) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        ..SecurityContext::default()
    }
}

pub(super) fn port(name: &str, number: i32) -> ContainerPort {
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

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// What [`arguments`] speak of; the state folder is a volume of its own kind.
pub(super) fn mounts() -> Vec<VolumeMount> {
    vec![
        mount("state", STATE, false),
        mount("boot-strap", BOOT_STRAP, true),
        mount("operator-ca", OPERATOR_CA, true),
        mount("operator-token", OPERATOR_TOKEN, true),
        mount("gateway-token", GATEWAY_TOKEN, true),
    ]
}

pub(super) fn volumes(source: &Source<'_>) -> Vec<Volume> {
    let boot_strap = (0..boot_strap::PARTS_MAX).map(|part| boot_strap_part(source, part));
    vec![
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
        volume("operator-token", token("sluice-operator")),
        volume("gateway-token", token("sluice-gateway")),
    ]
}

pub(super) fn volume(name: &str, volume: Volume) -> Volume {
    Volume { name: name.into(), ..volume }
}

pub(super) fn empty_dir(size_max: Size) -> Volume {
    Volume {
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(size_max.to_string())),
            medium: None,
        }),
        ..Volume::default()
    }
}

/// Good for those alone who ask for this audience.
fn token(audience: &str) -> Volume {
    projected(vec![VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some(audience.into()),
            expiration_seconds: Some(3600),
            path: "token".into(),
        }),
        ..VolumeProjection::default()
    }])
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
