//! Laws of the planner, over worlds drawn from a seed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod world;

use serde_json::{Value, json};
use sluice_plan::{Plan, Status, plan};
use std::collections::BTreeMap;
use world::{SYSTEM, World};

const SEEDS: u64 = 60;

/// xorshift64*: enough for choosing.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).unwrap()]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

const NAMESPACES: [&str; 4] = ["shop", "pay", "kube-system", SYSTEM];

fn destination(dice: &mut Dice, i: u64) -> Value {
    let mut spec = match dice.below(4) {
        0 => json!({"type": "Tempo", "tempo": {"endpoint": "tempo:4317"}}),
        1 => json!({"type": "OTLP", "otlp": {"endpoint": "http://otlp:4318", "protocol": "HTTP"}}),
        // The last one leads out of the data folder; the API server would not take it.
        2 => json!({"type": "File", "file": {"path": dice.pick(&["a", "b/c", "../d"])}}),
        _ => json!({"type": "Debug", "debug": {}}),
    };
    if dice.chance(40) {
        spec["allowedNamespaces"] = json!({});
    }
    if spec["type"] == "OTLP" && dice.chance(30) {
        spec["auth"] = json!({"type": "Basic", "secretRef": {"name": format!("secret-{i}")}});
    }
    let metadata = json!({"name": format!("d{i}"), "namespace": dice.pick(&NAMESPACES)});
    json!({"kind": "Destination", "metadata": metadata, "spec": spec})
}

fn pipeline(dice: &mut Dice, i: u64) -> Value {
    let mut spec = json!({"paused": dice.chance(10)});
    // The API server takes none without a signal.
    let at_least = dice.pick(&["traces", "metrics", "logs"]);
    for signal in ["traces", "metrics", "logs"] {
        if signal == at_least || dice.chance(50) {
            let name = format!("d{}", dice.below(6));
            let namespace = dice.pick(&NAMESPACES);
            spec[signal] = json!({"destinationRefs": [{"name": name, "namespace": namespace}]});
        }
    }
    if dice.chance(20) {
        spec["collectorRef"] = json!({"name": dice.pick(&["default", "edge", "absent"])});
    }
    if dice.chance(20) {
        spec["namespaceSelector"] = json!({"matchLabels": {"team": "a"}});
    }
    let metadata = json!({"name": format!("p{i}"), "namespace": dice.pick(&NAMESPACES)});
    json!({"kind": "TelemetryPipeline", "metadata": metadata, "spec": spec})
}

fn policy(dice: &mut Dice, i: u64) -> Value {
    let mut spec = json!({"mode": dice.pick(&["Enforce", "Enforce", "DryRun", "Disabled"])});
    match dice.below(4) {
        0 => spec["targetRefs"] = json!([{"kind": "Collector", "name": "default"}]),
        1 => {
            let name = format!("p{}", dice.below(6));
            spec["targetRefs"] = json!([{"kind": "TelemetryPipeline", "name": name}]);
        }
        _ => {}
    }
    if dice.chance(60) {
        let wait = dice.pick(&["5s", "10s", "30s"]);
        let full = dice.pick(&["DecideOldest", "SampleByHash", "DropNew"]);
        let traces = dice.pick(&["0", "1000", "9000"]).parse::<u64>().unwrap();
        spec["tail"] = json!({"decisionWait": wait, "onBufferFull": full, "maxTraces": traces});
    }
    if dice.chance(70) {
        spec["default"] = json!({"keepPercent": dice.below(101)});
    }
    let rule = |dice: &mut Dice, i| {
        // One is no filter; the API server would take it.
        let filter = dice.pick(&["{ status = error }", "{ duration > 1s }", "{", "{ }"]);
        json!({"name": format!("k{i}"), "match": {"traceQL": filter}, "atLeastPercent": dice.below(101)})
    };
    spec["keep"] = (0..dice.below(4)).map(|i| rule(dice, i)).collect();
    let created = format!("2026-01-0{}T00:00:00Z", 1 + dice.below(3));
    let metadata = json!({
        "name": format!("s{i}"), "namespace": dice.pick(&NAMESPACES), "creationTimestamp": created,
    });
    json!({"kind": "SamplingPolicy", "metadata": metadata, "spec": spec})
}

fn collector(dice: &mut Dice, name: &str) -> Value {
    let soft = dice.pick(&["400Mi", "400Mi", "900Mi"]);
    let state = dice.pick(&["Managed", "Managed", "Managed", "Paused"]);
    json!({"kind": "Collector", "metadata": {"name": name}, "spec": {
        "managementState": state,
        "gateway": {"mode": dice.pick(&["Auto", "Auto", "Always", "Never"])},
        "agent": {"memoryLimiter": {"softLimit": soft, "hardLimit": "500Mi"}},
    }})
}

fn fleet(dice: &mut Dice, name: &str) -> Value {
    let nodes = dice.below(4);
    let adopted = dice.below(nodes + 1);
    json!({
        "kind": "Fleet", "metadata": {"name": name}, "nodes": nodes,
        "ready": dice.below(nodes + 1), "adopted": adopted, "stale": nodes - adopted,
        "error": dice.pick(&["", "", "no room"]),
    })
}

/// Some history, so that last good versions and stale agents exist.
fn world(seed: u64) -> World {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut world = World::new();
    for namespace in NAMESPACES {
        let labels = json!({"team": dice.pick(&["a", "b"])});
        world.put(&json!({"kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}));
    }
    for _ in 0..3 {
        for name in ["default", "edge"] {
            world.put(&collector(&mut dice, name));
        }
        for i in 0..6 {
            world.put(&destination(&mut dice, i));
            world.put(&pipeline(&mut dice, i));
            world.put(&policy(&mut dice, i));
        }
        world.lap();
        for name in ["default", "edge"] {
            world.put(&fleet(&mut dice, name));
        }
        world.wait(i64::try_from(dice.below(700)).unwrap());
    }
    world
}

#[test]
fn the_same_observed_gives_the_same_plan() {
    for seed in 0..SEEDS {
        let observed = world(seed).observed;
        assert_eq!(plan(&observed), plan(&observed.clone()), "seed {seed}");
    }
}

#[test]
fn the_order_of_creation_does_not_matter() {
    for seed in 0..SEEDS {
        let mut forward = World::new();
        let mut backward = World::new();
        let mut dice = Dice(seed | 1);
        let mut objects: Vec<_> = (0..6).map(|i| destination(&mut dice, i)).collect();
        objects.extend((0..6).map(|i| pipeline(&mut dice, i)));
        objects.extend((0..6).map(|i| policy(&mut dice, i)));
        objects.push(collector(&mut dice, "default"));
        // Two objects of one name would be one change after the other.
        let key = |object: &Value| (object["kind"].to_string(), object["metadata"].to_string());
        objects.sort_by_key(key);
        objects.dedup_by_key(|object| key(object));
        objects.iter().for_each(|object| forward.put(object));
        objects.iter().rev().for_each(|object| backward.put(object));
        assert_eq!(forward.lap(), backward.lap(), "seed {seed}");
    }
}

#[test]
fn planning_after_applying_changes_nothing() {
    for seed in 0..SEEDS {
        let mut world = world(seed);
        let first = world.lap();
        let again = world.lap();
        assert_eq!(again.statuses, [], "seed {seed}");
        assert_eq!(again.events, [], "seed {seed}");
        assert_eq!(again.children, first.children, "seed {seed}");
        assert_eq!(again.fleets, first.fleets, "seed {seed}");
    }
}

#[test]
fn a_broken_object_changes_nothing_for_the_others() {
    for seed in 0..SEEDS {
        let mut sound = world(seed);
        sound.lap();
        let mut broken = World::new();
        broken.observed = sound.observed.clone();
        // Somebody breaks every object of one namespace at once.
        for i in 0..6 {
            break_pipeline(&mut broken, i, "pay");
        }
        let plan = broken.lap();
        let before = configs(&sound.lap());
        let after = configs(&plan);
        assert_eq!(before, after, "seed {seed}: what runs has changed");
        assert_foreign_statuses_stay(&plan, seed);
    }
}

fn break_pipeline(world: &mut World, i: u64, namespace: &str) {
    let name = sluice_plan::ObjectName::new(namespace, &format!("p{i}"));
    let Some(object) = world.observed.pipelines.get(&name) else { return };
    let spec = json!({
        "collectorRef": {"name": object.spec.collector()},
        "logs": {"destinationRefs": [{"name": "nowhere"}]},
    });
    let metadata = json!({"name": name.name, "namespace": namespace});
    world.put(&json!({"kind": "TelemetryPipeline", "metadata": metadata, "spec": spec}));
}

#[test]
fn a_broken_policy_changes_nothing_for_the_others() {
    for seed in 0..SEEDS {
        let mut sound = world(seed);
        let before = sound.lap();
        let mut broken = World::new();
        broken.observed = sound.observed.clone();
        for i in 0..6 {
            break_policy(&mut broken, i, "pay");
        }
        let plan = broken.lap();
        assert_eq!(before.fleets, plan.fleets, "seed {seed}: what runs has changed");
        assert_foreign_statuses_stay(&plan, seed);
    }
}

/// Nothing of the new version counts, sound as it may be.
fn break_policy(world: &mut World, i: u64, namespace: &str) {
    let name = sluice_plan::ObjectName::new(namespace, &format!("s{i}"));
    let Some(object) = world.observed.policies.get(&name) else { return };
    // What is switched off does not run on.
    if object.spec.mode == sluice_crds::policy::PolicyMode::Disabled {
        return;
    }
    let mut object = serde_json::to_value(object.as_ref()).unwrap();
    object["kind"] = json!("SamplingPolicy");
    object["spec"] = json!({
        "tail": {"decisionWait": "1s", "onBufferFull": "DropNew"},
        "default": {"keepPercent": 77},
        "keep": [{"name": "a", "match": {"traceQL": "{ nonsense"}, "atLeastPercent": 100}],
    });
    world.put(&object);
}

/// Pipelines and destinations of each fleet, but for those of pipelines that were being replaced.
fn configs(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let config = |fleet: &sluice_plan::FleetConfig| {
        fleet.config.pipelines.iter().map(|(key, pipeline)| format!("{key} {pipeline:?}")).collect()
    };
    plan.fleets.iter().map(|(name, fleet)| (name.clone(), config(fleet))).collect()
}

fn assert_foreign_statuses_stay(plan: &Plan, seed: u64) {
    for write in &plan.statuses {
        // A Collector counts its accepted pipelines.
        let counts = matches!(write.status, Status::Collector(_)) && !write.urgent;
        assert!(counts || write.name.namespace == "pay", "seed {seed}: {write:#?}");
    }
}
