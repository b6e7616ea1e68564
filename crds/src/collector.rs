//! `Collector`: the fleet that runs on the nodes of a cluster.

mod agent;
mod gateway;
mod image;
mod memory;
mod receivers;
mod status;

pub use agent::{Agent, MemoryLimiter, Storage, StorageType};
pub use gateway::{
    Autoscaling, DisruptionBudget, Gateway, GatewayMemoryLimiter, GatewayMode, Handoff,
    HandoffMode, Protected, ScaleTarget, TraceRouting,
};
pub use image::{Image, PullPolicy};
pub use memory::Resources;
pub use receivers::{GrpcReceiver, HttpReceiver, JaegerRemoteSampling, OtlpReceivers, Receivers};
pub use status::{
    AgentCounts, CollectorStatus, ConfigVersions, Effective, Endpoints, GatewayCounts,
    PipelineCounts, Stage, Versions,
};

use crate::duration::{self, Duration};
use crate::quantity::{self, Size};
use crate::rule;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the fleet is: ports, memory, image, rollout. Every field has a default: `spec: {}` is a
/// working Collector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
#[expect(clippy::duplicated_attributes, reason = "each column has a type")]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Collector",
    category = "sluice",
    status = "CollectorStatus",
    derive = "PartialEq",
    doc = "A Collector is the fleet that moves telemetry: an agent on each node, configured from all \
           TelemetryPipelines and Destinations that name it, and gateways where whole traces are \
           needed. Pipelines without `collectorRef` use the Collector called `default`.",
    printcolumn(
        name = "Agents",
        type_ = "string",
        json_path = ".status.agents.summary",
        description = "ready agents of those wanted"
    ),
    printcolumn(
        name = "Adopted",
        type_ = "integer",
        json_path = ".status.agents.adopted",
        description = "agents that run the wanted configuration, by their own word"
    ),
    printcolumn(
        name = "Gateways",
        type_ = "string",
        json_path = ".status.gateways.summary",
        description = "ready gateways of those wanted"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version.wanted"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct CollectorSpec {
    /// Managed, or Paused: workloads run on and telemetry flows, but nothing is changed until it
    /// is Managed again.
    pub management_state: ManagementState,
    /// Name of the cluster, stamped on all telemetry as `k8s.cluster.name`; empty: not stamped.
    /// Example: `prod-eu-1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63), regex(pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"))]
    pub cluster_name: String,
    /// Stamped on all telemetry as `deployment.environment.name`; empty: not stamped.
    /// Example: `prod`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(
        length(max = 63),
        regex(pattern = r"^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$")
    )]
    pub environment: String,
    /// The image that agents and gateways run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Where agents take telemetry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receivers: Option<Receivers>,
    /// How items are gathered before they are sent. A batch leaves on the first limit it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// The pod on each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// The pods that hold traces until they are whole, for SamplingPolicies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// How a new version reaches the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What the fleet tells about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_monitoring: Option<SelfMonitoring>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ManagementState {
    #[default]
    Managed,
    Paused,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Batch {
    /// An incomplete batch is sent after this long. Example: `1s`.
    #[schemars(extend("x-kubernetes-validations" = duration::between("100ms", "60s")))]
    pub timeout: Duration,
    /// A batch is sent once it holds this many items (spans, data points or log records).
    #[schemars(range(min = 1, max = 100_000))]
    pub send_batch_size: i32,
    /// No batch is larger (bytes of uncompressed OTLP protobuf); a larger request is split.
    #[schemars(extend("x-kubernetes-validations" = quantity::between("64Ki", "64Mi")))]
    pub max_batch_bytes: Size,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            send_batch_size: 8192,
            max_batch_bytes: Size::from_mebibytes(4),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollout {
    /// How agents are replaced, node by node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRollout>,
}

/// A DaemonSet surges or does without, never both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[
    ("self.maxSurge + self.maxUnavailable >= 1", "maxSurge and maxUnavailable cannot both be 0"),
    (
        "self.maxSurge == 0 || self.maxUnavailable == 0",
        "a DaemonSet takes one of maxSurge and maxUnavailable: set the other to 0",
    ),
])))]
pub struct AgentRollout {
    /// Nodes that may run the old and the new agent at once; the node's OTLP endpoint stays up.
    #[schemars(range(min = 0, max = 5000))]
    pub max_surge: i32,
    /// Nodes that may be without an agent; set `maxSurge` to 0 to use it.
    #[schemars(range(min = 0, max = 5000))]
    pub max_unavailable: i32,
}

impl Default for AgentRollout {
    fn default() -> Self {
        Self { max_surge: 1, max_unavailable: 0 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SelfMonitoring {
    /// The metrics of agents and gateways about themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Port of `/metrics`, `/healthz` and `/readyz` on each agent and gateway.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { port: 8888 }
    }
}

impl CollectorSpec {
    pub fn image(&self) -> Image {
        self.image.clone().unwrap_or_default()
    }

    pub fn grpc(&self) -> GrpcReceiver {
        self.otlp().and_then(|otlp| otlp.grpc.clone()).unwrap_or_default()
    }

    pub fn http(&self) -> HttpReceiver {
        self.otlp().and_then(|otlp| otlp.http.clone()).unwrap_or_default()
    }

    /// `None` unless it is enabled.
    pub fn jaeger_remote_sampling(&self) -> Option<JaegerRemoteSampling> {
        let own = self.receivers.as_ref()?.jaeger_remote_sampling.clone();
        own.filter(|own| own.enabled)
    }

    fn otlp(&self) -> Option<&OtlpReceivers> {
        self.receivers.as_ref()?.otlp.as_ref()
    }

    pub fn batch(&self) -> Batch {
        self.batch.clone().unwrap_or_default()
    }

    pub fn agent(&self) -> Agent {
        self.agent.clone().unwrap_or_default()
    }

    pub fn gateway(&self) -> Gateway {
        self.gateway.clone().unwrap_or_default()
    }

    pub fn agent_rollout(&self) -> AgentRollout {
        self.rollout.as_ref().and_then(|rollout| rollout.agent.clone()).unwrap_or_default()
    }

    pub fn metrics(&self) -> Metrics {
        let own = self.self_monitoring.as_ref();
        own.and_then(|own| own.metrics.clone()).unwrap_or_default()
    }
}

/// Where gateways take traces from agents.
pub const GATEWAY_PORT: u16 = 4319;

/// Ports differ, whether they are written or left to their defaults.
fn rules() -> serde_json::Value {
    let grpc = port_or("self.receivers.otlp.grpc.port", GrpcReceiver::default().port);
    let http = port_or("self.receivers.otlp.http.port", HttpReceiver::default().port);
    let metrics = port_or("self.selfMonitoring.metrics.port", Metrics::default().port);
    let asked = JaegerRemoteSampling::default();
    let is_asked = or("self.receivers.jaegerRemoteSampling.enabled", "false");
    let asked_grpc = port_or("self.receivers.jaegerRemoteSampling.grpcPort", asked.grpc_port);
    let asked_http = port_or("self.receivers.jaegerRemoteSampling.httpPort", asked.http_port);
    rule::list(&[
        (
            &format!("{grpc} != {http}"),
            "receivers.otlp.grpc.port and receivers.otlp.http.port must differ",
        ),
        (
            &format!("{metrics} != {grpc} && {metrics} != {http}"),
            "selfMonitoring.metrics.port must differ from the ports of receivers.otlp",
        ),
        (
            &format!("{metrics} != {GATEWAY_PORT}"),
            &format!("selfMonitoring.metrics.port must differ from {GATEWAY_PORT}, the gateways'"),
        ),
        (
            &format!("!{is_asked} || {asked_grpc} != {asked_http}"),
            "receivers.jaegerRemoteSampling.grpcPort and httpPort must differ",
        ),
        (
            &format!(
                "!{is_asked} || !({asked_grpc} in [{grpc}, {http}, {metrics}] || {asked_http} in \
                 [{grpc}, {http}, {metrics}])"
            ),
            "the ports of receivers.jaegerRemoteSampling must differ from those of receivers.otlp and \
             from selfMonitoring.metrics.port",
        ),
    ])
}

fn port_or(path: &str, default: i32) -> String {
    or(path, &default.to_string())
}

/// CEL for what is at `path`, or `default` where an object on the way is absent.
fn or(path: &str, default: &str) -> String {
    let dots = path.match_indices('.').map(|(at, _)| at).chain([path.len()]).skip(1);
    let present: Vec<_> =
        dots.filter_map(|end| path.get(..end)).map(|prefix| format!("has({prefix})")).collect();
    format!("({} ? {path} : {default})", present.join(" && "))
}

fn preserve_unknown(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
