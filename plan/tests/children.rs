//! What is rendered for a Collector.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod world;

use serde_json::{Value, json};
use sluice_plan::{Settings, rbac};
use world::World;

fn rendered(spec: &Value) -> (World, Vec<Value>) {
    let mut world = World::new();
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": spec}));
    let plan = world.lap();
    let objects = plan.children.iter().map(|c| serde_json::to_value(&c.object).unwrap()).collect();
    (world, objects)
}

fn daemon_set(spec: &Value) -> Value {
    let (_, objects) = rendered(spec);
    objects.into_iter().find(|object| object["kind"] == "DaemonSet").unwrap()
}

#[test]
fn every_child_belongs_to_its_collector() {
    for object in rendered(&json!({})).1 {
        let metadata = &object["metadata"];
        assert_eq!(metadata["namespace"], "sluice-system");
        assert_eq!(metadata["labels"]["sluice.dev/collector"], "default");
        assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "sluice");
        let owner = &metadata["ownerReferences"][0];
        assert_eq!(owner["kind"], "Collector");
        assert_eq!(owner["uid"], "uid-Collector-default");
        assert_eq!(owner["controller"], true);
    }
}

#[test]
fn the_agent_has_no_privilege() {
    let set = daemon_set(&json!({}));
    let pod = &set["spec"]["template"]["spec"];
    let security = &pod["securityContext"];
    assert_eq!(security["runAsUser"], 65532);
    assert_eq!(security["runAsGroup"], 0);
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    for container in [&pod["containers"][0], &pod["initContainers"][0]] {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(security["privileged"], Value::Null);
    }
    assert_eq!(pod["initContainers"][0]["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["hostNetwork"], Value::Null);
}

#[test]
fn the_agent_writes_one_folder_of_its_node_and_reads_another() {
    let set = daemon_set(&json!({}));
    let pod = &set["spec"]["template"]["spec"];
    let paths: Vec<_> = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| Some((volume["name"].as_str()?, volume["hostPath"]["path"].as_str()?)))
        .collect();
    assert_eq!(paths, [("state", "/var/lib/sluice"), ("pod-logs", "/var/log/pods")]);
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let logs = mounts.iter().find(|mount| mount["name"] == "pod-logs").unwrap();
    assert_eq!(logs["readOnly"], true);
}

#[test]
fn an_empty_dir_needs_no_preparation() {
    let set = daemon_set(&json!({"agent": {"storage": {"type": "EmptyDir", "maxSize": "1Gi"}}}));
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["initContainers"], Value::Null);
    assert_eq!(pod["volumes"][0], json!({"name": "state", "emptyDir": {"sizeLimit": "1Gi"}}));
}

#[test]
fn tokens_are_good_for_the_operator_alone() {
    let set = daemon_set(&json!({}));
    let volumes = set["spec"]["template"]["spec"]["volumes"].as_array().unwrap().clone();
    let token = volumes.iter().find(|volume| volume["name"] == "operator-token").unwrap();
    let source = &token["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(source["audience"], "sluice-operator");
}

#[test]
fn nodes_keep_their_endpoint_during_a_rollout() {
    let update = daemon_set(&json!({}))["spec"]["updateStrategy"]["rollingUpdate"].clone();
    assert_eq!(update, json!({"maxSurge": 1, "maxUnavailable": 0}));
    let (_, objects) = rendered(&json!({}));
    let service = objects.iter().find(|object| object["kind"] == "Service").unwrap();
    assert_eq!(service["spec"]["internalTrafficPolicy"], "Local");
    let ports = service["spec"]["ports"].as_array().unwrap();
    let ports: Vec<_> = ports.iter().map(|port| (&port["name"], &port["port"])).collect();
    assert_eq!(ports, [(&json!("otlp-grpc"), &json!(4317)), (&json!("otlp-http"), &json!(4318))]);
}

#[test]
fn agents_tell_rates_only_where_the_collector_says_so() {
    let asked = |spec: Value| {
        let (_, objects) = rendered(&spec);
        let find = |kind| objects.iter().find(|object| object["kind"] == kind).unwrap();
        let container = &find("DaemonSet")["spec"]["template"]["spec"]["containers"][0];
        let of = |ports: &Value, key| {
            let ports = ports.as_array().unwrap().iter();
            let asked = ports.filter(|port| port["name"].as_str().unwrap().starts_with("jaeger-"));
            asked.map(|port| port[key].as_u64().unwrap()).collect::<Vec<_>>()
        };
        let service = of(&find("Service")["spec"]["ports"], "port");
        assert_eq!(of(&container["ports"], "containerPort"), service);
        service
    };
    assert_eq!(asked(json!({})), Vec::<u64>::new());
    let sampling = json!({"enabled": true, "httpPort": 5779});
    assert_eq!(asked(json!({"receivers": {"jaegerRemoteSampling": sampling}})), [14250, 5779]);
    let sampling = json!({"httpPort": 5779});
    let unasked = asked(json!({"receivers": {"jaegerRemoteSampling": sampling}}));
    assert_eq!(unasked, Vec::<u64>::new());
}

#[test]
fn a_patch_changes_the_pod_but_not_whose_it_is() {
    let set = daemon_set(&json!({"agent": {"podTemplatePatch": {
        "metadata": {"labels": {"team": "obs", "sluice.dev/collector": "other"}},
        "spec": {
            "priorityClassName": "system-node-critical",
            "containers": [{"name": "agent", "env": [{"name": "A", "value": "1"}]}],
        },
    }}}));
    let template = &set["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], "obs");
    assert_eq!(template["metadata"]["labels"]["sluice.dev/collector"], "default");
    assert_eq!(template["spec"]["priorityClassName"], "system-node-critical");
    let agent = &template["spec"]["containers"][0];
    assert_eq!(agent["image"], "example/sluice:0.1.0");
    assert!(agent["env"].as_array().unwrap().contains(&json!({"name": "A", "value": "1"})));
}

#[test]
fn the_mounted_config_is_rewritten_rarely_and_the_newest_at_once() {
    let (mut world, _) = rendered(&json!({}));
    let hash = |world: &World, name: &str| {
        let map = &world.observed.fleets["default"].config_maps[name];
        map.metadata.annotations.as_ref().unwrap()["sluice.dev/config-hash"].clone()
    };
    let first = hash(&world, "sluice-agent-boot-0");
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"},
        "spec": {"clusterName": "b"}}));
    world.wait(60);
    world.lap();
    assert_eq!(hash(&world, "sluice-agent-boot-0"), first);
    assert_ne!(hash(&world, "sluice-agent-config-0"), first);
    world.wait(540);
    world.lap();
    assert_ne!(hash(&world, "sluice-agent-boot-0"), first);
}

#[test]
fn a_new_leader_finds_the_last_good_version_in_the_config_maps() {
    let (mut world, _) = rendered(&json!({}));
    let metadata = json!({"name": "shop", "namespace": "shop"});
    let pipeline = |to: &str| {
        let refs = json!({"destinationRefs": [{"name": to}]});
        json!({"kind": "TelemetryPipeline", "metadata": metadata, "spec": {"logs": refs}})
    };
    world.put(&json!({"kind": "Destination", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"type": "Debug", "debug": {}}}));
    world.put(&pipeline("a"));
    world.lap();
    let fleet = world.observed.fleets.get_mut("default").unwrap();
    fleet.last_good = None;
    fleet.configs.clear();
    world.put(&pipeline("absent"));
    let plan = world.lap();
    let kept = &plan.fleets["default"].config.pipelines["shop/shop"];
    assert_eq!((kept.generation, kept.logs.as_slice()), (1, ["shop/a".to_owned()].as_slice()));
}

#[test]
fn a_stored_config_that_was_edited_by_hand_is_not_believed() {
    let (mut world, _) = rendered(&json!({}));
    let fleet = world.observed.fleets.get_mut("default").unwrap();
    for map in fleet.config_maps.values_mut() {
        for data in map.binary_data.as_mut().unwrap().values_mut() {
            data.0.reverse();
        }
    }
    fleet.last_good = None;
    let edited = fleet.config_maps.clone();
    let plan = world.lap();
    assert_eq!(plan.fleets.len(), 1);
    assert_ne!(world.observed.fleets["default"].config_maps, edited);
}

#[test]
fn agents_may_read_exactly_the_secrets_that_are_named() {
    let mut world = World::new();
    world.put(&json!({"kind": "Destination", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"type": "OTLP", "otlp": {"endpoint": "a:1"},
            "tls": {"mode": "Verify", "caSecretRef": {"name": "ca", "key": "ca.crt"}},
            "auth": {"type": "Basic", "secretRef": {"name": "user"}}}}));
    world.put(&json!({"kind": "Destination", "metadata": {"name": "b", "namespace": "pay"},
        "spec": {"type": "Debug", "debug": {}}}));
    let settings = Settings::new("sluice-system", "0.1.0", "sluice");
    let objects = rbac(&world.observed.destinations, &settings);
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Role", "RoleBinding"]);
    assert_eq!(objects[0]["metadata"]["namespace"], "shop");
    assert_eq!(
        objects[0]["rules"],
        json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["ca", "user"],
            "verbs": ["get"]}])
    );
    assert_eq!(objects[1]["subjects"][0]["namespace"], "sluice-system");
}
