//! What is rendered for the gateways of a Collector, and what survives a change of leaders.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod world;

use serde_json::{Value, json};
use sluice_plan::{DeletionCost, Plan, Settings, rbac};
use world::{World, summary};

fn policy() -> Value {
    json!({"kind": "SamplingPolicy", "metadata": {"name": "errors", "namespace": "shop"},
        "spec": {"keep": [{"name": "e", "match": {"status": "Error"}, "atLeastPercent": 100}]}})
}

/// A fleet with a pipeline and a policy.
fn world(gateway: &Value) -> World {
    let mut world = World::new();
    let metadata = json!({"name": "shop", "namespace": "shop"});
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"},
        "spec": {"gateway": gateway}}));
    world.put(&json!({"kind": "Destination", "metadata": metadata,
        "spec": {"type": "Debug", "debug": {}}}));
    world.put(&json!({"kind": "TelemetryPipeline", "metadata": metadata,
        "spec": {"traces": {"destinationRefs": [{"name": "shop"}]}}}));
    world.put(&policy());
    world
}

/// Two gateways, of which one would do since now.
fn idle_world() -> World {
    let mut world = world(&json!({}));
    world.lap();
    world.put(&gateways(&json!({"a": {}, "b": {}})));
    world.lap();
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"},
        "spec": {"gateway": {"autoscaling": {"minReplicas": 1}}}}));
    world.lap();
    world
}

fn gateways(changes: &Value) -> Value {
    json!({"kind": "Fleet", "metadata": {"name": "default"}, "nodes": 1, "adopted": 1,
        "gateways": changes})
}

fn objects(plan: &Plan) -> Vec<Value> {
    let objects = plan.children.iter().map(|child| serde_json::to_value(&child.object).unwrap());
    objects
        .filter(|o| o["metadata"]["labels"]["app.kubernetes.io/name"] == "sluice-gateway")
        .collect()
}

fn rendered(gateway: &Value, kind: &str) -> Value {
    let objects = objects(&world(gateway).lap());
    objects.into_iter().find(|object| object["kind"] == kind).unwrap()
}

#[test]
fn gateways_exist_only_when_something_needs_them() {
    let names = |gateway: Value, with_policy: bool| {
        let mut world = world(&gateway);
        if !with_policy {
            world.observed.policies.clear();
        }
        let plan = world.lap();
        let config = &plan.fleets["default"].config;
        (objects(&plan).len(), config.gateway.needed, config.sampling.is_empty())
    };
    assert_eq!(names(json!({}), false), (0, false, true));
    assert_eq!(names(json!({}), true), (4, true, false));
    assert_eq!(names(json!({"mode": "Always"}), false), (4, false, true));
    assert_eq!(names(json!({"mode": "Always"}), true), (4, true, false));
    assert_eq!(names(json!({"mode": "Never"}), true), (0, false, true));
}

#[test]
fn without_policies_a_config_has_the_bytes_that_it_always_had() {
    let mut world = world(&json!({}));
    world.observed.policies.clear();
    let plan = world.lap();
    let text = String::from_utf8(plan.fleets["default"].bytes.to_vec()).unwrap();
    assert!(!text.contains("gateway") && !text.contains("sampling"), "{text}");
}

#[test]
fn the_gateway_satisfies_the_restricted_profile() {
    let deployment = rendered(&json!({}), "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let security = &pod["securityContext"];
    assert_eq!(security["runAsUser"], 65532);
    assert_eq!(security["runAsGroup"], 65532);
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["initContainers"], Value::Null);
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
    for volume in pod["volumes"].as_array().unwrap() {
        assert_eq!(volume["hostPath"], Value::Null);
        assert_eq!(volume["secret"], Value::Null);
    }
    for field in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
        assert_eq!(pod[field], Value::Null);
    }
}

#[test]
fn the_gateway_is_told_who_it_is_and_whom_to_ask() {
    let deployment = rendered(&json!({}), "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "sluice-gateway");
    let gateway = &pod["containers"][0];
    assert_eq!(
        gateway["args"],
        json!([
            "run",
            "--role=gateway",
            "--fleet=default",
            "--data-folder=/var/lib/sluice/default",
            "--boot-strap=/etc/sluice/boot-strap",
            "--operator=sluice-operator.sluice-system.svc:9443",
            "--operator-ca=/etc/sluice/operator-ca/ca.crt",
            "--operator-token=/var/run/secrets/sluice.dev/operator/token",
            "--gateway-token=/var/run/secrets/sluice.dev/gateway/token",
            "--metrics-port=8888",
            "--peer=system:serviceaccount:sluice-system:sluice-agent",
            "--peer=system:serviceaccount:sluice-system:sluice-gateway",
            "--shutdown-seconds=55",
        ])
    );
    assert_eq!(pod["terminationGracePeriodSeconds"], 60);
    assert_eq!(gateway["readinessProbe"]["httpGet"]["path"], "/readyz");
    let ports: Vec<_> = gateway["ports"].as_array().unwrap().iter().collect();
    let ports: Vec<_> = ports.iter().map(|p| (&p["name"], &p["containerPort"])).collect();
    assert_eq!(ports, [(&json!("forward"), &json!(4319)), (&json!("metrics"), &json!(8888))]);
    let names = |list: &Value| {
        let list = list.as_array().unwrap();
        list.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&gateway["env"]), ["NODE_NAME", "POD_NAME", "POD_IP"]);
    let volumes = ["state", "boot-strap", "operator-ca", "operator-token", "gateway-token"];
    assert_eq!(names(&pod["volumes"]), volumes);
    assert_eq!(names(&gateway["volumeMounts"]), volumes);
    for (at, audience) in [(3, "sluice-operator"), (4, "sluice-gateway")] {
        let token = &pod["volumes"][at]["projected"]["sources"][0]["serviceAccountToken"];
        assert_eq!(token["audience"], audience);
    }
}

#[test]
fn an_agent_has_a_token_for_gateways_before_there_are_any() {
    let mut world = World::new();
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": {}}));
    let plan = world.lap();
    let objects = plan.children.iter().map(|child| serde_json::to_value(&child.object).unwrap());
    let set = objects.into_iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    let pod = &set["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "gateway-token").unwrap();
    let source = &token["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(source["audience"], "sluice-gateway");
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "gateway-token").unwrap();
    assert_eq!(mount["mountPath"], "/var/run/secrets/sluice.dev/gateway");
}

#[test]
fn a_rollout_starts_one_more_before_it_stops_one() {
    let deployment = rendered(&json!({}), "Deployment");
    assert_eq!(
        deployment["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
    assert_eq!(deployment["spec"]["replicas"], 2);
    let timeout = json!({"traceRouting": {"handoff": {"timeout": "5m"}}});
    let patient = rendered(&timeout, "Deployment");
    assert_eq!(patient["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 330);
}

#[test]
fn gateways_are_spread_unless_told_otherwise() {
    let of = |gateway| {
        let deployment = rendered(&gateway, "Deployment");
        deployment["spec"]["template"]["spec"]["topologySpreadConstraints"].clone()
    };
    assert_eq!(of(json!({"topologySpread": false})), Value::Null);
    let spread = of(json!({}));
    let keys: Vec<_> = spread.as_array().unwrap().iter().map(|c| &c["topologyKey"]).collect();
    assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
    assert_eq!(spread[0]["whenUnsatisfiable"], "ScheduleAnyway");
}

#[test]
fn a_patch_changes_gateways_alone() {
    let patch = json!({"podTemplatePatch": {
        "metadata": {"labels": {"sluice.dev/collector": "other"}},
        "spec": {"priorityClassName": "system-cluster-critical"},
    }});
    let plan = world(&patch).lap();
    let objects = plan.children.iter().map(|child| serde_json::to_value(&child.object).unwrap());
    let templates = objects.filter(|object| object["spec"]["template"].is_object());
    let classes: Vec<_> = templates
        .map(|object| {
            let template = &object["spec"]["template"];
            assert_eq!(template["metadata"]["labels"]["sluice.dev/collector"], "default");
            template["spec"]["priorityClassName"].clone()
        })
        .collect();
    assert_eq!(classes, ["sluice-agent", "system-cluster-critical"]);
}

#[test]
fn pods_are_found_by_service_and_budget() {
    let deployment = rendered(&json!({}), "Deployment");
    let selector = deployment["spec"]["selector"]["matchLabels"].clone();
    assert_eq!(selector["app.kubernetes.io/name"], "sluice-gateway");
    let service = rendered(&json!({}), "Service");
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["selector"], selector);
    let budget =
        rendered(&json!({"disruptionBudget": {"maxUnavailable": 2}}), "PodDisruptionBudget");
    assert_eq!(budget["apiVersion"], "policy/v1");
    assert_eq!(budget["spec"]["maxUnavailable"], 2);
    assert_eq!(budget["spec"]["selector"]["matchLabels"], selector);
}

#[test]
fn a_new_leader_knows_the_ring_and_how_long_gateways_were_idle() {
    let mut world = idle_world();
    let memory = |world: &World| world.observed.fleets["default"].gateway_memory.clone();
    let before = memory(&world).unwrap();
    assert!(before.scale.below_since.is_some() && before.ring.is_some());
    let fleet = world.observed.fleets.get_mut("default").unwrap();
    fleet.gateway_memory = None;
    fleet.report.agents.clear();
    world.wait(1);
    world.lap();
    assert_eq!(memory(&world).unwrap(), before);
}

#[test]
fn a_ring_comes_after_every_ring_that_was_shown() {
    let mut world = world(&json!({}));
    world.lap();
    world.put(&gateways(&json!({"a": {}, "b": {}})));
    world.lap();
    let epoch = |world: &World| {
        let status = world.observed.collectors["default"].status.clone().unwrap();
        status.gateways.unwrap().ring_epoch
    };
    let first = epoch(&world);
    // They go and come back, within the same second.
    world.observed.policies.clear();
    world.lap();
    assert_eq!(epoch(&world), first);
    world.put(&policy());
    world.lap();
    world.put(&gateways(&json!({"a": {}, "b": {}})));
    world.lap();
    assert!(epoch(&world) > first);
}

#[test]
fn the_one_that_leaves_is_the_cheapest_until_it_stays_after_all() {
    let mut world = idle_world();
    world.wait(900);
    let cost = |cost| DeletionCost { fleet: "default".into(), pod: "b".into(), cost };
    assert_eq!(world.lap().deletion_costs, [cost(-1)]);
    assert_eq!(world.lap().deletion_costs, []);
    world.put(&gateways(&json!({"a": {"queue": 51}, "b": {}})));
    assert_eq!(world.lap().deletion_costs, [cost(0)]);
}

#[test]
fn while_a_collector_is_paused_only_the_ring_follows() {
    let mut world = world(&json!({}));
    world.lap();
    world.put(&gateways(&json!({"a": {}, "b": {}})));
    world.lap();
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"},
        "spec": {"managementState": "Paused"}}));
    world.wait(60);
    world.put(&gateways(&json!({"a": {"memory": 100}, "b": "CrashLoopBackOff"})));
    let plan = world.lap();
    assert_eq!(
        (plan.children.len(), plan.untouched.as_slice()),
        (0, ["default".to_owned()].as_slice())
    );
    let memory = plan.fleets["default"].gateways.as_deref().unwrap();
    assert_eq!(memory.scale.replicas, 2);
    assert_eq!(memory.ring.as_ref().unwrap().members().len(), 1);
}

/// Of the Collector: Ready with its reason, Reconciling, Stalled.
fn readiness(world: &World) -> (String, bool, bool) {
    let status = world.observed.collectors["default"].status.clone().unwrap();
    let (_, ready, reconciling, stalled) = summary(status.observed_generation, &status.conditions);
    (ready, reconciling, stalled)
}

#[test]
fn a_collector_is_ready_when_its_gateways_are_and_load_does_not_change_that() {
    let mut world = world(&json!({}));
    let mut lap = |gateways_there: Value| {
        world.put(&gateways(&gateways_there));
        world.wait(60);
        world.lap();
        readiness(&world)
    };
    let row = |ready: &str, reconciling, stalled| (ready.to_owned(), reconciling, stalled);
    lap(json!({}));
    assert_eq!(lap(json!({"a": {}})), row("False (Progressing)", true, false));
    assert_eq!(lap(json!({"a": {}, "b": {}})), row("True (Reconciled)", false, false));
    assert_eq!(lap(json!({"a": {"cpu": 99}, "b": {}})), row("True (Reconciled)", false, false));
}

#[test]
fn gateways_that_crash_past_the_deadline_are_stalled() {
    let mut world = world(&json!({}));
    let crash = gateways(&json!({"a": {}, "b": "CrashLoopBackOff"}));
    world.lap();
    world.put(&crash);
    world.lap();
    assert_eq!(readiness(&world).0, "False (Progressing)");
    world.wait(600);
    world.lap();
    assert_eq!(readiness(&world), ("False (ProgressDeadlineExceeded)".to_owned(), false, true));
}

#[test]
fn a_policy_is_not_programmed_while_no_gateway_runs() {
    let programmed = |gateways_there: Value| {
        let mut world = world(&json!({}));
        world.lap();
        world.put(&gateways(&gateways_there));
        world.lap();
        let policies = world.observed.policies.values();
        let conditions = policies.flat_map(|p| p.status.clone().unwrap_or_default().conditions);
        let programmed = conditions.into_iter().find(|c| c.type_ == "Programmed").unwrap();
        (programmed.status, programmed.reason)
    };
    let said = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(programmed(json!({})), said("False", "NoCollectors"));
    assert_eq!(programmed(json!({"a": {}})), said("True", "Programmed"));
}

#[test]
fn gateways_read_the_same_secrets_as_agents() {
    let mut world = World::new();
    world.put(&json!({"kind": "Destination", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"type": "OTLP", "otlp": {"endpoint": "a:1"},
            "auth": {"type": "Basic", "secretRef": {"name": "user"}}}}));
    let settings = Settings::new("sluice-system", "0.1.0", "sluice");
    let objects = rbac(&world.observed.destinations, &settings);
    let subjects = objects[1]["subjects"].as_array().unwrap();
    let names: Vec<_> = subjects.iter().map(|subject| &subject["name"]).collect();
    assert_eq!(names, ["sluice-agent", "sluice-gateway"]);
}
