//! What the operator says about a policy.

use crate::conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SamplingPolicyStatus {
    /// The generation that the conditions speak of; -1: not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// What the policy is attached to, and whether it is in force there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub ancestors: Vec<Ancestor>,
    /// What was measured. Rates and shares have two significant digits (shares near 0 and 100 %
    /// more) and change rarely; live numbers are the metrics' job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// What each rule does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["name"])
    )]
    pub rules: Vec<RuleShare>,
    /// With mode DryRun: what the policy would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
    /// What is in force: one buffer serves all policies of a fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveSampling>,
    /// Ready, Accepted, Programmed, BufferSufficient, RulesEffective, EstimatesUnbiased; and, only
    /// while True, Reconciling and Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
}

/// As PolicyAncestorStatus of Gateway API (GEP-713).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ancestor {
    /// The object that the policy is attached to.
    pub ancestor_ref: AncestorRef,
    /// Who says so: `sluice.dev/operator`.
    #[schemars(length(max = 253))]
    pub controller_name: String,
    /// Accepted and Programmed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AncestorRef {
    /// API group of the object.
    #[schemars(length(max = 253))]
    pub group: String,
    /// TelemetryPipeline or Collector.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(max = 253))]
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Observed {
    /// Traces that the policy decided. Example: `10000`.
    #[schemars(length(max = 32))]
    pub traces_per_second: String,
    /// Of these, traces that were kept. Example: `130`.
    #[schemars(length(max = 32))]
    pub kept_per_second: String,
    /// Share of traces that were kept, in percent. Example: `1.3`.
    #[schemars(length(max = 32))]
    pub keep_percent: String,
    /// Share of traces with an error that were kept, in percent. Example: `100`.
    #[schemars(length(max = 32))]
    pub errors_kept_percent: String,
    /// Traces decided before their time, since the buffer was full.
    #[schemars(length(max = 32))]
    pub decided_early_per_minute: String,
    /// Spans that came after their trace was decided, and followed that decision.
    #[schemars(length(max = 32))]
    pub late_spans_per_minute: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleShare {
    /// Name of the rule.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Active; Shadowed: another rule always decides as much (see `by`); Unreachable: `head` keeps
    /// less than its floor; NeverMatched: nothing matched yet; WarmingUp: too little was seen to
    /// tell slow or rare; Duplicate: another rule has the same match (see `by`).
    pub state: RuleState,
    /// The rule that shadows or doubles it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub by: Option<String>,
    /// Traces that matched it, whichever rule decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub matched_per_minute: Option<String>,
    /// Traces that it decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub decided_per_minute: Option<String>,
    /// Share of the kept traces that it decided, in percent. Example: `15`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub share_percent: Option<String>,
}

#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum RuleState {
    #[default]
    Active,
    Shadowed,
    Unreachable,
    NeverMatched,
    WarmingUp,
    Duplicate,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DryRun {
    /// Share of traces that would be kept, in percent. Example: `1.3`.
    #[schemars(length(max = 32))]
    pub would_keep_percent: String,
    /// Traces with an error that would be dropped, each minute. Example: `0`.
    #[schemars(length(max = 32))]
    pub errors_lost: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EffectiveSampling {
    /// Traces that may be open in each gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub max_traces: Option<i32>,
    /// Memory that open traces need in each gateway. Example: `1200Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub buffer_memory: Option<String>,
    /// Memory that each gateway has for them. Example: `1638Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub buffer_memory_available: Option<String>,
    /// From a trace's first span to its decision: the longest wait of all policies. Example: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub decision_wait: Option<String>,
    /// What `adaptive` has made of `default.keepPercent`. Example: `1.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub adaptive_percent: Option<String>,
    /// Rules that have an effect, of those written, for people. Example: `6/7`.
    #[schemars(length(max = 32))]
    pub summary: String,
}
