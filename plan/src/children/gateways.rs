//! What a fleet with gateways has besides the Deployment: the planner's memory of them, the Service
//! under which they are found, the bound on evictions. A fleet without gateways has none of it
//! (docs/decisions/0008).

use super::{GATEWAY, Source, deployment, dynamic, gateway_name, metadata, selector, service};
use crate::gateways::GatewayMemory;
use crate::observed::Fleet;
use crate::problem::Problem;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::DynamicObject;
use std::collections::BTreeMap;

const KEY: &str = "memory.json";

/// The memory first: what follows from it must not be forgotten.
pub(super) fn gateways(
    source: &Source<'_>,
    memory: &GatewayMemory,
) -> Result<Vec<DynamicObject>, Problem> {
    Ok(vec![
        dynamic(&config_map(source, memory)),
        dynamic(&service::headless(source)),
        dynamic(&disruption_budget(source)),
        deployment::deployment(source, &memory.scale)?,
    ])
}

fn memory_name(fleet: &str) -> String {
    format!("{}-memory", gateway_name(fleet))
}

fn config_map(source: &Source<'_>, memory: &GatewayMemory) -> ConfigMap {
    #[expect(clippy::expect_used, reason = "no map in it has keys that are no text")]
    let text = serde_json::to_string(memory).expect("the memory is plain data");
    ConfigMap {
        metadata: metadata(source, GATEWAY, memory_name(source.name)),
        data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// What the last leader knew. `None`: nothing, or it was edited by hand.
pub(crate) fn stored_memory(fleet: &Fleet, name: &str) -> Option<GatewayMemory> {
    let map = fleet.config_maps.get(&memory_name(name))?;
    serde_json::from_str(map.data.as_ref()?.get(KEY)?).ok()
}

fn disruption_budget(source: &Source<'_>) -> PodDisruptionBudget {
    let budget = source.collector.spec.gateway().disruption_budget();
    PodDisruptionBudget {
        metadata: metadata(source, GATEWAY, gateway_name(source.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(budget.max_unavailable)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(source, GATEWAY)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
