//! Real processes under load: gateways come, go, are replaced and killed, and no planned change tears
//! a trace. `SLUICE_TEST_SPANS_PER_SECOND` sets the load; `cargo xtask ring` runs it with 20 000.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

#[path = "../support/mod.rs"]
mod support;

mod load;
mod processes;
mod verdict;

use load::Load;
use processes::Processes;
use verdict::{Fate, Verdict};

/// From the first span of a trace to its decision; its spans come within half of it.
const DECISION_WAIT_MS: u64 = 4000;
/// How long a new owner waits for a gateway that was lost.
const PATIENCE_MS: u64 = 6000;
/// Between two changes: longer than a decision takes, so that some come late.
const PHASE_MS: u64 = 5000;
/// What left a gateway that is killed may still be on its way: batches of 20 ms, looks of 500 ms.
const UNDER_WAY_MS: u64 = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn no_planned_change_of_the_ring_tears_a_trace() {
    let rate = std::env::var("SLUICE_TEST_SPANS_PER_SECOND").map_or(2000, |r| r.parse().unwrap());
    let mut fleet = Processes::start(&["g0", "g1", "g2"]).await;
    let load = Load::start(fleet.agents(), rate);
    fleet.hold_traces(&["g0", "g1", "g2"]).await;
    load.goes_on_for(PHASE_MS).await;
    say(&load, "scaled up to 5");
    fleet.add(&["g3", "g4"]).await;
    fleet.hold_traces(&["g3", "g4"]).await;
    load.goes_on_for(PHASE_MS).await;
    say(&load, "scaled down to 2");
    for name in ["g1", "g3", "g4"] {
        fleet.leave(name).await;
        fleet.terminate(name);
        fleet.ends(name).await;
    }
    load.goes_on_for(PHASE_MS).await;
    say(&load, "rolled");
    for (old, new) in [("g0", "h0"), ("g2", "h2")] {
        fleet.add(&[new]).await;
        fleet.hold_traces(&[new]).await;
        // As Kubernetes does it: told to end first, out of the ring then.
        fleet.terminate(old);
        fleet.leave(old).await;
        fleet.ends(old).await;
    }
    assert_eq!(fleet.incomplete("h2").await, 0, "a planned change counts as a loss");
    load.goes_on_for(DECISION_WAIT_MS + UNDER_WAY_MS).await;
    let killed_at_ms = load.now_ms();
    say(&load, "one killed");
    let owner_before = fleet.ring.clone();
    fleet.kill("h0").await;
    fleet.gives_up("h2").await;
    let sent = load.stop().await;
    let incomplete = fleet.incomplete("h2").await;
    let arrived = fleet.stop().await;
    let touchable = |trace: u128, last_ms: u64| {
        let slot = sluice_engine::ring::slot_of(&trace.to_be_bytes());
        owner_before.owner(slot).name == "h0"
            && killed_at_ms <= last_ms + DECISION_WAIT_MS + UNDER_WAY_MS
    };
    let verdict = Verdict::new(&sent, arrived, touchable);
    println!("{verdict}");
    println!("counted as incomplete by the new owner: {incomplete} traces");
    for fate in [Fate::Torn, Fate::Lost, Fate::Surplus, Fate::Twice] {
        assert_eq!(verdict.planned(fate), 0, "{fate:?} without a crash");
    }
    assert!(0 < verdict.touched(), "the crash touched no trace: nothing was tested");
    assert!(verdict.torn_by_crash() <= incomplete, "torn by the crash, but not counted");
}

fn say(load: &Load, what: &str) {
    println!("{:>6.1} s  {what}", load.now_ms() as f64 / 1000.0);
}
