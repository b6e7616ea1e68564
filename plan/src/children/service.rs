//! The address that applications send to: it leads to the agent of their own node.

use super::{Source, agent_name, metadata, selector};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(super) fn service(source: &Source<'_>) -> Service {
    let spec = &source.collector.spec;
    Service {
        metadata: metadata(source, agent_name(source.name)),
        spec: Some(ServiceSpec {
            selector: Some(selector(source)),
            internal_traffic_policy: Some("Local".into()),
            ports: Some(vec![
                port("otlp-grpc", spec.grpc().port, "kubernetes.io/h2c"),
                port("otlp-http", spec.http().port, "http"),
            ]),
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
