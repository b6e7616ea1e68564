//! The gateways of a fleet.

use super::template::{self, Template};
use super::{GATEWAY, Source, dynamic, gateway_name, gateway_pod, metadata, selector};
use crate::problem::Problem;
use crate::scale::Scale;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::DynamicObject;

const TEMPLATE: Template =
    Template { app: GATEWAY, container: "gateway", patch: "spec.gateway.podTemplatePatch" };
/// A new gateway takes over its part of the traces before the next old one ends.
const MIN_READY_S: i32 = 10;

pub(super) fn deployment(source: &Source<'_>, scale: &Scale) -> Result<DynamicObject, Problem> {
    let deployment = Deployment {
        metadata: metadata(source, GATEWAY, gateway_name(source.name)),
        spec: Some(DeploymentSpec {
            replicas: i32::try_from(scale.replicas).ok(),
            selector: LabelSelector {
                match_labels: Some(selector(source, GATEWAY)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            min_ready_seconds: Some(MIN_READY_S),
            revision_history_limit: Some(3),
            template: template::template(source, &TEMPLATE, gateway_pod::spec(source)),
            ..DeploymentSpec::default()
        }),
        status: None,
    };
    let mut object = dynamic(&deployment);
    if let Some(changes) = &source.collector.spec.gateway().pod_template_patch {
        template::change(source, &TEMPLATE, &mut object, changes)?;
    }
    Ok(object)
}
