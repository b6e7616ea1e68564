//! The conditions contract, row by row: what `kubectl wait`, kstatus, Helm and Argo CD rely on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod world;

use serde_json::json;
use sluice_plan::{ObjectName, Refusal, RefusalCause};
use world::{SYSTEM, World, summary};

/// (observedGeneration, Ready with its reason, Reconciling, Stalled) of the Collector, the
/// Destination, the TelemetryPipeline and the SamplingPolicy.
type Row = (i64, String, bool, bool);

fn rows(world: &World) -> [Row; 4] {
    let observed = &world.observed;
    let name = ObjectName::new(SYSTEM, "one");
    let collector = observed.collectors["default"].status.clone().unwrap_or_default();
    let destination = observed.destinations[&name].status.clone().unwrap_or_default();
    let pipeline = observed.pipelines[&name].status.clone().unwrap_or_default();
    let policy = observed.policies[&name].status.clone().unwrap_or_default();
    [
        summary(collector.observed_generation, &collector.conditions),
        summary(destination.observed_generation, &destination.conditions),
        summary(pipeline.observed_generation, &pipeline.conditions),
        summary(policy.observed_generation, &policy.conditions),
    ]
}

fn row(generation: i64, ready: &str, reconciling: bool, stalled: bool) -> Row {
    (generation, ready.to_owned(), reconciling, stalled)
}

fn created() -> World {
    let mut world = World::new();
    let metadata = json!({"name": "one", "namespace": SYSTEM});
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": {}}));
    world.put(&json!({"kind": "Destination", "metadata": metadata, "spec": {
        "type": "OTLP", "otlp": {"endpoint": "otlp:4317"},
        "auth": {"type": "Basic", "secretRef": {"name": "password"}},
    }}));
    world.put(&json!({"kind": "TelemetryPipeline", "metadata": metadata, "spec": {
        "traces": {"destinationRefs": [{"name": "one"}]},
    }}));
    put_policy(&mut world, json!({"default": {"keepPercent": 1}}));
    world
}

fn put_policy(world: &mut World, spec: serde_json::Value) {
    let metadata = json!({"name": "one", "namespace": SYSTEM});
    world.put(&json!({"kind": "SamplingPolicy", "metadata": metadata, "spec": spec}));
}

fn settled() -> World {
    let mut world = created();
    world.settle("default");
    world
}

fn fleet(changes: serde_json::Value) -> serde_json::Value {
    let mut fleet =
        json!({"kind": "Fleet", "metadata": {"name": "default"}, "nodes": 3, "adopted": 3});
    for (key, value) in changes.as_object().unwrap() {
        fleet[key] = value.clone();
    }
    fleet
}

#[test]
fn just_created_is_not_touched() {
    assert_eq!(rows(&created()), [(); 4].map(|()| row(-1, "–", false, false)));
}

#[test]
fn rolling_out_is_reconciling() {
    let mut world = created();
    world.lap();
    assert_eq!(rows(&world), [(); 4].map(|()| row(1, "False (Progressing)", true, false)));
}

#[test]
fn done_is_ready() {
    assert_eq!(rows(&settled()), [(); 4].map(|()| row(1, "True (Reconciled)", false, false)));
}

#[test]
fn what_the_api_server_refuses_is_stalled() {
    for (cause, reason) in
        [(RefusalCause::Permission, "PermissionDenied"), (RefusalCause::Quota, "QuotaDenied")]
    {
        let mut world = settled();
        let message = "cannot apply Service sluice-agent: no".to_owned();
        let refusal = Refusal { cause, message: message.clone() };
        world.observed.fleets.get_mut("default").unwrap().refusal = Some(refusal);
        world.lap();
        let [collector, ..] = rows(&world);
        assert_eq!(collector, row(1, &format!("False ({reason})"), false, true));
        let status = world.observed.collectors["default"].status.clone().unwrap();
        assert!(status.conditions.iter().any(|condition| condition.message.starts_with(&message)));
    }
}

#[test]
fn an_invalid_spec_is_stalled() {
    let mut world = settled();
    let metadata = json!({"name": "one", "namespace": SYSTEM});
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": {
        "agent": {"memoryLimiter": {"softLimit": "600Mi", "hardLimit": "500Mi"}},
    }}));
    world.put(&json!({"kind": "Destination", "metadata": metadata, "spec": {
        "type": "File", "file": {"path": "../out"},
    }}));
    world.put(&json!({"kind": "TelemetryPipeline", "metadata": metadata, "spec": {
        "traces": {"destinationRefs": [{"name": "absent"}]},
    }}));
    put_policy(
        &mut world,
        json!({"keep": [{"name": "a", "match": {"traceQL": "{"}, "atLeastPercent": 1}]}),
    );
    world.lap();
    let [collector, destination, pipeline, policy] = rows(&world);
    assert_eq!(policy, row(2, "False (InvalidSpec)", false, true));
    assert_eq!(collector, row(2, "False (InvalidSpec)", false, true));
    assert_eq!(destination, row(2, "False (InvalidSpec)", false, true));
    assert_eq!(pipeline, row(2, "False (DestinationNotFound)", false, true));
}

#[test]
fn a_missing_secret_is_reconciling_and_then_stalled() {
    let mut world = settled();
    let entry = json!({"pipeline": "sluice-system/one", "destination": "sluice-system/one",
        "credentials": "SecretMissing"});
    world.put(&fleet(json!({"deliveries": [entry]})));
    world.lap();
    assert_eq!(rows(&world)[1], row(1, "False (SecretMissing)", true, false));
    world.wait(599);
    world.lap();
    assert_eq!(rows(&world)[1], row(1, "False (SecretMissing)", true, false));
    world.wait(1);
    world.lap();
    assert_eq!(rows(&world)[1], row(1, "False (SecretMissing)", false, true));
    assert_eq!(rows(&world)[2], row(1, "True (Reconciled)", false, false));
}

#[test]
fn pods_that_crash_past_the_deadline_are_stalled() {
    let mut world = settled();
    world.put(&fleet(json!({"ready": 0, "unready": {"a": "CrashLoopBackOff"}})));
    world.lap();
    assert_eq!(rows(&world)[0], row(1, "False (Progressing)", true, false));
    world.wait(600);
    world.lap();
    assert_eq!(rows(&world)[0], row(1, "False (ProgressDeadlineExceeded)", false, true));
}

#[test]
fn a_rollout_may_take_longer_than_the_deadline_while_its_pods_do_not() {
    let mut world = settled();
    for minute in 0..30 {
        world.put(&fleet(json!({
            "updated": 1, "ready": 2, "unready": {format!("pod-{minute}"): "ContainerCreating"},
        })));
        world.lap();
        assert_eq!(rows(&world)[0], row(1, "False (Progressing)", true, false));
        world.wait(60);
    }
}

#[test]
fn a_destination_that_is_down_leaves_everything_ready() {
    let mut world = settled();
    let entry = json!({"pipeline": "sluice-system/one", "destination": "sluice-system/one",
        "failure": "Timeout", "droppedRate": 9.0});
    world.put(&fleet(json!({"deliveries": [entry]})));
    world.lap();
    world.wait(3600);
    world.lap();
    assert_eq!(rows(&world), [(); 4].map(|()| row(1, "True (Reconciled)", false, false)));
}

#[test]
fn what_is_paused_is_ready() {
    let mut world = settled();
    let metadata = json!({"name": "one", "namespace": SYSTEM});
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": {
        "managementState": "Paused",
    }}));
    world.put(&json!({"kind": "TelemetryPipeline", "metadata": metadata, "spec": {
        "paused": true, "logs": {"destinationRefs": [{"name": "absent"}]},
    }}));
    world.lap();
    assert_eq!(rows(&world)[0], row(2, "True (Paused)", false, false));
    assert_eq!(rows(&world)[2], row(2, "True (Paused)", false, false));
}

#[test]
fn without_an_eligible_node_there_is_nothing_to_wait_for() {
    let mut world = created();
    world.lap();
    world.put(&fleet(json!({"nodes": 0, "adopted": 0})));
    world.lap();
    let [collector, destination, pipeline, policy] = rows(&world);
    assert_eq!(policy, row(1, "True (NoEligibleNodes)", false, false));
    assert_eq!(collector, row(1, "True (NoEligibleNodes)", false, false));
    assert_eq!(destination, row(1, "True (Reconciled)", false, false));
    assert_eq!(pipeline, row(1, "True (NoEligibleNodes)", false, false));
}

#[test]
fn a_policy_whose_target_is_missing_is_stalled() {
    let mut world = settled();
    let target = json!({"kind": "TelemetryPipeline", "name": "absent"});
    put_policy(&mut world, json!({"targetRefs": [target], "default": {"keepPercent": 1}}));
    world.lap();
    assert_eq!(rows(&world)[3], row(2, "False (TargetNotFound)", false, true));
}

#[test]
fn a_policy_that_is_tried_disabled_or_about_nothing_is_ready() {
    let mut world = settled();
    put_policy(&mut world, json!({"mode": "DryRun", "default": {"keepPercent": 1}}));
    world.lap();
    assert_eq!(rows(&world)[3], row(2, "False (Progressing)", true, false));
    world.settle("default");
    assert_eq!(rows(&world)[3], row(2, "True (Reconciled)", false, false));
    put_policy(&mut world, json!({"mode": "Disabled", "default": {"keepPercent": 1}}));
    world.lap();
    assert_eq!(rows(&world)[3], row(3, "True (Disabled)", false, false));
    let metadata = json!({"name": "one", "namespace": SYSTEM});
    world.put(&json!({"kind": "TelemetryPipeline", "metadata": metadata, "spec": {
        "logs": {"destinationRefs": [{"name": "one"}]},
    }}));
    put_policy(&mut world, json!({"default": {"keepPercent": 1}}));
    world.lap();
    assert_eq!(rows(&world)[3], row(4, "True (Reconciled)", false, false));
}

#[test]
fn a_new_leader_without_reports_leaves_ready_what_was_ready() {
    let mut world = settled();
    world.put(&fleet(json!({"adopted": 0})));
    world.lap();
    assert_eq!(rows(&world), [(); 4].map(|()| row(1, "True (Reconciled)", false, false)));
}

#[test]
fn a_transition_time_moves_only_with_the_status() {
    let mut world = settled();
    let ready = |world: &World| {
        let status = world.observed.collectors["default"].status.clone().unwrap();
        status.conditions[0].last_transition_time.0
    };
    let before = ready(&world);
    world.wait(100);
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": {
        "managementState": "Paused",
    }}));
    world.lap();
    assert_eq!(ready(&world), before);
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": {}}));
    world.put(&fleet(json!({"ready": 0, "updated": 0})));
    world.lap();
    assert_eq!(ready(&world), world.observed.now);
}
