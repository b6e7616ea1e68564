//! The agents of a fleet: one on each node.

use super::template::{self, Template};
use super::{AGENT, Source, agent_name, agent_pod, dynamic, metadata, selector};
use crate::problem::Problem;
use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::DynamicObject;

const TEMPLATE: Template =
    Template { app: AGENT, container: "agent", patch: "spec.agent.podTemplatePatch" };

pub(super) fn daemon_set(source: &Source<'_>) -> Result<DynamicObject, Problem> {
    let rollout = source.collector.spec.agent_rollout();
    let set = DaemonSet {
        metadata: metadata(source, AGENT, agent_name(source.name)),
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(selector(source, AGENT)),
                ..LabelSelector::default()
            },
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDaemonSet {
                    max_surge: Some(IntOrString::Int(rollout.max_surge)),
                    max_unavailable: Some(IntOrString::Int(rollout.max_unavailable)),
                }),
            }),
            template: template::template(source, &TEMPLATE, agent_pod::spec(source)),
            revision_history_limit: Some(3),
            min_ready_seconds: None,
        }),
        status: None,
    };
    let mut object = dynamic(&set);
    if let Some(patch) = &source.collector.spec.agent().pod_template_patch {
        template::change(source, &TEMPLATE, &mut object, patch)?;
    }
    Ok(object)
}
