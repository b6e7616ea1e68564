//! What the API server holds, kept in memory by watches. A watch only wakes the loop; what an
//! object means is left to the planner.

use crate::health::Health;
use backon::ExponentialBuilder;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, ExponentialBackoff, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use sluice_crds::{Collector, Destination, SamplingPolicy, TelemetryPipeline};
use sluice_plan::FLEET_LABEL;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The label, and its value, of everything that the operator makes.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "sluice");

/// The waits between two attempts to list what cannot be listed, a missing CRD for one.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(2);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(10);

pub struct Stores {
    pub collectors: Store<DeserializeGuard<Collector>>,
    pub pipelines: Store<DeserializeGuard<TelemetryPipeline>>,
    pub destinations: Store<DeserializeGuard<Destination>>,
    pub policies: Store<DeserializeGuard<SamplingPolicy>>,
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
    pub daemon_sets: Store<DeserializeGuard<DaemonSet>>,
    pub deployments: Store<DeserializeGuard<Deployment>>,
    pub disruption_budgets: Store<PartialObjectMeta<PodDisruptionBudget>>,
    pub config_maps: Store<DeserializeGuard<ConfigMap>>,
    pub services: Store<PartialObjectMeta<Service>>,
    pub pods: Store<DeserializeGuard<Pod>>,
}

impl Stores {
    /// Starts all watches; their tasks live in `tasks` and end with it.
    pub fn start(watches: &mut Watches, namespace: &str) -> Self {
        let client = watches.client.clone();
        let own = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let all = watcher::Config::default();
        let inside = (client.clone(), namespace);
        Self {
            collectors: watches.follow("collectors", Api::all(client.clone()), &all, GENERATION),
            pipelines: watches.follow(
                "telemetrypipelines",
                Api::all(client.clone()),
                &all,
                GENERATION,
            ),
            destinations: watches.follow(
                "destinations",
                Api::all(client.clone()),
                &all,
                GENERATION,
            ),
            policies: watches.follow(
                "samplingpolicies",
                Api::all(client.clone()),
                &all,
                GENERATION,
            ),
            namespaces: watches.follow("namespaces", Api::all(client), &all, LABELS),
            daemon_sets: watches.follow("daemonsets", within(&inside), &own, VERSION),
            deployments: watches.follow("deployments", within(&inside), &own, VERSION),
            disruption_budgets: watches.follow(
                "poddisruptionbudgets",
                within(&inside),
                &own,
                VERSION,
            ),
            config_maps: watches.follow("configmaps", within(&inside), &own, VERSION),
            services: watches.follow("services", within(&inside), &own, VERSION),
            pods: watches.follow(
                "pods",
                within(&inside),
                &watcher::Config::default().labels(FLEET_LABEL),
                VERSION,
            ),
        }
    }

    /// Returns once everything has been listed.
    pub async fn ready(&self) {
        // An error means that the watch's task is gone, which only happens at the end.
        let _ = tokio::join!(
            self.collectors.wait_until_ready(),
            self.pipelines.wait_until_ready(),
            self.destinations.wait_until_ready(),
            self.policies.wait_until_ready(),
            self.namespaces.wait_until_ready(),
            self.daemon_sets.wait_until_ready(),
            self.deployments.wait_until_ready(),
            self.disruption_budgets.wait_until_ready(),
            self.config_maps.wait_until_ready(),
            self.services.wait_until_ready(),
            self.pods.wait_until_ready(),
        );
    }
}

fn within<K>((client, namespace): &(Client, &str)) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}

/// Which part of an object's metadata must change for the loop to wake.
#[derive(Clone, Copy)]
struct Wakes {
    generation: bool,
    labels: bool,
    version: bool,
}

/// Users' objects: not the operator's own writes of their status.
const GENERATION: Wakes = Wakes { generation: true, labels: false, version: false };
const LABELS: Wakes = Wakes { generation: false, labels: true, version: false };
/// Own objects: any change may be somebody's hand.
const VERSION: Wakes = Wakes { generation: false, labels: false, version: true };

/// Starts watches and owns their tasks.
pub struct Watches {
    pub client: Client,
    pub health: Health,
    pub wake: Arc<Notify>,
    pub tasks: JoinSet<()>,
}

impl Watches {
    fn follow<K>(
        &mut self,
        subject: &'static str,
        api: Api<K>,
        config: &watcher::Config,
        wakes: Wakes,
    ) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (store, writer) = reflector::store();
        self.health.waiting(subject, "not listed yet");
        let backoff = ExponentialBuilder::new()
            .with_min_delay(RETRY_DELAY_MIN)
            .with_max_delay(RETRY_DELAY_MAX)
            .with_jitter()
            .without_max_times();
        let events = watcher(api, config.clone())
            .backoff(ExponentialBackoff::from(backoff))
            .modify(|object: &mut K| object.managed_fields_mut().clear())
            .reflect(writer);
        let mut follower = Follower {
            subject,
            crd: format!("{}.{}", K::plural(&()), K::group(&())),
            health: self.health.clone(),
            wake: Arc::clone(&self.wake),
            wakes,
            seen: HashMap::new(),
        };
        self.tasks.spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                follower.take(event);
            }
        });
        store
    }
}

struct Follower<K: Resource<DynamicType = ()> + 'static> {
    subject: &'static str,
    /// The name that a CustomResourceDefinition of this kind would have.
    crd: String,
    health: Health,
    wake: Arc<Notify>,
    wakes: Wakes,
    seen: HashMap<ObjectRef<K>, u64>,
}

impl<K: Resource<DynamicType = ()> + Clone> Follower<K> {
    fn take(&mut self, event: Result<Event<K>, watcher::Error>) {
        match event {
            Ok(Event::Init) => self.seen.clear(),
            Ok(Event::InitApply(object)) => _ = self.is_news(&object),
            Ok(Event::InitDone) => {
                self.health.ready(self.subject);
                self.wake.notify_one();
            }
            Ok(Event::Apply(object)) => {
                if self.is_news(&object) {
                    self.wake.notify_one();
                }
            }
            Ok(Event::Delete(object)) => {
                self.seen.remove(&ObjectRef::from_obj(&object));
                self.wake.notify_one();
            }
            Err(error) => self.failed(&error),
        }
    }

    fn is_news(&mut self, object: &K) -> bool {
        let fingerprint = self.wakes.fingerprint(object);
        self.seen.insert(ObjectRef::from_obj(object), fingerprint) != Some(fingerprint)
    }

    /// A watch that breaks is resumed and changes nothing; a kind that is gone is waited for.
    fn failed(&self, error: &watcher::Error) {
        let missing = matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status))
            if status.code == 404);
        if missing {
            let reason = format!("CustomResourceDefinition {} is missing", self.crd);
            if self.health.waiting(self.subject, reason) {
                tracing::warn!(crd = self.crd, "kind not served");
            }
        } else {
            tracing::warn!(subject = self.subject, %error, "watch interrupted");
        }
    }
}

impl Wakes {
    fn fingerprint(self, object: &impl Resource) -> u64 {
        let meta = object.meta();
        let mut hasher = DefaultHasher::new();
        (&meta.uid, meta.deletion_timestamp.is_some()).hash(&mut hasher);
        if self.generation {
            meta.generation.hash(&mut hasher);
        }
        if self.labels {
            meta.labels.hash(&mut hasher);
        }
        if self.version {
            meta.resource_version.hash(&mut hasher);
        }
        hasher.finish()
    }
}
