//! Tells users what became of their objects: status, then the events of the same change. All
//! writes pass one bucket, changed conditions before moved numbers; only what was applied is told.

use crate::apply::Applied;
use crate::calls;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::stores::Stores;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use sluice_plan::{Event, Kind, ObjectName, Plan, Status, StatusWrite};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

const FIELD_MANAGER: &str = "sluice-status";

/// What there is to tell as of one lap; the next lap's takes its place.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Conditions first.
    statuses: Vec<StatusWrite>,
    events: Vec<Event>,
    /// Of no status.
    repairs: Vec<Event>,
}

/// Hands over what `applied` says of users' objects.
pub fn report(applied: &Applied, outbox: &watch::Sender<Arc<News>>) {
    let Plan { statuses, events, fleets: _, children: _, deletion_costs: _, untouched: _ } =
        applied.plan();
    // A Collector whose children were not taken is not what a status says that is content.
    let told = |write: &&StatusWrite| match &write.status {
        Status::Collector(_) => {
            !applied.failures().contains_key(&write.name.name) || !write.status.is_ready()
        }
        Status::TelemetryPipeline(_) | Status::Destination(_) | Status::SamplingPolicy(_) => true,
    };
    let mut statuses: Vec<StatusWrite> = statuses.iter().filter(told).cloned().collect();
    statuses.sort_by_key(|write| !write.urgent);
    let repairs = applied.repairs().to_vec();
    outbox.send_replace(Arc::new(News { statuses, events: events.clone(), repairs }));
}

type Key = (Kind, ObjectName);

/// Writes news as fast as the bucket allows.
pub struct Reporter {
    client: Client,
    timeout: Duration,
    metrics: Metrics,
    events: Events,
    bucket: Interval,
    versions: Versions,
    /// Numbers that moved are not written sooner than this after the last write.
    interval: Duration,
    written: HashMap<Key, Written>,
}

/// The last write of an object's status.
#[derive(Debug)]
struct Written {
    at: Instant,
    /// The version that the store had then: as long as it has not moved, the planner has not seen
    /// that write and asks for it again.
    before: Option<String>,
}

/// The resource version of a user's object as the watches know it; `None`: it is gone.
pub type Versions = Box<dyn Fn(Kind, &ObjectName) -> Option<String> + Send>;

/// [`Versions`] out of the stores.
pub fn versions(stores: Arc<Stores>) -> Versions {
    Box::new(move |kind, name| match kind {
        Kind::Collector => version(&stores.collectors, name),
        Kind::TelemetryPipeline => version(&stores.pipelines, name),
        Kind::Destination => version(&stores.destinations, name),
        Kind::SamplingPolicy => version(&stores.policies, name),
    })
}

fn version<K>(store: &Store<K>, name: &ObjectName) -> Option<String>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut key = ObjectRef::new(&name.name);
    if !name.namespace.is_empty() {
        key = key.within(&name.namespace);
    }
    store.get(&key)?.resource_version()
}

impl Reporter {
    pub fn new(
        client: Client,
        settings: &Settings,
        metrics: Metrics,
        events: Events,
        versions: Versions,
    ) -> Self {
        let per_second = settings.status_writes_per_second.max(1);
        let mut bucket = tokio::time::interval(Duration::from_secs(1) / per_second);
        bucket.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            client,
            timeout: settings.call_timeout,
            metrics,
            events,
            bucket,
            versions,
            interval: settings.status_interval,
            written: HashMap::new(),
        }
    }

    /// Until nobody can have news any more.
    pub async fn run(mut self, mut inbox: watch::Receiver<Arc<News>>) {
        let mut done = HashSet::new();
        let mut is_fresh = true;
        loop {
            let news = Arc::clone(&inbox.borrow_and_update());
            for event in news.repairs.iter().filter(|_| is_fresh) {
                self.events.tell(event).await;
            }
            is_fresh = false;
            if let Some(write) = self.next(&news, &done) {
                self.bucket.tick().await;
                done.insert((write.status.kind(), write.name.clone()));
                self.write(write, &news.events).await;
                if inbox.has_changed().unwrap_or(false) {
                    done.clear();
                    is_fresh = true;
                }
                continue;
            }
            if inbox.changed().await.is_err() {
                return;
            }
            done.clear();
            is_fresh = true;
        }
    }

    fn next<'a>(&self, news: &'a News, done: &HashSet<Key>) -> Option<&'a StatusWrite> {
        news.statuses.iter().find(|write| {
            let key = (write.status.kind(), write.name.clone());
            !done.contains(&key) && self.is_due(write, &key)
        })
    }

    fn is_due(&self, write: &StatusWrite, key: &Key) -> bool {
        let Some(version) = (self.versions)(key.0, &key.1) else { return false };
        let Some(written) = self.written.get(key) else { return true };
        let unseen = written.before.as_deref() == Some(&*version);
        !unseen && (write.urgent || written.at.elapsed() >= self.interval)
    }

    async fn write(&mut self, write: &StatusWrite, events: &[Event]) {
        let kind = write.status.kind();
        let key = (kind, write.name.clone());
        let Some(before) = (self.versions)(kind, &write.name) else { return };
        // The status subresource has no other author: whoever edited it is overruled.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(write.patch());
        let api = self.api(kind, &write.name.namespace);
        let call = api.patch_status(&write.name.name, &params, &patch);
        match calls::within(self.timeout, call).await {
            Ok(taken) => {
                self.metrics.status_writes.inc();
                // A write that changed nothing is never seen by the watch.
                let moved = taken.resource_version().as_deref() != Some(&*before);
                let before = moved.then_some(before);
                self.written.insert(key, Written { at: Instant::now(), before });
            }
            // Deleted meanwhile: there is nobody to tell.
            Err(error) if error.code() == 404 => return,
            Err(error) => {
                self.metrics.failed("status");
                tracing::warn!(kind = kind.as_str(), name = %write.name, %error, "status not written");
                return;
            }
        }
        for event in events.iter().filter(|e| e.kind == kind && e.name == write.name) {
            self.events.tell(event).await;
        }
        let versions = &self.versions;
        self.written.retain(|(kind, name), _| versions(*kind, name).is_some());
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let plural = match kind {
            Kind::Collector => "collectors",
            Kind::TelemetryPipeline => "telemetrypipelines",
            Kind::Destination => "destinations",
            Kind::SamplingPolicy => "samplingpolicies",
        };
        let gvk = GroupVersionKind::gvk(sluice_crds::GROUP, sluice_crds::VERSION, kind.as_str());
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }
}
