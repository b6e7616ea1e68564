//! The time from one change among 2000 pipelines to the new plan. The goal is 50 ms.

#[path = "../tests/world/mod.rs"]
mod world;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::json;
use sluice_plan::plan;
use std::hint::black_box;
use world::World;

const PIPELINES: usize = 2000;

/// A settled fleet with many pipelines, ten to a namespace, each with a destination of its own.
fn settled() -> World {
    let mut world = World::new();
    world.put(&json!({"kind": "Collector", "metadata": {"name": "default"}, "spec": {}}));
    for i in 0..PIPELINES {
        let namespace = format!("team-{}", i / 10);
        world.put(&json!({"kind": "Namespace", "metadata": {"name": namespace}}));
        let metadata = json!({"name": format!("app-{i}"), "namespace": namespace});
        world.put(&json!({
            "kind": "Destination", "metadata": metadata,
            "spec": {"type": "OTLP", "otlp": {"endpoint": format!("otlp-{i}.obs:4317")}},
        }));
        world.put(&pipeline(i, "1"));
    }
    world.settle("default");
    world
}

fn pipeline(i: usize, version: &str) -> serde_json::Value {
    let refs = json!({"destinationRefs": [{"name": format!("app-{i}")}]});
    json!({
        "kind": "TelemetryPipeline",
        "metadata": {"name": format!("app-{i}"), "namespace": format!("team-{}", i / 10)},
        "spec": {
            "enrich": {"resourceAttributes": {"version": version}},
            "traces": refs, "metrics": refs, "logs": refs,
        },
    })
}

fn one_change(criterion: &mut Criterion) {
    let mut world = settled();
    let mut version = 1;
    criterion.bench_function("one change among 2000 pipelines", |bencher| {
        bencher.iter_batched_ref(
            || {
                version += 1;
                world.put(&pipeline(1000, &version.to_string()));
                world.observed.clone()
            },
            |observed| black_box(plan(observed)),
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, one_change);
criterion_main!(benches);
