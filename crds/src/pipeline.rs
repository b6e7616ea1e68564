//! `TelemetryPipeline`: what is collected, shaped and sent.

mod delivery;
mod sources;
mod status;

pub use delivery::{Delivery, OnFull, Queue, Retry};
pub use sources::{Containers, OtlpSource, PodLogs, Sources, StartAt};
pub use status::{Adoption, DestinationState, SignalFlow, TelemetryPipelineStatus};

use crate::DEFAULT_COLLECTOR;
use crate::reference::{CollectorRef, DestinationRef, LABEL_PATTERN};
use crate::{rule, selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is collected, from which pods, and where it is sent. A signal without its member (`traces`,
/// `metrics`, `logs`) is not collected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
#[expect(clippy::duplicated_attributes, reason = "each column has a type")]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "TelemetryPipeline",
    namespaced,
    category = "sluice",
    shortname = "tp",
    status = "TelemetryPipelineStatus",
    derive = "PartialEq",
    doc = "A TelemetryPipeline says what telemetry of its own namespace is collected, how it is \
           shaped, and to which Destinations it is sent. In the system namespace it may take the \
           telemetry of many namespaces.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Flow",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"FlowHealthy\")].reason",
        description = "whether data arrives and leaves"
    ),
    printcolumn(name = "Signals", type_ = "string", json_path = ".status.signalsSummary"),
    printcolumn(
        name = "Adopted",
        type_ = "string",
        json_path = ".status.adopted.summary",
        description = "agents that run this generation, of those that should"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    )
)]
pub struct TelemetryPipelineSpec {
    /// The fleet that runs this pipeline; absent: the Collector called `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector_ref: Option<CollectorRef>,
    /// While true, changes of this object are not applied; data flows on with the last version.
    pub paused: bool,
    /// Namespaces whose telemetry is taken; only in the system namespace. `{}`: every namespace;
    /// absent: this object's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector::label_selector")]
    pub namespace_selector: Option<LabelSelector>,
    /// Namespaces left out of `namespaceSelector`; only in the system namespace.
    /// Example: `[kube-system]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub exclude_namespaces: Vec<String>,
    /// Pods whose telemetry is taken, by their labels; absent or `{}`: every pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector::label_selector")]
    pub workload_selector: Option<LabelSelector>,
    /// Where telemetry comes from; absent: OTLP only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// What is added to telemetry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrich: Option<Enrich>,
    /// Traces; absent: not collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<TracesSpec>,
    /// Metrics; absent: not collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SignalSpec>,
    /// Logs; absent: not collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<SignalSpec>,
    /// What happens to data between its arrival and the destination's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracesSpec {
    #[serde(flatten)]
    pub signal: SignalSpec,
    /// How the sampling context of spans is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<TraceContext>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TraceContext {
    /// Whether spans without `ot=th` in their trace state count as unsampled, so that each stands
    /// for itself alone. With false it is unknown how many they stand for, and estimates say so
    /// (condition EstimatesUnbiased of the SamplingPolicy).
    pub assume_unsampled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalSpec {
    /// Where the signal is sent: each gets a copy. Example: `[{name: tempo, namespace: sluice-system}]`.
    #[schemars(
        length(min = 1, max = 4),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = rule::list(&[(
            "self.all(a, self.exists_one(b, a.name == b.name && (has(a.__namespace__) \
             ? has(b.__namespace__) && a.__namespace__ == b.__namespace__ : !has(b.__namespace__))))",
            "must not name a destination twice",
        )]))
    )]
    pub destination_refs: Vec<DestinationRef>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "!has(self.podLabels) || size(self.podLabels) == 0 || self.kubernetes == 'Full'",
    "podLabels needs kubernetes: Full",
)])))]
pub struct Enrich {
    /// Attributes from Kubernetes that a sender cannot forge. Disabled; Standard: namespace, pod,
    /// node, workload, container; Full: also the labels in `podLabels`.
    pub kubernetes: EnrichKubernetes,
    /// Pod labels added as `k8s.pod.label.<key>`, with `kubernetes: Full`.
    /// Example: `[app.kubernetes.io/name]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 317)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub pod_labels: Vec<String>,
    /// Attributes set on every resource, whatever the sender says. Example: `{team: checkout}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        extend("maxProperties" = 16),
        extend("additionalProperties" = {"type": "string", "maxLength": 255}),
        extend("x-kubernetes-validations" = rule::list(&[
            ("self.all(k, size(k) >= 1 && size(k) <= 255)", "keys have 1 to 255 characters"),
            (
                "!self.exists(k, k.startsWith('k8s.'))",
                "k8s.* attributes come from Kubernetes and cannot be set",
            ),
        ]))
    )]
    pub resource_attributes: BTreeMap<String, String>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum EnrichKubernetes {
    Disabled,
    #[default]
    Standard,
    Full,
}

impl Default for TraceContext {
    fn default() -> Self {
        Self { assume_unsampled: true }
    }
}

impl TelemetryPipelineSpec {
    /// Name of the fleet that runs this pipeline.
    pub fn collector(&self) -> &str {
        self.collector_ref.as_ref().map_or(DEFAULT_COLLECTOR, |collector| &collector.name)
    }

    pub fn sources(&self) -> Sources {
        self.sources.clone().unwrap_or_default()
    }

    pub fn enrich(&self) -> Enrich {
        self.enrich.clone().unwrap_or_default()
    }

    pub fn delivery(&self) -> Delivery {
        self.delivery.clone().unwrap_or_default()
    }

    pub fn traces(&self) -> &[DestinationRef] {
        destinations(self.traces.as_ref().map(|traces| &traces.signal))
    }

    pub fn trace_context(&self) -> TraceContext {
        let traces = self.traces.as_ref();
        traces.and_then(|traces| traces.context.clone()).unwrap_or_default()
    }

    pub fn metrics(&self) -> &[DestinationRef] {
        destinations(self.metrics.as_ref())
    }

    pub fn logs(&self) -> &[DestinationRef] {
        destinations(self.logs.as_ref())
    }
}

fn destinations(signal: Option<&SignalSpec>) -> &[DestinationRef] {
    signal.map_or(&[], |signal| &signal.destination_refs)
}

/// What a pipeline collects must have a source, and the other way round.
fn rules() -> serde_json::Value {
    let otlp = "(!has(self.sources) || !has(self.sources.otlp) || self.sources.otlp.enabled)";
    let pod_logs =
        "(has(self.sources) && has(self.sources.podLogs) && self.sources.podLogs.enabled)";
    rule::list(&[
        (
            "has(self.traces) || has(self.metrics) || has(self.logs)",
            "at least one of traces, metrics and logs is needed, each with its destinationRefs",
        ),
        (
            &format!("!has(self.logs) || {otlp} || {pod_logs}"),
            "logs needs a source: enable sources.otlp or sources.podLogs",
        ),
        (
            &format!("!(has(self.traces) || has(self.metrics)) || {otlp}"),
            "traces and metrics come by OTLP: enable sources.otlp",
        ),
        (
            &format!("has(self.logs) || !{pod_logs}"),
            "sources.podLogs is read for logs: add logs.destinationRefs, or remove podLogs",
        ),
        (
            "!has(self.excludeNamespaces) || has(self.namespaceSelector)",
            "excludeNamespaces needs namespaceSelector ({} selects every namespace)",
        ),
    ])
}
