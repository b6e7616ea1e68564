//! How the programs are set up to sample: the same policies, wait, batches and caches.

use crate::bench::peer;
use crate::contest::message::Codec;
use crate::contest::objects::{self, Memory};
use crate::contest::programs::{Contender, Place, Programs};
use anyhow::Result;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// Below the root of the work tree.
pub(super) const PEER_CONFIGURATION: &str = "xtask/bench/otelcol-tail.yaml";

pub(super) fn command(
    programs: &Programs,
    contender: Contender,
    codec: Codec,
    decision_wait: Duration,
    memory: Memory,
    place: &Place,
) -> Result<Command> {
    let decision_wait = format!("{}s", decision_wait.as_secs());
    match contender {
        Contender::Sluice => {
            let policy = policy(&decision_wait);
            objects::command(&programs.sluice, &policy, codec, memory, place)
        }
        Contender::Otelcol => {
            let mut command = peer::command(programs, PEER_CONFIGURATION, codec, place);
            command.env("BENCH_DECISION_WAIT", decision_wait);
            Ok(command)
        }
    }
}

/// The `spec` of a SamplingPolicy that says what the peer's configuration does.
fn policy(decision_wait: &str) -> Value {
    let gold = json!([{"key": "customer.tier", "operator": "In", "values": ["gold"]}]);
    json!({
        "tail": {
            "decisionWait": decision_wait,
            "decisionWaitAfterRoot": "0s",
            "maxTraces": 500_000,
            "decisionCacheSize": 500_000,
        },
        "keep": [
            {"name": "errors", "match": {"status": "Error"}, "atLeastPercent": 100},
            {"name": "slow", "match": {"minDuration": "1s"}, "atLeastPercent": 100},
            {"name": "gold", "match": {"attributes": gold}, "atLeastPercent": 100},
        ],
        "default": {"keepPercent": 10},
        "tagDecision": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_has_all_fields_that_are_written() {
        assert!(objects::is_known::<sluice_crds::SamplingPolicySpec>(&policy("2s")));
    }
}
