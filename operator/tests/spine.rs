//! The loop ends where it should, whatever the API server does in between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod cluster;

use api::{Api, Fault};
use cluster::{Cluster, OURS, OWN, OWN_APPS, collector, pipeline, policy};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn cluster() -> Cluster {
    let api = Api::default();
    collector(&api, "default");
    pipeline(&api);
    policy(&api);
    Cluster::new(api)
}

/// Without what the API server itself writes, and without the authority, made anew in each test.
fn outcome(api: &Api) -> BTreeMap<String, Value> {
    let mut objects = api.objects("/");
    objects.retain(|path, _| !path.ends_with("/sluice-operator-ca"));
    for object in objects.values_mut() {
        object["metadata"]["resourceVersion"] = Value::Null;
    }
    objects
}

#[tokio::test(start_paused = true)]
async fn a_collector_gets_its_children_and_its_status() {
    let mut cluster = cluster();
    cluster.settle().await;
    let api = &cluster.api;
    assert!(api.get(&format!("{OWN_APPS}/daemonsets/sluice-agent")).is_some());
    assert!(api.get(&format!("{OWN}/services/sluice-agent")).is_some());
    assert!(api.get(&format!("{OWN}/configmaps/sluice-operator-ca")).is_some());
    let status = &api.get(&format!("{OURS}/collectors/default")).unwrap()["status"];
    assert_eq!(status["observedGeneration"], 1, "{status}");
    assert_eq!(cluster.assignments.borrow().keys().collect::<Vec<_>>(), ["default"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_gets_its_status_and_is_assigned() {
    let mut cluster = cluster();
    cluster.settle().await;
    let policy = cluster.api.get(&format!("{OURS}/namespaces/shop/samplingpolicies/web")).unwrap();
    let status = &policy["status"];
    assert_eq!(status["observedGeneration"], 1, "{status}");
    let conditions = status["conditions"].as_array().unwrap();
    let accepted = conditions.iter().find(|condition| condition["type"] == "Accepted").unwrap();
    assert_eq!(accepted["status"], "True", "{accepted}");
    let assigned = cluster.assignments.borrow()["default"].config.clone();
    let config = std::io::read_to_string(flate2::read::GzDecoder::new(&*assigned)).unwrap();
    assert!(config.contains("shop/web\":{") && config.contains("at_least_ppm"), "{config}");
}

#[tokio::test(start_paused = true)]
async fn what_stands_as_it_should_is_not_written_again() {
    let mut cluster = cluster();
    cluster.settle().await;
    let calls = cluster.api.calls().len();
    cluster.lap().await.unwrap();
    assert_eq!(cluster.api.calls()[calls..], [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_made_good_by_a_later_lap() {
    let mut smooth = cluster();
    smooth.settle().await;
    let calls = smooth.api.calls().len();
    assert!(calls >= 6, "{:#?}", smooth.api.calls());
    for fault in [Fault::Conflicts, Fault::Fails, Fault::Hangs] {
        for call in 0..calls {
            let mut rough = cluster();
            rough.api.fail(call, fault);
            rough.settle().await;
            assert_eq!(outcome(&rough.api), outcome(&smooth.api), "{fault:?} at call {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dying_between_any_two_calls_leaves_nothing_half_done() {
    let mut smooth = cluster();
    smooth.settle().await;
    for call in 0..smooth.api.calls().len() {
        let mut rough = cluster();
        // It hangs at this call, and the process is replaced before the answer comes.
        rough.api.fail(call, Fault::Hangs);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), rough.lap()).await;
        rough.restart();
        rough.settle().await;
        assert_eq!(outcome(&rough.api), outcome(&smooth.api), "died at call {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_deleted_or_edited_by_hand_is_repaired_by_the_next_lap() {
    let mut cluster = cluster();
    cluster.settle().await;
    let expected = outcome(&cluster.api);
    let service = format!("{OWN}/services/sluice-agent");
    cluster.api.remove(&service);
    cluster.lap().await.unwrap();
    assert_eq!(outcome(&cluster.api), expected);
    let mut edited = cluster.api.get(&service).unwrap();
    edited["spec"]["ports"] = json!([]);
    cluster.api.put(&service, edited);
    cluster.lap().await.unwrap();
    assert_eq!(outcome(&cluster.api), expected);
}

#[tokio::test(start_paused = true)]
async fn what_the_plan_no_longer_names_is_deleted_and_nothing_else() {
    let mut cluster = cluster();
    let config_map = |name: &str, labels: Value| {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "sluice-system", "labels": labels},
        });
        cluster.api.put(&format!("{OWN}/configmaps/{name}"), object);
    };
    let managed = "app.kubernetes.io/managed-by";
    config_map("old", json!({managed: "sluice", "sluice.dev/collector": "default"}));
    config_map("other", json!({managed: "sluice"}));
    cluster.settle().await;
    assert_eq!(cluster.api.get(&format!("{OWN}/configmaps/old")), None);
    assert!(cluster.api.get(&format!("{OWN}/configmaps/other")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_cannot_be_applied_leaves_its_neighbour_alone() {
    let mut cluster = cluster();
    collector(&cluster.api, "edge");
    cluster.api.forbid("/daemonsets/sluice-agent-edge");
    for _ in 0..3 {
        assert!(cluster.lap().await.is_err());
    }
    assert!(cluster.api.get(&format!("{OWN_APPS}/daemonsets/sluice-agent")).is_some());
    let status = |name: &str| cluster.api.get(&format!("{OURS}/collectors/{name}")).unwrap();
    assert_eq!(status("default")["status"]["observedGeneration"], 1);
    // Nothing of the new generation but that it was refused.
    let ready = &status("edge")["status"]["conditions"][0];
    assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("False")));
    assert_eq!(ready["reason"], "PermissionDenied");
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("DaemonSet sluice-agent-edge"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_cannot_be_read_keeps_its_children() {
    let mut cluster = cluster();
    cluster.settle().await;
    let path = format!("{OURS}/collectors/default");
    let mut broken = cluster.api.get(&path).unwrap();
    broken["spec"] = json!("from the future");
    cluster.api.put(&path, broken);
    let _ = cluster.lap().await;
    assert!(cluster.api.get(&format!("{OWN_APPS}/daemonsets/sluice-agent")).is_some());
}
