//! What the operator says about a pipeline.

use crate::conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetryPipelineStatus {
    /// The generation that the conditions speak of; -1: not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// What flows, by signal. Rates have two significant digits and change rarely; live numbers
    /// are the metrics' job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 3),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["signal"])
    )]
    pub signals: Vec<SignalFlow>,
    /// The signals that are collected, for people. Example: `traces,logs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub signals_summary: Option<String>,
    /// Where it is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12), extend("x-kubernetes-list-type" = "atomic"))]
    pub destinations: Vec<DestinationState>,
    /// How far this generation has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adoption>,
    /// Ready, Accepted, Programmed, FlowHealthy; and, only while True, SamplingPolicyAffected,
    /// Reconciling and Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalFlow {
    /// traces, metrics or logs.
    #[schemars(length(max = 16))]
    pub signal: String,
    /// Items taken from senders and files.
    #[schemars(length(max = 32))]
    pub accepted_per_second: String,
    /// Items that destinations took.
    #[schemars(length(max = 32))]
    pub sent_per_second: String,
    /// Items lost, counted with the reason.
    #[schemars(length(max = 32))]
    pub dropped_per_second: String,
    /// Items that senders were told to send again.
    #[schemars(length(max = 32))]
    pub refused_per_second: String,
    /// Spans thinned because memory was short; recorded, so that counts stay true.
    #[schemars(length(max = 32))]
    pub sampled_out_per_second: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationState {
    /// traces, metrics or logs.
    #[schemars(length(max = 16))]
    pub signal: String,
    /// Name of the Destination.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Namespace of the Destination.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// The reason of the Destination's Delivering condition, or why it is not used.
    #[schemars(length(max = 64))]
    pub state: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Adoption {
    /// Agents that run this generation, by their own word.
    #[schemars(range(min = 0, max = 100_000))]
    pub agents: i32,
    /// Agents that report.
    #[schemars(range(min = 0, max = 100_000))]
    pub of: i32,
    /// The same, for people. Example: `41/42`.
    #[schemars(length(max = 32))]
    pub summary: String,
}
