//! Golden scenarios: each file says what happens, its `.txt` what is planned lap by lap.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod world;

use serde::Deserialize;
use serde_json::Value;
use world::{World, describe};

/// Documents are objects, states of fleets (`kind: Fleet`), deletions, and laps (`kind: Lap`, with
/// the seconds that pass before it).
fn run(scenario: &str) -> String {
    let mut world = World::new();
    let mut told = String::new();
    let mut laps = 0;
    for document in serde_yaml::Deserializer::from_str(scenario) {
        let document = Value::deserialize(document).unwrap();
        if document["kind"] == "Lap" {
            world.wait(document["after"].as_i64().unwrap_or(1));
            laps += 1;
            let plan = world.lap();
            told += &format!("lap {laps}: {}\n", document["what"].as_str().unwrap());
            told += &describe(&world, &plan);
            let again = world.lap();
            assert!(again.statuses.is_empty(), "lap {laps} is not idempotent: {again:#?}");
        } else {
            world.put(&document);
        }
    }
    told
}

/// With `UPDATE_EXPECTED` set, the `.txt` is written anew.
#[expect(clippy::disallowed_methods, reason = "a test is no part of the pure room")]
fn check(name: &str, scenario: &str, expected: &str) {
    let told = run(scenario);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
        std::fs::write(format!("{folder}/{name}.txt"), told).unwrap();
    } else {
        assert!(told == expected, "expected:\n{expected}\nplanned:\n{told}");
    }
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let scenario = include_str!(concat!("scenarios/", stringify!($name), ".yaml"));
                let expected = include_str!(concat!("scenarios/", stringify!($name), ".txt"));
                check(stringify!($name), scenario, expected);
            }
        )*
    };
}

scenarios! {
    a_pipeline_is_taken_over,
    a_broken_pipeline_runs_on_in_its_last_good_version,
    a_shared_destination_admits_only_selected_namespaces,
    a_destination_is_closed_to_a_namespace,
    a_destination_that_is_down_keeps_everything_ready,
    a_missing_secret_stalls_after_the_deadline,
    a_crash_loop_stalls_after_the_deadline,
    a_system_pipeline_selects_namespaces,
    what_is_paused_is_left_alone,
    an_agent_rejects_a_config,
    two_fleets_share_nothing,
    gateways_follow_policies_and_load,
    without_gateways_no_policy_acts,
    a_policy_is_taken_over_and_measured,
    a_broken_policy_runs_on_in_its_last_good_version,
    policies_of_one_fleet_share_its_buffer,
    a_policy_is_tried_and_switched_off,
    rules_that_can_do_nothing_are_named,
}
