use super::*;
use serde_json::{Value, json};

fn check(status: Value, expected: Option<UnreadyReason>) {
    let pod = json!({"metadata": {"name": "a"}, "status": status});
    let pod = serde_json::from_value(pod).unwrap();
    assert_eq!(unready(&pod).map(|unready| unready.reason), expected);
}

#[test]
fn an_unready_pod_shows_its_worst_reason() {
    check(json!({"conditions": [{"type": "Ready", "status": "True"}]}), None);
    check(json!({}), Some(UnreadyReason::Starting));
    check(
        json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
        ]}),
        Some(UnreadyReason::Unschedulable),
    );
    let killed = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    check(
        json!({"containerStatuses": [container(&waiting, &killed)]}),
        Some(UnreadyReason::OutOfMemory),
    );
    check(
        json!({"containerStatuses": [container(&waiting, &json!({}))]}),
        Some(UnreadyReason::CrashLooping),
    );
}

#[test]
fn an_init_container_that_did_its_work_is_no_reason() {
    let done = json!({"terminated": {"reason": "Completed", "exitCode": 0}});
    check(
        json!({"initContainerStatuses": [container(&done, &json!({}))]}),
        Some(UnreadyReason::Starting),
    );
}

#[test]
fn a_pod_that_is_being_deleted_is_not_counted() {
    let pod = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(unready(&serde_json::from_value(pod).unwrap()), None);
}

fn container(state: &Value, last: &Value) -> Value {
    json!({
        "name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 1,
        "state": state, "lastState": last,
    })
}
