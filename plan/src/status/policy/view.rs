//! One policy in the fleets that run it, or should.

use super::super::Source;
use super::super::adoption::FleetAdoption;
use super::super::programmed::{self, Progress};
use crate::compile::{Compiled, Overridden, Target};
use crate::observed::{Fleet, ObjectName, Observed};
use sluice_engine::config::Config;
use sluice_engine::config::sampling::{Mode, Policy};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct View<'a> {
    pub(super) key: String,
    pub(super) seats: Vec<Seat<'a>>,
}

pub(super) struct Seat<'a> {
    pub(super) collector: &'a str,
    fleet: Option<&'a Fleet>,
    adoption: Option<&'a FleetAdoption<'a>>,
    config: Option<&'a Config>,
    /// The version that agents should run: the newest, or the last good one.
    pub(super) running: Option<&'a Policy>,
    /// The version that they would be given.
    pub(super) placed: Option<&'a Policy>,
    pub(super) overridden: &'a [Overridden],
}

impl<'a> View<'a> {
    pub(super) fn new(source: &'a Source<'_>, name: &ObjectName) -> Self {
        let key = name.to_string();
        let seats = source.compiled.fleets.iter().filter_map(|(collector, compiled)| {
            let config = compiled.config.as_ref().map(|config| config.config.as_ref());
            let running = config.and_then(|config| config.sampling.policies.get(&key));
            let placed = compiled.placed.sampling.policies.get(&key);
            running.or(placed)?;
            Some(Seat {
                collector,
                fleet: source.observed.fleets.get(collector),
                adoption: source.adoptions.fleet(collector),
                config,
                running,
                placed,
                overridden: compiled.placed.overridden.get(&key).map_or(&[], Vec::as_slice),
            })
        });
        let seats = seats.collect();
        Self { key, seats }
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &'a Policy> {
        self.seats.iter().filter_map(|seat| seat.running)
    }

    pub(super) fn is_running(&self) -> bool {
        self.running().next().is_some()
    }

    pub(super) fn overridden(&self) -> impl Iterator<Item = &'a Overridden> {
        self.seats.iter().flat_map(|seat| seat.overridden)
    }

    /// The configs in which it runs.
    pub(super) fn configs(
        &self,
    ) -> impl Iterator<Item = (&'a Config, &'a Policy, Option<&'a Fleet>)> {
        self.seats.iter().filter_map(|seat| Some((seat.config?, seat.running?, seat.fleet)))
    }
}

impl<'a> Seat<'a> {
    pub(super) fn progress(&self, key: &str) -> Progress<'a> {
        Progress {
            count: self.adoption.map(|adoption| adoption.policy(key)).unwrap_or_default(),
            has_no_node: programmed::has_no_node(self.fleet),
            rejection: self.adoption.and_then(|adoption| adoption.rejection),
        }
    }
}

/// The name of the Collector that runs a target.
pub(super) fn fleet_of<'a>(observed: &'a Observed, target: &'a Target) -> Option<&'a str> {
    match target {
        Target::Fleet(name) => Some(name),
        Target::Pipeline(name) => {
            observed.pipelines.get(name).map(|pipeline| pipeline.spec.collector())
        }
    }
}

/// By pipeline, the policies that decide which of its traces are kept; those that are only tried
/// decide nothing.
pub(in crate::status) fn affecting(compiled: &Compiled) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut affecting: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let configs = compiled.fleets.values().filter_map(|fleet| fleet.config.as_ref());
    for config in configs.map(|config| config.config.as_ref()) {
        let policies = config.sampling.policies.iter();
        for (key, policy) in policies.filter(|(_, policy)| policy.mode == Mode::Enforce) {
            for pipeline in pipelines(config, policy) {
                affecting.entry(pipeline).or_default().insert(key);
            }
        }
    }
    affecting
}

/// The pipelines of a config that a policy is about, those that collect traces.
pub(super) fn pipelines<'a>(
    config: &'a Config,
    policy: &'a Policy,
) -> impl Iterator<Item = &'a str> {
    let named = policy.scope.pipelines.as_ref();
    let all = config.pipelines.iter().filter(|(_, pipeline)| !pipeline.traces.is_empty());
    // The fewer ones lead: a namespace has few pipelines, a fleet many.
    let few = named.into_iter().flatten().filter_map(|key| config.pipelines.get_key_value(key));
    let few = few.filter(|(_, pipeline)| !pipeline.traces.is_empty());
    let all = all.filter(move |_| named.is_none());
    few.chain(all).map(|(key, _)| key.as_str())
}
