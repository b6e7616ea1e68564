//! A config made ready to run: which queues exist, and which pipelines want whose telemetry.

use crate::books::QueueKey;
use crate::config::sampling::Policy;
use crate::config::{Config, Destination, Namespaces, Pipeline, StartAt};
use crate::enrich;
use crate::queue::Bounds;
use crate::sender::{Pod, Sender, Source};
use sluice_wire::sampling::Threshold;
use sluice_wire::{ResourceEdit, Signal};
use std::collections::BTreeMap;

/// An accepted config. Pipelines stand in the order of their names.
#[derive(Debug)]
pub struct Compiled {
    pub config: Config,
    pub pipelines: Vec<(String, Pipeline)>,
}

/// Where the telemetry of one sender goes.
#[derive(Debug, Default)]
pub struct Route {
    pub targets: Vec<Target>,
    /// What heads of policies leave of its traces.
    pub head: Threshold,
}

#[derive(Debug)]
pub struct Target {
    /// Index in [`Compiled::pipelines`].
    pub pipeline: usize,
    pub edit: Option<ResourceEdit>,
}

/// One queue to run, and where it ends.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub bounds: Bounds,
    pub destination: Destination,
    pub content: Content,
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Export requests.
    Otlp,
    /// Forwards ([`sluice_wire::forward`]), for a gateway.
    Forward,
}

impl Compiled {
    /// # Errors
    /// Names the pipeline whose destination is not in the config, or a limit that cannot be kept.
    pub fn new(config: Config) -> Result<Self, String> {
        for (name, pipeline) in &config.pipelines {
            for signal in Signal::ALL {
                let unknown = destinations(pipeline, signal)
                    .iter()
                    .find(|destination| !config.destinations.contains_key(*destination));
                if let Some(unknown) = unknown {
                    return Err(format!("pipeline {name} names the unknown destination {unknown}"));
                }
            }
        }
        if config.batch.items == 0 || config.batch.bytes_max == 0 {
            return Err("a batch holds at least one item and one byte".to_owned());
        }
        if config.limiter.soft_bytes >= config.limiter.hard_bytes {
            return Err("the soft limit is not below the hard limit".to_owned());
        }
        let pipelines = config.pipelines.clone().into_iter().collect();
        Ok(Self { config, pipelines })
    }

    /// Every (pipeline, destination, signal) of the config.
    pub fn outlets(&self) -> BTreeMap<QueueKey, Outlet> {
        let mut outlets = BTreeMap::new();
        for (name, pipeline) in &self.pipelines {
            for signal in Signal::ALL {
                for destination in destinations(pipeline, signal) {
                    let key = QueueKey {
                        pipeline: name.clone(),
                        destination: destination.clone(),
                        signal,
                    };
                    let outlet = Outlet {
                        bounds: Bounds::new(&self.config.batch, &pipeline.delivery),
                        destination: self.config.destinations[destination].clone(),
                        content: Content::Otlp,
                    };
                    outlets.insert(key, outlet);
                }
            }
        }
        outlets
    }

    /// Which pipelines take `signal` from this sender; `claimed` is `k8s.namespace.name` of a
    /// resource, read only where senders are believed.
    pub fn route(
        &self,
        signal: Signal,
        source: &Source,
        sender: &Sender,
        claimed: Option<&str>,
    ) -> Route {
        let wanting = self.pipelines.iter().enumerate().filter(|(_, (_, pipeline))| {
            !destinations(pipeline, signal).is_empty()
                && takes_from(pipeline, source)
                && selects(pipeline, sender, claimed)
        });
        let targets = wanting.map(|(index, (_, pipeline))| Target {
            pipeline: index,
            edit: enrich::edit(&self.config.cluster, &pipeline.enrich, sender),
        });
        let targets: Vec<Target> = targets.collect();
        let head = match signal {
            Signal::Traces if !targets.is_empty() => self.head(sender, claimed, &targets),
            _ => Threshold::EVERYTHING,
        };
        Route { targets, head }
    }

    fn head(&self, sender: &Sender, claimed: Option<&str>, targets: &[Target]) -> Threshold {
        let namespace = match sender {
            Sender::Pod(pod) => Some(pod.namespace.as_str()),
            Sender::Claimed => claimed,
            Sender::Unknown => None,
        };
        let names = targets.iter().map(|target| self.pipelines[target.pipeline].0.as_str());
        let names = names.collect();
        let policies = self.config.sampling.policies.values();
        let own = policies.filter(|policy| policy.scope.has(namespace, &names));
        own.filter_map(Policy::head_in_force).max().unwrap_or_default()
    }

    /// Whether any pipeline reads the logs of a pod's container, and where to start in a file
    /// without a checkpoint (the beginning, if one of them asks for it).
    pub fn start_of_logs(&self, pod: &Pod, container: &str) -> Option<StartAt> {
        let wanting = self.pipelines.iter().filter_map(|(_, pipeline)| {
            let pod_logs = pipeline.pod_logs.as_ref()?;
            let wanted = !pipeline.logs.is_empty()
                && pod_logs.wants(container)
                && selects_pod(pipeline, pod);
            wanted.then_some(pod_logs.start_at)
        });
        wanting.reduce(|one, other| if one == StartAt::Beginning { one } else { other })
    }
}

/// Keys of the destinations of one signal.
pub fn destinations(pipeline: &Pipeline, signal: Signal) -> &[String] {
    match signal {
        Signal::Traces => &pipeline.traces,
        Signal::Metrics => &pipeline.metrics,
        Signal::Logs => &pipeline.logs,
    }
}

fn takes_from(pipeline: &Pipeline, source: &Source) -> bool {
    match source {
        Source::Otlp => pipeline.otlp,
        Source::PodLogs { container } => {
            pipeline.pod_logs.as_ref().is_some_and(|pod_logs| pod_logs.wants(container))
        }
    }
}

fn selects(pipeline: &Pipeline, sender: &Sender, claimed: Option<&str>) -> bool {
    match sender {
        Sender::Pod(pod) => selects_pod(pipeline, pod),
        Sender::Claimed => pipeline.workload.is_empty() && has(&pipeline.namespaces, claimed),
        Sender::Unknown => pipeline.workload.is_empty() && has(&pipeline.namespaces, None),
    }
}

fn selects_pod(pipeline: &Pipeline, pod: &Pod) -> bool {
    has(&pipeline.namespaces, Some(&pod.namespace)) && pipeline.workload.matches(&pod.labels)
}

fn has(namespaces: &Namespaces, namespace: Option<&str>) -> bool {
    match (namespaces, namespace) {
        (Namespaces::Only(names), Some(namespace)) => names.contains(namespace),
        (Namespaces::Only(_), None) => false,
        (Namespaces::AllExcept(names), Some(namespace)) => !names.contains(namespace),
        (Namespaces::AllExcept(_), None) => true,
    }
}
