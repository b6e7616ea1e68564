//! Events: each transition is told once, the same thing about the same object at most once in a
//! while. Losing one is no failure of a lap.

use crate::calls;
use crate::metrics::Metrics;
use crate::settings::Settings;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event as Record, EventType, Recorder, Reporter};
use sluice_plan::{API_VERSION, Event, Severity};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// What the events say of who wrote them.
const CONTROLLER: &str = "sluice.dev/operator";

pub struct Events {
    recorder: Recorder,
    timeout: Duration,
    metrics: Metrics,
    told: Told,
}

impl Events {
    pub fn new(client: Client, settings: &Settings, metrics: Metrics) -> Self {
        let instance = Some(settings.pod_name.clone());
        let reporter = Reporter { controller: CONTROLLER.into(), instance };
        let told = Told { interval: settings.event_interval, keys: HashMap::new() };
        let timeout = settings.call_timeout;
        Self { recorder: Recorder::new(client, reporter), timeout, metrics, told }
    }

    pub async fn tell(&mut self, event: &Event) {
        if !self.told.is_news(event, Instant::now()) {
            self.metrics.events.with_label_values(&["deduplicated"]).inc();
            return;
        }
        let record = Record {
            type_: match event.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: event.reason.as_str().to_owned(),
            note: Some(event.note.clone()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let regarding = regarding(event);
        let call = self.recorder.publish(&record, &regarding);
        match calls::within(self.timeout, call).await {
            Ok(()) => self.metrics.events.with_label_values(&["written"]).inc(),
            Err(error) => {
                self.metrics.failed("event");
                tracing::warn!(%error, reason = record.reason, "event not written");
            }
        }
    }
}

fn regarding(event: &Event) -> ObjectReference {
    let namespace = Some(event.name.namespace.clone()).filter(|namespace| !namespace.is_empty());
    ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some(event.kind.as_str().to_owned()),
        name: Some(event.name.name.clone()),
        namespace,
        uid: Some(event.uid.clone()),
        ..ObjectReference::default()
    }
}

struct Told {
    /// The shortest time between two equal events.
    interval: Duration,
    /// When an object's UID and a reason were last told together.
    keys: HashMap<(String, &'static str), Instant>,
}

impl Told {
    fn is_news(&mut self, event: &Event, now: Instant) -> bool {
        self.keys.retain(|_, at| now.duration_since(*at) < self.interval);
        let key = (event.uid.clone(), event.reason.as_str());
        if self.keys.contains_key(&key) {
            return false;
        }
        self.keys.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_crds::conditions::EventReason;
    use sluice_plan::{Kind, ObjectName};

    #[test]
    fn the_same_event_is_told_again_only_after_the_interval() {
        let event = Event {
            kind: Kind::TelemetryPipeline,
            name: ObjectName::new("shop", "web"),
            uid: "1".into(),
            reason: EventReason::PipelineRejected,
            severity: Severity::Warning,
            note: "the destination is missing".into(),
        };
        let other = Event { uid: "2".into(), ..event.clone() };
        let mut told = Told { interval: Duration::from_secs(600), keys: HashMap::new() };
        let start = Instant::now();
        assert!(told.is_news(&event, start));
        assert!(!told.is_news(&event, start + Duration::from_secs(599)));
        assert!(told.is_news(&other, start + Duration::from_secs(599)));
        assert!(told.is_news(&event, start + Duration::from_secs(600)));
    }
}
