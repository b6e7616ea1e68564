//! The gateways of a fleet, as the cluster would run them and as they would report.

use serde_json::{Value, json};
use sluice_plan::report::{Adoption, AgentState, Load, MemoryPressure, Role};
use sluice_plan::{
    DeploymentState, Fleet, GatewayPod, GatewayPodState, Plan, UnreadyPod, UnreadyReason,
};

/// What a plan's children make of the gateways of a fleet: pods come and go by [`put`] only.
pub(super) fn apply(fleet: &mut Fleet, name: &str, plan: &Plan) {
    let own = plan.children.iter().filter(|child| child.fleet == name);
    let objects = own.map(|child| serde_json::to_value(&child.object).unwrap());
    let deployment = objects.into_iter().find(|object| object["kind"] == "Deployment");
    let Some(deployment) = deployment else {
        fleet.deployment = None;
        fleet.gateways.clear();
        return;
    };
    let set = fleet.deployment.get_or_insert_default();
    set.replicas = i32::try_from(deployment["spec"]["replicas"].as_i64().unwrap()).unwrap();
    for cost in plan.deletion_costs.iter().filter(|cost| cost.fleet == name) {
        fleet.gateways.get_mut(&cost.pod).unwrap().deletion_cost = cost.cost;
    }
}

/// `gateways`: by pod, its state (`Ready`, `Ending`, or why it is not ready), or its load, when it is
/// ready: `{memory, cpu, queue}` in percent. By default as many as are wanted, ready and idle.
pub(super) fn put(fleet: &mut Fleet, doc: &Value, hash: Option<&str>, now: jiff::Timestamp) {
    let wanted = fleet.gateway_memory.as_ref().map_or(0, |memory| memory.scale.replicas);
    let pods = doc["gateways"]
        .as_object()
        .cloned()
        .unwrap_or_else(|| (0..wanted).map(|i| (format!("gateway-{i}"), json!({}))).collect());
    fleet.gateways.retain(|name, _| pods.contains_key(name));
    for (at, (name, said)) in pods.iter().enumerate() {
        let state = match said.as_str() {
            None | Some("Ready") => GatewayPodState::Ready,
            Some("Ending") => GatewayPodState::Ending,
            Some(reason) => {
                let reason = UnreadyReason::from_kubernetes(reason);
                GatewayPodState::Unready(UnreadyPod { reason, since: now })
            }
        };
        let before = fleet.gateways.get(name);
        let state = match (before.map(|pod| &pod.state), state) {
            (Some(GatewayPodState::Unready(old)), GatewayPodState::Unready(_)) => {
                GatewayPodState::Unready(old.clone())
            }
            (_, state) => state,
        };
        if state == GatewayPodState::Ready {
            fleet.report.agents.insert(name.clone(), reporting(said, hash, at, now));
        }
        let deletion_cost = before.map_or(0, |pod| pod.deletion_cost);
        let ip = format!("10.0.0.{}", at + 1);
        let pod = GatewayPod { state, ip, deletion_cost };
        fleet.gateways.insert(name.clone(), pod);
    }
    let ready = fleet.gateways.values().filter(|pod| pod.state == GatewayPodState::Ready).count();
    let ready = i32::try_from(ready).unwrap();
    if let Some(set) = &mut fleet.deployment {
        *set = DeploymentState { updated: ready, ready, ..*set };
    }
}

fn reporting(said: &Value, hash: Option<&str>, at: usize, now: jiff::Timestamp) -> AgentState {
    let percent = |field: &str| u32::try_from(said[field].as_u64().unwrap_or_default()).unwrap();
    AgentState {
        role: Role::Gateway,
        node: format!("node-{at}"),
        version: "0.1.0".to_owned(),
        config_hash: hash.unwrap_or_default().to_owned(),
        adoption: Adoption::Applied,
        adoption_error: String::new(),
        memory: MemoryPressure::Normal,
        unknown_peers: 0,
        load: Some(Load {
            memory_percent: percent("memory"),
            cpu_percent: percent("cpu"),
            queue_percent: percent("queue"),
        }),
        seen: now,
    }
}
