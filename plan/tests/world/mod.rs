//! A cluster in memory: holds what a plan asks for, as the API server and the agents would.

#![allow(dead_code, unused_imports, reason = "each test uses its part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod catalogue;
mod describe;

use catalogue::assert_catalogued;
pub(crate) use describe::describe;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use sluice_crds::{Collector, Destination, TelemetryPipeline};
use sluice_plan::report::{
    Adoption, AgentState, Delivery, DeliveryKey, Failure, Flow, FlowCounters, FlowKey, FlowRates,
    MemoryPressure, Signal,
};
use sluice_plan::{
    DaemonSetState, Fleet, ObjectName, Observed, Plan, Settings, Status, UnreadyPod, UnreadyReason,
    offline, plan,
};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const SYSTEM: &str = "sluice-system";

pub(crate) struct World {
    pub(crate) observed: Observed,
    /// The DaemonSet that was last applied, by fleet.
    applied: BTreeMap<String, Value>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut settings = Settings::new(SYSTEM, "0.1.0", "example/sluice:0.1.0");
        settings.cluster_uid = "0b2f".into();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut observed = Observed::new(now, settings);
        observed.namespaces.insert(SYSTEM.into(), BTreeMap::new());
        Self { observed, applied: BTreeMap::new() }
    }

    /// Creates or changes an object, as written in YAML and as the API server stores it. A changed
    /// spec has a new generation; the status stays.
    pub(crate) fn put(&mut self, object: &Value) {
        let object = offline::with_defaults(object);
        let name = ObjectName::new(
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap(),
        );
        let kind = object["kind"].as_str().unwrap().to_owned();
        let uid = format!("uid-{kind}-{name}");
        let observed = &mut self.observed;
        match kind.as_str() {
            "Namespace" => {
                let labels = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
                let labels = labels.into_iter().map(|(k, v)| (k, v.as_str().unwrap().to_owned()));
                observed.namespaces.insert(name.name, labels.collect());
            }
            "Collector" => {
                let mut new: Collector = read(object);
                let old = observed.collectors.get(&name.name);
                let same = old.is_some_and(|old| old.spec == new.spec);
                let generation = old.and_then(|old| old.metadata.generation).unwrap_or(0);
                new.metadata.generation = Some(generation + i64::from(!same));
                new.metadata.uid = Some(uid);
                new.status = old.and_then(|old| old.status.clone());
                observed.collectors.insert(name.name, Arc::new(new));
            }
            "TelemetryPipeline" => {
                let mut new: TelemetryPipeline = read(object);
                let old = observed.pipelines.get(&name);
                let same = old.is_some_and(|old| old.spec == new.spec);
                let generation = old.and_then(|old| old.metadata.generation).unwrap_or(0);
                new.metadata.generation = Some(generation + i64::from(!same));
                new.metadata.uid = Some(uid);
                new.status = old.and_then(|old| old.status.clone());
                observed.pipelines.insert(name, Arc::new(new));
            }
            "Destination" => {
                let mut new: Destination = read(object);
                let old = observed.destinations.get(&name);
                let same = old.is_some_and(|old| old.spec == new.spec);
                let generation = old.and_then(|old| old.metadata.generation).unwrap_or(0);
                new.metadata.generation = Some(generation + i64::from(!same));
                new.metadata.uid = Some(uid);
                new.status = old.and_then(|old| old.status.clone());
                observed.destinations.insert(name, Arc::new(new));
            }
            "Fleet" => self.put_fleet(&name.name, &object),
            "Delete" => self.delete(&object, &name),
            other => panic!("no kind {other}"),
        }
    }

    fn delete(&mut self, object: &Value, name: &ObjectName) {
        match object["of"].as_str().unwrap() {
            "Collector" => _ = self.observed.collectors.remove(&name.name),
            "TelemetryPipeline" => _ = self.observed.pipelines.remove(name),
            "Destination" => _ = self.observed.destinations.remove(name),
            other => panic!("no kind {other}"),
        }
    }

    /// What the nodes and the agents of a fleet do. `nodes`: that many agents are wanted; `ready`,
    /// `updated`: of them (default all); `adopted`: agents that run what is wanted now; `stale`:
    /// further agents that run what was wanted before.
    fn put_fleet(&mut self, name: &str, doc: &Value) {
        let now = self.observed.now;
        let number = |field: &str, default: i64| doc[field].as_i64().unwrap_or(default);
        let nodes = number("nodes", 0);
        let fleet = self.observed.fleets.entry(name.to_owned()).or_default();
        let generation = fleet.daemon_set.map_or(1, |set| set.generation);
        let int = |value: i64| i32::try_from(value).unwrap();
        fleet.daemon_set = Some(DaemonSetState {
            generation,
            observed_generation: generation,
            desired: int(nodes),
            current: int(number("current", nodes)),
            updated: int(number("updated", nodes)),
            ready: int(number("ready", nodes)),
        });
        let unready = doc["unready"].as_object().cloned().unwrap_or_default();
        let unready = unready.into_iter().map(|(pod, reason)| {
            let reason = UnreadyReason::from_kubernetes(reason.as_str().unwrap());
            let since = fleet.unready_pods.get(&pod).map_or(now, |before| before.since);
            (pod, UnreadyPod { reason, since })
        });
        fleet.unready_pods = unready.collect();
        put_agents(fleet, doc, now);
        put_books(fleet, doc);
    }
    /// Plans, and holds what comes out of it.
    pub(crate) fn lap(&mut self) -> Plan {
        let plan = plan(&self.observed);
        plan.statuses.iter().for_each(|write| assert_catalogued(&write.status));
        self.apply(&plan);
        plan
    }

    pub(crate) fn apply(&mut self, plan: &Plan) {
        let observed = &mut self.observed;
        for (name, config) in &plan.fleets {
            let fleet = observed.fleets.entry(name.clone()).or_default();
            fleet.last_good = Some(Arc::clone(&config.config));
            fleet.configs.insert(config.hash.clone(), Arc::clone(&config.config));
        }
        for fleet in observed.collectors.keys().filter(|name| !plan.untouched.contains(name)) {
            if let Some(fleet) = observed.fleets.get_mut(fleet) {
                fleet.config_maps.clear();
            }
        }
        for child in &plan.children {
            let value = serde_json::to_value(&child.object).unwrap();
            let fleet = observed.fleets.entry(child.fleet.clone()).or_default();
            match value["kind"].as_str() {
                Some("ConfigMap") => {
                    let map: ConfigMap = serde_json::from_value(value).unwrap();
                    fleet.config_maps.insert(map.metadata.name.clone().unwrap(), map);
                }
                Some("DaemonSet") if self.applied.get(&child.fleet) != Some(&value) => {
                    let mut set = fleet.daemon_set.unwrap_or_default();
                    set.generation += 1;
                    // A new one is not observed until its nodes are said.
                    set.observed_generation = match self.applied.get(&child.fleet) {
                        None if fleet.daemon_set.is_none() => 0,
                        _ => set.generation,
                    };
                    fleet.daemon_set = Some(set);
                    self.applied.insert(child.fleet.clone(), value);
                }
                _ => {}
            }
        }
        for write in &plan.statuses {
            match &write.status {
                Status::Collector(status) => {
                    let object = observed.collectors.get_mut(&write.name.name).unwrap();
                    Arc::make_mut(object).status = Some(status.clone());
                }
                Status::TelemetryPipeline(status) => {
                    let object = observed.pipelines.get_mut(&write.name).unwrap();
                    Arc::make_mut(object).status = Some(status.clone());
                }
                Status::Destination(status) => {
                    let object = observed.destinations.get_mut(&write.name).unwrap();
                    Arc::make_mut(object).status = Some(status.clone());
                }
            }
        }
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.observed.now += SignedDuration::from_secs(seconds);
    }

    /// All agents of `fleet` are there and run what is wanted.
    pub(crate) fn settle(&mut self, fleet: &str) {
        self.lap();
        self.put(&json!({"kind": "Fleet", "metadata": {"name": fleet}, "nodes": 3, "adopted": 3}));
        self.lap();
    }
}

fn put_agents(fleet: &mut Fleet, doc: &Value, now: Timestamp) {
    let number = |field: &str| doc[field].as_i64().unwrap_or(0);
    let wanted = fleet.last_good.as_ref().map(|c| sluice_engine_hash(&c.to_bytes()));
    let adopted = number("adopted");
    let before = std::mem::take(&mut fleet.report.agents);
    for i in 0..adopted + number("stale") {
        let pod = format!("agent-{i}");
        let old = before.get(&pod).map(|agent| agent.config_hash.clone());
        let adopts = i < adopted;
        let error = doc["error"].as_str().unwrap_or_default();
        let state = AgentState {
            node: format!("node-{i}"),
            version: doc["version"].as_str().unwrap_or("0.1.0").to_owned(),
            config_hash: if adopts { wanted.clone() } else { old }.unwrap_or_default(),
            adoption: match (adopts, error) {
                (true, _) => Adoption::Applied,
                (false, "") => Adoption::Applying,
                (false, _) => Adoption::Failed,
            },
            adoption_error: error.to_owned(),
            memory: match doc["memory"].as_str() {
                Some("Soft") => MemoryPressure::Soft,
                Some("Hard") => MemoryPressure::Hard,
                _ => MemoryPressure::Normal,
            },
            unknown_peers: doc["unknownPeers"].as_u64().unwrap_or_default(),
            seen: now,
        };
        fleet.report.agents.insert(pod, state);
    }
}

fn put_books(fleet: &mut Fleet, doc: &Value) {
    fleet.report.flows.clear();
    for flow in doc["flows"].as_array().into_iter().flatten() {
        let rate = |field: &str| flow[field].as_f64().unwrap_or_default();
        let rates = FlowRates {
            accepted: rate("accepted"),
            refused: rate("refused"),
            sampled_out: rate("sampledOut"),
            dropped: rate("dropped"),
            sent: rate("sent"),
        };
        let key = FlowKey { pipeline: text(flow, "pipeline"), signal: signal(flow) };
        let total = FlowCounters::default();
        fleet.report.flows.insert(key, Flow { total, rates, shown: rates });
    }
    fleet.report.deliveries.clear();
    for entry in doc["deliveries"].as_array().into_iter().flatten() {
        let key = DeliveryKey {
            destination: text(entry, "destination"),
            pipeline: text(entry, "pipeline"),
            signal: signal(entry),
        };
        fleet.report.deliveries.insert(key, delivery(entry));
    }
}

fn sluice_engine_hash(bytes: &[u8]) -> String {
    sluice_engine::config::hash(bytes)
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn text(entry: &Value, field: &str) -> String {
    entry[field].as_str().unwrap().to_owned()
}

fn signal(entry: &Value) -> Signal {
    Signal::parse(entry["signal"].as_str().unwrap_or("traces")).unwrap()
}

fn delivery(entry: &Value) -> Delivery {
    let agents = u32::try_from(entry["agents"].as_u64().unwrap_or(3)).unwrap();
    let failing = u32::try_from(entry["failing"].as_u64().unwrap_or(u64::from(agents))).unwrap();
    let mut delivery = Delivery {
        sent: entry["sent"].as_u64().unwrap_or_default(),
        sent_rate: entry["sentRate"].as_f64().unwrap_or_default(),
        dropped_rate: entry["droppedRate"].as_f64().unwrap_or_default(),
        queue_percent: u32::try_from(entry["queuePercent"].as_u64().unwrap_or_default()).unwrap(),
        agents,
        ..Delivery::default()
    };
    if let Some(reason) = entry["failure"].as_str() {
        let message = entry["message"].as_str().unwrap_or_default().to_owned();
        delivery.failures.insert(reason.into(), Failure { agents: failing, message });
    }
    if let Some(reason) = entry["credentials"].as_str() {
        delivery.credentials.insert(reason.into(), failing);
    }
    delivery
}

type Condition = k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Of one object: (observedGeneration, Ready and its reason, Reconciling, Stalled).
pub(crate) fn summary(
    generation: Option<i64>,
    conditions: &[Condition],
) -> (i64, String, bool, bool) {
    let find = |type_: &str| conditions.iter().find(|c| c.type_ == type_);
    let ready = find("Ready").map_or("–".into(), |c| format!("{} ({})", c.status, c.reason));
    let is = |type_| find(type_).is_some_and(|c| c.status == "True");
    (generation.unwrap_or(-1), ready, is("Reconciling"), is("Stalled"))
}
