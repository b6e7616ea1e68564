//! The address that applications send to, which leads to the agent of their own node; and the one
//! under which all gateways of a fleet are found.

use super::{AGENT, GATEWAY, Source, agent_name, gateway_name, metadata, selector};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(super) fn service(source: &Source<'_>) -> Service {
    let spec = &source.collector.spec;
    let mut ports = vec![
        port("otlp-grpc", spec.grpc().port, "kubernetes.io/h2c"),
        port("otlp-http", spec.http().port, "http"),
    ];
    if let Some(asked) = spec.jaeger_remote_sampling() {
        ports.push(port("jaeger-grpc", asked.grpc_port, "kubernetes.io/h2c"));
        ports.push(port("jaeger-http", asked.http_port, "http"));
    }
    Service {
        metadata: metadata(source, AGENT, agent_name(source.name)),
        spec: Some(ServiceSpec {
            selector: Some(selector(source, AGENT)),
            internal_traffic_policy: Some("Local".into()),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Without an address of its own: each trace has a gateway, which agents know by the ring.
pub(super) fn headless(source: &Source<'_>) -> Service {
    let forward = i32::from(source.config.config.gateway.port);
    Service {
        metadata: metadata(source, GATEWAY, gateway_name(source.name)),
        spec: Some(ServiceSpec {
            selector: Some(selector(source, GATEWAY)),
            cluster_ip: Some("None".into()),
            ports: Some(vec![port("forward", forward, "https")]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(name: &str, port: i32, protocol: &str) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        app_protocol: Some(protocol.into()),
        node_port: None,
    }
}
