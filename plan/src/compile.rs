//! From objects to one config a fleet. Each object is compiled alone: a mistake in one changes
//! nothing for the others, and its last good version runs on.

mod collector;
mod destination;
mod gateway;
mod pipeline;
mod policy;
mod sampling;
mod selector;

pub(crate) use policy::{CompiledPolicy, PolicyVerdict, Target};
pub(crate) use sampling::{Overridden, Placed};

use crate::children::stored_config;
use crate::gateways::{Hand, gateways};
use crate::observed::{ObjectName, Observed};
use crate::planned::FleetConfig;
use crate::problem::Problem;
use collector::Base;
use kube::Resource;
use sluice_crds::collector::ManagementState;
use sluice_crds::conditions::Kind;
use sluice_crds::{Collector, Destination};
use sluice_engine::config::gateway::Gateway;
use sluice_engine::config::sampling::Sampling;
use sluice_engine::config::{self, Config, FORMAT, hash};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The verdict on every object, and what the fleets should run.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) fleets: BTreeMap<String, CompiledFleet>,
    pub(crate) pipelines: BTreeMap<ObjectName, Verdict>,
    pub(crate) destinations: BTreeMap<ObjectName, Result<Arc<config::Destination>, Problem>>,
    pub(crate) policies: BTreeMap<ObjectName, PolicyVerdict>,
}

#[derive(Debug)]
pub(crate) struct CompiledFleet {
    pub(crate) state: FleetState,
    /// `None`: nothing was ever good enough to run.
    pub(crate) config: Option<FleetConfig>,
    /// What the fleet would run, were it not paused, nor without gateways.
    pub(crate) placed: Placed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FleetState {
    Managed,
    Paused,
    Broken(Problem),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted(Arc<config::Pipeline>),
    Paused,
    Rejected(Problem),
}

/// Objects that are being deleted count as gone.
fn is_alive(object: &impl Resource<DynamicType = ()>) -> bool {
    object.meta().deletion_timestamp.is_none()
}

/// What each fleet last ran, by the name of its Collector.
pub(crate) type LastGood = BTreeMap<String, Arc<Config>>;

pub(crate) fn last_good(observed: &Observed) -> LastGood {
    let known = observed.fleets.iter().filter_map(|(name, fleet)| {
        let stored = || stored_config(fleet, name).map(Arc::new);
        Some((name.clone(), fleet.last_good.clone().or_else(stored)?))
    });
    known.collect()
}

pub(crate) fn compile(observed: &Observed, last: &LastGood) -> Compiled {
    let destinations: BTreeMap<_, _> = observed
        .destinations
        .iter()
        .filter(|(_, object)| is_alive(object.as_ref()))
        .map(|(name, object)| {
            let compiled = destination::compile(name, &object.spec, &observed.settings);
            (name.clone(), compiled.map(Arc::new))
        })
        .collect();
    let pipelines: BTreeMap<_, _> = observed
        .pipelines
        .iter()
        .filter(|(_, object)| is_alive(object.as_ref()))
        .map(|(name, object)| {
            let verdict = match pipeline::compile(observed, last, &destinations, name, object) {
                _ if object.spec.paused => Verdict::Paused,
                Ok(compiled) => Verdict::Accepted(Arc::new(compiled)),
                Err(problem) => Verdict::Rejected(problem),
            };
            (name.clone(), verdict)
        })
        .collect();
    let policies = observed.policies.iter().filter(|(_, object)| is_alive(object.as_ref()));
    let policies = policies
        .map(|(name, object)| (name.clone(), policy::compile(observed, name, object)))
        .collect();
    let mut compiled = Compiled { fleets: BTreeMap::new(), pipelines, destinations, policies };
    for (name, object) in living_collectors(observed) {
        let mut fleet = compile_fleet(observed, &compiled, last.get(name), name, object);
        let hand = if fleet.state == FleetState::Managed { Hand::Free } else { Hand::Off };
        if let Some(own) = &mut fleet.config {
            own.gateways = gateways(observed, (name, object), &own.config, hand).map(Arc::new);
        }
        compiled.fleets.insert(name.clone(), fleet);
    }
    compiled
}

fn living_collectors(observed: &Observed) -> impl Iterator<Item = (&String, &Arc<Collector>)> {
    observed.collectors.iter().filter(|(_, object)| is_alive(object.as_ref()))
}

/// The Collector of this name, unless it is being deleted.
pub(crate) fn living_collector<'a>(observed: &'a Observed, name: &str) -> Option<&'a Collector> {
    observed.collectors.get(name).map(Arc::as_ref).filter(|object| is_alive(*object))
}

pub(crate) fn living_destination<'a>(
    observed: &'a Observed,
    name: &ObjectName,
) -> Option<&'a Destination> {
    observed.destinations.get(name).map(Arc::as_ref).filter(|object| is_alive(*object))
}

fn compile_fleet(
    observed: &Observed,
    compiled: &Compiled,
    last: Option<&Arc<Config>>,
    name: &str,
    object: &Collector,
) -> CompiledFleet {
    let sampled = last.map(|last| &last.sampling);
    let place = |pipelines| sampling::place(observed, compiled, sampled, name, pipelines);
    if object.spec.management_state == ManagementState::Paused {
        let placed = last.map(|last| place(&last.pipelines)).unwrap_or_default();
        let config = last.cloned().map(seal);
        return CompiledFleet { state: FleetState::Paused, config, placed };
    }
    let (state, base) = match collector::compile(name, &object.spec, &observed.settings) {
        Ok(base) => (FleetState::Managed, Some(base)),
        Err(problem) => (FleetState::Broken(problem), last.map(|last| Base::of(last))),
    };
    let Some(base) = base else {
        return CompiledFleet { state, config: None, placed: Placed::default() };
    };
    let gateways = base.gateways.clone();
    let mut config = assemble(observed, compiled, last.map(AsRef::as_ref), name, base);
    let placed = place(&config.pipelines);
    (config.sampling, config.gateway) = gateways.settle(&placed.sampling);
    CompiledFleet { state, config: Some(seal(Arc::new(config))), placed }
}

fn seal(config: Arc<Config>) -> FleetConfig {
    let bytes: Arc<[u8]> = config.to_bytes().into();
    FleetConfig { hash: hash(&bytes), bytes, config, gateways: None }
}

fn assemble(
    observed: &Observed,
    compiled: &Compiled,
    last: Option<&Config>,
    fleet: &str,
    base: Base,
) -> Config {
    let mut config = Config {
        format: FORMAT,
        cluster: base.cluster,
        receivers: base.receivers,
        batch: base.batch,
        limiter: base.limiter,
        metrics_port: base.metrics_port,
        destinations: BTreeMap::new(),
        pipelines: BTreeMap::new(),
        sampling: Sampling::default(),
        gateway: Gateway::default(),
    };
    for (name, verdict) in &compiled.pipelines {
        if let Verdict::Accepted(pipeline) = verdict
            && observed.pipelines.get(name).is_some_and(|p| p.spec.collector() == fleet)
        {
            config.pipelines.insert(name.to_string(), pipeline.as_ref().clone());
        }
    }
    if let Some(last) = last {
        for name in running_on(observed, compiled) {
            let key = name.to_string();
            let kept = last.pipelines.get(&key);
            let kept = kept.and_then(|kept| without_closed(observed, compiled, name, kept));
            config.pipelines.extend(kept.map(|kept| (key, kept)));
        }
    }
    add_destinations(compiled, last, &mut config);
    config
}

/// Pipelines whose last version is kept: paused, or their new version is not good.
fn running_on<'a>(
    observed: &'a Observed,
    compiled: &'a Compiled,
) -> impl Iterator<Item = &'a ObjectName> {
    let known = compiled.pipelines.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::Accepted(_) => None,
        Verdict::Paused | Verdict::Rejected(_) => Some(name),
    });
    let unreadable = observed.unreadable.iter().filter_map(|(kind, name)| match kind {
        Kind::TelemetryPipeline => Some(name),
        Kind::Collector | Kind::Destination | Kind::SamplingPolicy => None,
    });
    known.chain(unreadable)
}

/// A kept version, but for the destinations that their owner has closed to it since; a destination
/// that is broken itself closes nothing. `None`: those were all.
fn without_closed(
    observed: &Observed,
    compiled: &Compiled,
    name: &ObjectName,
    kept: &config::Pipeline,
) -> Option<config::Pipeline> {
    let is_open = |key: &String| {
        parse_key(key).is_some_and(|destination| {
            let is_sound = matches!(compiled.destinations.get(&destination), Some(Ok(_)));
            let object = living_destination(observed, &destination).filter(|_| is_sound);
            destination.namespace == name.namespace
                || object.is_none_or(|object| {
                    pipeline::may_share(observed, name, &destination, object).is_ok()
                })
        })
    };
    let mut kept = kept.clone();
    for destinations in [&mut kept.traces, &mut kept.metrics, &mut kept.logs] {
        destinations.retain(is_open);
    }
    (destinations_of(&kept).count() > 0).then_some(kept)
}

/// A key of [`Config::pipelines`] or [`Config::destinations`].
pub(crate) fn parse_key(key: &str) -> Option<ObjectName> {
    key.split_once('/').map(|(namespace, name)| ObjectName::new(namespace, name))
}

/// Every destination that a pipeline of the config names, its last good version where the new one
/// is not good. A kept pipeline of which a destination cannot be had at all goes.
fn add_destinations(compiled: &Compiled, last: Option<&Config>, config: &mut Config) {
    let named: BTreeSet<_> = config.pipelines.values().flat_map(destinations_of).collect();
    let found = named
        .into_iter()
        .filter_map(|key| Some((key.clone(), destination_for(compiled, last, key)?.clone())));
    let found: BTreeMap<_, _> = found.collect();
    config
        .pipelines
        .retain(|_, pipeline| destinations_of(pipeline).all(|key| found.contains_key(key)));
    let named: BTreeSet<_> = config.pipelines.values().flat_map(destinations_of).collect();
    config.destinations = found.into_iter().filter(|(key, _)| named.contains(key)).collect();
}

/// The keys of all destinations that a pipeline sends to, some of them repeatedly.
pub(crate) fn destinations_of(pipeline: &config::Pipeline) -> impl Iterator<Item = &String> {
    pipeline.traces.iter().chain(&pipeline.metrics).chain(&pipeline.logs)
}

fn destination_for<'a>(
    compiled: &'a Compiled,
    last: Option<&'a Config>,
    key: &str,
) -> Option<&'a config::Destination> {
    match parse_key(key).and_then(|name| compiled.destinations.get(&name)) {
        Some(Ok(destination)) => Some(destination),
        _ => last?.destinations.get(key),
    }
}
