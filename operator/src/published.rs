//! The configurations that this leader has published, newest last: what is wanted now, and what
//! some agent still runs. And what the API server refused.

use sluice_plan::{Fleet, FleetConfig, Plan, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Older ones are forgotten even if an agent still claims to run them.
const HISTORY_MAX: usize = 16;

#[derive(Debug, Default)]
pub struct Published {
    /// By the name of the Collector.
    fleets: BTreeMap<String, Vec<FleetConfig>>,
    /// What the API server did not take in the last lap.
    refusals: BTreeMap<String, Refusal>,
}

impl Published {
    /// Fills in what `fleet`'s agents may be running, and what was published last.
    pub fn recall(&self, name: &str, fleet: &mut Fleet) {
        let history = self.fleets.get(name).map(Vec::as_slice).unwrap_or_default();
        for old in history {
            fleet.configs.insert(old.hash.clone(), Arc::clone(&old.config));
        }
        fleet.gateway_memory = history.last().and_then(|newest| newest.gateways.clone());
        fleet.last_good = history.last().map(|newest| Arc::clone(&newest.config));
        fleet.refusal = self.refusals.get(name).cloned();
    }

    pub fn remember(&mut self, refusals: BTreeMap<String, Refusal>) {
        self.refusals = refusals;
    }

    /// Takes in what `plan` publishes; forgets what no agent of `running` runs any more.
    pub fn record(&mut self, plan: &Plan, running: &BTreeMap<String, BTreeSet<String>>) {
        self.fleets.retain(|name, _| plan.fleets.contains_key(name));
        let none = BTreeSet::new();
        for (name, wanted) in &plan.fleets {
            let history = self.fleets.entry(name.clone()).or_default();
            let running = running.get(name).unwrap_or(&none);
            history.retain(|old| old.hash != wanted.hash && running.contains(&old.hash));
            history.push(wanted.clone());
            let excess = history.len().saturating_sub(HISTORY_MAX);
            history.drain(..excess);
        }
    }
}
