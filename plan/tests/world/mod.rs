//! A cluster in memory: holds what a plan asks for, as the API server and the agents would.

#![allow(dead_code, unused_imports, reason = "each test uses its part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod catalogue;
mod describe;
mod gateways;

use catalogue::assert_catalogued;
pub(crate) use describe::describe;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use kube::core::object::{HasSpec, HasStatus};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_plan::report::{
    Adoption, AgentState, Delivery, DeliveryKey, Failure, Flow, FlowCounters, FlowKey, FlowRates,
    MemoryPressure, PolicyCounts, PolicyFlow, PolicyGrowth, Role, RuleCounts, Signal, TailFlow,
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
            "Collector" => put(&mut observed.collectors, name.name, uid, object),
            "TelemetryPipeline" => put(&mut observed.pipelines, name, uid, object),
            "Destination" => put(&mut observed.destinations, name, uid, object),
            "SamplingPolicy" => put(&mut observed.policies, name, uid, object),
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
            "SamplingPolicy" => _ = self.observed.policies.remove(name),
            other => panic!("no kind {other}"),
        }
    }

    /// What the nodes and the agents of a fleet do. `nodes`: that many agents are wanted; `ready`,
    /// `updated`: of them (default all); `adopted`: agents that run what is wanted now; `stale`:
    /// further agents that run what was wanted before; `gateways`: see [`gateways::put`].
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
        let wanted = fleet.last_good.as_ref().map(|c| sluice_engine_hash(&c.to_bytes()));
        gateways::put(fleet, doc, wanted.as_deref(), now);
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
            fleet.gateway_memory = config.gateways.clone();
            fleet.configs.insert(config.hash.clone(), Arc::clone(&config.config));
        }
        for fleet in observed.collectors.keys().filter(|name| !plan.untouched.contains(name)) {
            if let Some(fleet) = observed.fleets.get_mut(fleet) {
                fleet.config_maps.clear();
            }
        }
        for (name, fleet) in &mut observed.fleets {
            if !plan.untouched.contains(name) {
                gateways::apply(fleet, name, plan);
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
                Status::SamplingPolicy(status) => {
                    let object = observed.policies.get_mut(&write.name).unwrap();
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

/// A changed spec has a new generation; the status stays.
fn put<N: Ord, K>(objects: &mut BTreeMap<N, Arc<K>>, name: N, uid: String, object: Value)
where
    K: DeserializeOwned + Resource<DynamicType = ()> + HasSpec + HasStatus,
    K::Spec: PartialEq,
    K::Status: Clone,
{
    let mut new: K = read(object);
    let old = objects.get(&name);
    let same = old.is_some_and(|old| old.spec() == new.spec());
    let generation = old.and_then(|old| old.meta().generation).unwrap_or(0);
    new.meta_mut().generation = Some(generation + i64::from(!same));
    new.meta_mut().uid = Some(uid);
    *new.status_mut() = old.and_then(|old| old.status().cloned());
    objects.insert(name, Arc::new(new));
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
            role: Role::Agent,
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
            load: None,
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
    fleet.report.policies.clear();
    for entry in doc["policies"].as_array().into_iter().flatten() {
        fleet.report.policies.insert(text(entry, "policy"), policy_flow(entry));
    }
    let tail = &doc["tail"];
    fleet.report.tail = TailFlow {
        bytes_high: tail["bytesHigh"].as_u64().unwrap_or_default(),
        late_spans_per_second: tail["lateSpans"].as_f64().unwrap_or_default(),
        ..TailFlow::default()
    };
}

/// What was counted in `seconds`, which is all that there is.
fn policy_flow(entry: &Value) -> PolicyFlow {
    let number = |field: &str| entry[field].as_u64().unwrap_or_default();
    let rule = |(name, rule): (&String, &Value)| {
        let number = |at: usize| rule[at].as_u64().unwrap();
        (name.clone(), RuleCounts { matched: number(0), decided: number(1), kept: number(2) })
    };
    let counts = PolicyCounts {
        traces: number("traces"),
        kept: number("kept"),
        error_traces: number("errorTraces"),
        error_traces_kept: number("errorTracesKept"),
        decided_early: number("decidedEarly"),
        would_keep: number("wouldKeep"),
        would_keep_errors: number("wouldKeepErrors"),
        rules: entry["rules"].as_object().into_iter().flatten().map(rule).collect(),
        ..PolicyCounts::default()
    };
    let warming = entry["warming"].as_array().into_iter().flatten();
    let warming = warming.map(|rule| rule.as_str().unwrap().to_owned()).collect();
    let seconds = entry["seconds"].as_i64().unwrap_or(60);
    let shown = PolicyGrowth { seconds, counts: counts.clone() };
    PolicyFlow { total: counts, recent: shown.clone(), shown, warming }
}

fn sluice_engine_hash(bytes: &[u8]) -> String {
    sluice_engine::config::hash(bytes)
}

fn read<T: DeserializeOwned>(object: Value) -> T {
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
