//! The operator's loop against an [`Api`], with what the watches would see copied by hand.

use crate::api::Api;
use clap::Parser;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_crds::{Collector, Destination, SamplingPolicy, TelemetryPipeline};
use sluice_operator::{
    Applier, Assignments, Authority, Events, Incomplete, Metrics, News, Published, Reporter,
    Reports, Settings, Spine, Stores, versions,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub(crate) const OWN: &str = "/api/v1/namespaces/sluice-system";
pub(crate) const OWN_APPS: &str = "/apis/apps/v1/namespaces/sluice-system";
pub(crate) const OURS: &str = "/apis/sluice.dev/v1alpha1";

/// What a status says differs with the time of the lap; these tests do not ask for that.
const NOW: i64 = 1_800_000_000;

pub(crate) struct Cluster {
    pub api: Api,
    pub assignments: watch::Receiver<Assignments>,
    trust: kube::core::DynamicObject,
    stores: Arc<Stores>,
    writers: Writers,
    spine: Spine,
    reporter: JoinHandle<()>,
}

struct Writers {
    collectors: Writer<DeserializeGuard<Collector>>,
    pipelines: Writer<DeserializeGuard<TelemetryPipeline>>,
    destinations: Writer<DeserializeGuard<Destination>>,
    policies: Writer<DeserializeGuard<SamplingPolicy>>,
    namespaces: Writer<PartialObjectMeta<Namespace>>,
    daemon_sets: Writer<DeserializeGuard<DaemonSet>>,
    deployments: Writer<DeserializeGuard<Deployment>>,
    disruption_budgets: Writer<PartialObjectMeta<PodDisruptionBudget>>,
    config_maps: Writer<DeserializeGuard<ConfigMap>>,
    services: Writer<PartialObjectMeta<Service>>,
    pods: Writer<DeserializeGuard<Pod>>,
}

impl Cluster {
    pub(crate) fn new(api: Api) -> Self {
        let (collectors, write_collectors) = reflector::store();
        let (pipelines, write_pipelines) = reflector::store();
        let (destinations, write_destinations) = reflector::store();
        let (policies, write_policies) = reflector::store();
        let (namespaces, write_namespaces) = reflector::store();
        let (daemon_sets, write_daemon_sets) = reflector::store();
        let (deployments, write_deployments) = reflector::store();
        let (disruption_budgets, write_disruption_budgets) = reflector::store();
        let (config_maps, write_config_maps) = reflector::store();
        let (services, write_services) = reflector::store();
        let (pods, write_pods) = reflector::store();
        let stores = Arc::new(Stores {
            collectors,
            pipelines,
            destinations,
            policies,
            namespaces,
            daemon_sets,
            deployments,
            disruption_budgets,
            config_maps,
            services,
            pods,
        });
        let writers = Writers {
            collectors: write_collectors,
            pipelines: write_pipelines,
            destinations: write_destinations,
            policies: write_policies,
            namespaces: write_namespaces,
            daemon_sets: write_daemon_sets,
            deployments: write_deployments,
            disruption_budgets: write_disruption_budgets,
            config_maps: write_config_maps,
            services: write_services,
            pods: write_pods,
        };
        let trust = Authority::generate(Timestamp::UNIX_EPOCH)
            .unwrap()
            .config_map("sluice-system", json!([]));
        let (spine, reporter, assignments) = start(&api, &stores, trust.clone());
        Self { api, assignments, trust, stores, writers, spine, reporter }
    }

    /// The process dies and another takes its place: nothing is remembered.
    pub(crate) fn restart(&mut self) {
        self.reporter.abort();
        let (spine, reporter, assignments) = start(&self.api, &self.stores, self.trust.clone());
        self.spine = spine;
        self.reporter = reporter;
        self.assignments = assignments;
    }

    /// The watches catch up, one lap is made, and its news go out.
    pub(crate) async fn lap(&mut self) -> Result<(), Incomplete> {
        self.catch_up();
        let lap = self.spine.lap(Timestamp::from_second(NOW).unwrap()).await;
        // The clock is paused: it goes on by hand, and what is due in between is done.
        for _ in 0..300 {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        lap
    }

    /// Laps until one changes nothing.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..10 {
            let before = self.api.objects("/");
            if self.lap().await.is_ok() && self.api.objects("/") == before {
                return;
            }
        }
        panic!("it never settles: {:#?}", self.api.calls());
    }

    fn catch_up(&mut self) {
        let Self { api, writers, .. } = self;
        let objects = api.objects("/");
        copy(&objects, &mut writers.collectors);
        copy(&objects, &mut writers.pipelines);
        copy(&objects, &mut writers.destinations);
        copy(&objects, &mut writers.policies);
        copy(&objects, &mut writers.namespaces);
        copy(&objects, &mut writers.daemon_sets);
        copy(&objects, &mut writers.deployments);
        copy(&objects, &mut writers.disruption_budgets);
        copy(&objects, &mut writers.config_maps);
        copy(&objects, &mut writers.services);
        copy(&objects, &mut writers.pods);
    }
}

fn start(
    api: &Api,
    stores: &Arc<Stores>,
    trust: kube::core::DynamicObject,
) -> (Spine, JoinHandle<()>, watch::Receiver<Assignments>) {
    let settings = Arc::new(Settings::parse_from(["sluice-operator", "--pod-name", "a"]));
    let metrics = Metrics::new().unwrap();
    let (outbox, inbox) = watch::channel(Arc::new(News::default()));
    let (assign, assignments) = watch::channel(Assignments::default());
    let wake = Arc::new(Notify::new());
    let reporter = Reporter::new(
        api.client(),
        &settings,
        metrics.clone(),
        Events::new(api.client(), &settings, metrics.clone()),
        versions(Arc::clone(stores)),
    );
    let spine = Spine {
        applier: Applier::new(api.client(), &settings, metrics.clone()),
        settings,
        metrics,
        stores: Arc::clone(stores),
        reports: Arc::new(Reports::new(Duration::from_secs(60), Arc::clone(&wake))),
        wake,
        assignments: assign,
        outbox,
        trust,
        published: Published::default(),
    };
    (spine, tokio::spawn(reporter.run(inbox)), assignments)
}

fn copy<K>(objects: &BTreeMap<String, Value>, writer: &mut Writer<K>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    writer.apply_watcher_event(&Event::Init);
    for object in objects.values().filter(|object| object["kind"] == *K::kind(&())) {
        let object: K = serde_json::from_value(object.clone()).unwrap();
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
}

/// A cluster-wide object of ours, as a user would write it.
pub(crate) fn collector(api: &Api, name: &str) {
    let object = json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Collector",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1},
        "spec": {},
    });
    api.put(&format!("{OURS}/collectors/{name}"), object);
}

fn namespaced(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "generation": 1,
        },
        "spec": spec,
    })
}

/// A policy `web` of `shop`.
pub(crate) fn policy(api: &Api) {
    let spec = json!({
        "keep": [{"name": "errors", "match": {"status": "Error"}, "atLeastPercent": 100}],
        "default": {"keepPercent": 10},
    });
    let policy = namespaced("SamplingPolicy", "web", spec);
    api.put(&format!("{OURS}/namespaces/shop/samplingpolicies/web"), policy);
}

/// A pipeline `web` in `shop`, and the destination that it names.
pub(crate) fn pipeline(api: &Api) {
    let spec = json!({
        "sources": {"otlp": {"enabled": true}},
        "traces": {"destinationRefs": [{"name": "tempo"}]},
    });
    let pipeline = namespaced("TelemetryPipeline", "web", spec);
    api.put(&format!("{OURS}/namespaces/shop/telemetrypipelines/web"), pipeline);
    let spec = json!({
        "type": "OTLP",
        "otlp": {"endpoint": "tempo.shop:4317"},
        "tls": {"mode": "Plaintext"},
    });
    let destination = namespaced("Destination", "tempo", spec);
    api.put(&format!("{OURS}/namespaces/shop/destinations/tempo"), destination);
    for name in ["shop", "sluice-system", "kube-system"] {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "uid": format!("uid-{name}")},
        });
        api.put(&format!("/api/v1/namespaces/{name}"), namespace);
    }
}
