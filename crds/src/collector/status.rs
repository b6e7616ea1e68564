//! What the operator says about a fleet.

use crate::conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CollectorStatus {
    /// The generation that the conditions speak of; -1: not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// UID of the cluster's `kube-system` namespace, stamped as `k8s.cluster.uid`.
    #[serde(rename = "clusterID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub cluster_id: Option<String>,
    /// Versions of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Versions>,
    /// How many agents there are, and how many run what is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents: Option<AgentCounts>,
    /// How many gateways there are, and how many run what is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateways: Option<GatewayCounts>,
    /// Versions of the configuration, by content hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigVersions>,
    /// Where applications send to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Settings in force, after defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// How many pipelines this fleet was asked to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<PipelineCounts>,
    /// Ready, AgentsAvailable, GatewaysAvailable, ConfigAdopted, MemoryPressure,
    /// SenderIdentityDegraded; and, only while True, Reconciling and Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Versions {
    /// The version that agents should run.
    #[schemars(length(max = 128))]
    pub wanted: String,
    /// The oldest version that an agent reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub oldest: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentCounts {
    /// Nodes that should run an agent.
    #[schemars(range(min = 0, max = 100_000))]
    pub desired: i32,
    /// Agents that are ready.
    #[schemars(range(min = 0, max = 100_000))]
    pub ready: i32,
    /// Agents that run the wanted configuration, by their own word.
    #[schemars(range(min = 0, max = 100_000))]
    pub adopted: i32,
    /// Agents connected to the operator.
    #[schemars(range(min = 0, max = 100_000))]
    pub reporting: i32,
    /// Ready of desired, for people. Example: `42/42`.
    #[schemars(length(max = 32))]
    pub summary: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayCounts {
    /// Gateways that should run.
    #[schemars(range(min = 0, max = 1000))]
    pub desired: i32,
    /// Gateways that are ready.
    #[schemars(range(min = 0, max = 1000))]
    pub ready: i32,
    /// Gateways that run the wanted configuration, by their own word.
    #[schemars(range(min = 0, max = 1000))]
    pub adopted: i32,
    /// Gateways connected to the operator.
    #[schemars(range(min = 0, max = 1000))]
    pub reporting: i32,
    /// Rises when traces get other owners among the gateways; 0: they never had any.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub ring_epoch: i64,
    /// Ready of desired, for people. Example: `3/3`.
    #[schemars(length(max = 32))]
    pub summary: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigVersions {
    /// The configuration that agents should run.
    #[schemars(length(max = 64))]
    pub wanted: String,
    /// The last configuration that the fleet adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_good: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Endpoints {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT` with gRPC. Example: `sluice-agent.sluice-system:4317`.
    #[serde(rename = "otlpGRPC")]
    #[schemars(length(max = 255))]
    pub otlp_grpc: String,
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT` with HTTP. Example: `http://sluice-agent.sluice-system:4318`.
    #[serde(rename = "otlpHTTP")]
    #[schemars(length(max = 255))]
    pub otlp_http: String,
    /// For Jaeger remote samplers over HTTP, where `receivers.jaegerRemoteSampling` is enabled.
    /// Example: `http://sluice-agent.sluice-system:5778/sampling`.
    #[serde(rename = "jaegerRemoteSampling", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub jaeger_remote_sampling: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Effective {
    /// Memory above which agents shed softly.
    #[schemars(length(max = 16))]
    pub agent_soft_limit: String,
    /// Memory above which agents refuse everything.
    #[schemars(length(max = 16))]
    pub agent_hard_limit: String,
    /// Memory above which gateways shed softly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub gateway_soft_limit: Option<String>,
    /// Memory above which gateways refuse everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub gateway_hard_limit: Option<String>,
    /// Why traces go through gateways; empty: they do not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub gateway_needed_for: Vec<Stage>,
}

/// What only gateways can do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Stage {
    /// A SamplingPolicy decides about whole traces.
    TailSampling,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PipelineCounts {
    /// Pipelines that run.
    #[schemars(range(min = 0, max = 100_000))]
    pub accepted: i32,
    /// Pipelines with a mistake; of these the last good version runs, if there was one.
    #[schemars(range(min = 0, max = 100_000))]
    pub rejected: i32,
}
