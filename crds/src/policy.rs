//! `SamplingPolicy`: which traces are kept.

mod adaptive;
mod head;
mod http_status;
mod matching;
mod rules;
mod status;
mod tail;

pub use adaptive::{Adaptive, AdaptiveBounds, ErrorSpike};
pub use head::{Head, HeadRateLimit, Probabilistic};
pub use http_status::{HttpStatus, InvalidHttpStatus};
pub use matching::{
    AttributeMatch, AttributeOperator, Match, RareOperation, SlowerThan, SpanStatus,
};
pub use rules::{AtMost, KeepRule, LimitRule};
pub use status::{
    Ancestor, AncestorRef, DryRun, EffectiveSampling, Observed, RuleShare, RuleState,
    SamplingPolicyStatus,
};
pub use tail::{OnBufferFull, Tail};

use crate::percent::{self, Percent};
use crate::reference::NAME_PATTERN;
use crate::rule;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which traces are kept. The order of rules never matters: the highest `atLeastPercent` of all
/// `keep` rules that a trace matches is its floor, the lowest cap of all `limit` rules that it
/// matches is its cap, and the floor wins. A trace is kept or dropped as a whole, and what is kept
/// says with which probability (`ot=th`), so that counts can be recovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = policy_rules()))]
#[expect(clippy::duplicated_attributes, reason = "each column has a type")]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "SamplingPolicy",
    namespaced,
    category = "sluice",
    shortname = "sp",
    status = "SamplingPolicyStatus",
    selectable = ".spec.mode",
    derive = "PartialEq",
    doc = "A SamplingPolicy says which traces of its own namespace are kept: all errors, all slow \
           ones, a small part of the rest. In the system namespace it may target the Collector, and \
           is then the default for all namespaces.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(
        name = "Kept%",
        type_ = "string",
        json_path = ".status.observed.keepPercent",
        description = "traces kept, of those seen"
    ),
    printcolumn(
        name = "Errors-Kept%",
        type_ = "string",
        json_path = ".status.observed.errorsKeptPercent",
        description = "traces with an error that were kept, of those seen"
    ),
    printcolumn(
        name = "Effective",
        type_ = "string",
        json_path = ".status.effective.summary",
        description = "rules that have an effect, of those written"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Default%",
        type_ = "string",
        json_path = ".spec.default.keepPercent",
        priority = 1
    ),
    printcolumn(
        name = "Buffer",
        type_ = "string",
        json_path = ".status.effective.bufferMemory",
        description = "memory that open traces need",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    )
)]
pub struct SamplingPolicySpec {
    /// What the policy is for; absent or empty: every TelemetryPipeline of its namespace.
    /// Example: `[{kind: TelemetryPipeline, name: shop}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = rule::list(&[(
            "self.all(a, self.exists_one(b, a.kind == b.kind && a.name == b.name))",
            "must not name a target twice",
        )]))
    )]
    pub target_refs: Vec<TargetRef>,
    /// Enforce: applied. DryRun: evaluated and counted, nothing is dropped; the status says what
    /// would have been kept. Disabled: as if it were not there.
    pub mode: PolicyMode,
    /// What is decided when a span arrives, by a hash of the trace id. An upper bound for
    /// every rule below: what is dropped here cannot be kept there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// How the gateways wait for whole traces before they decide; absent: the defaults. One buffer
    /// serves all policies of a fleet: `status.effective` shows what is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
    /// Floors: of the traces that match, at least this share is kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["name"])
    )]
    pub keep: Vec<KeepRule>,
    /// Caps: of the traces that match, at most this share or rate is kept, unless a floor asks for
    /// more. They apply to traces that begin in this namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["name"])
    )]
    pub limit: Vec<LimitRule>,
    /// The traces that no rule matches; absent: the default of the system namespace's policy, or
    /// all are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultKeep>,
    /// How `default.keepPercent` follows the traffic, within this policy; absent: it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// Whether kept spans get the attributes `sampling.rule` and `sampling.probability`. `ot=th` is
    /// written in any case to what is kept with a probability below 100 %.
    pub tag_decision: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API group of the target; absent: `sluice.dev`, the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [crate::GROUP]))]
    pub group: Option<String>,
    /// TelemetryPipeline: one of this namespace. Collector: a fleet, whose default this policy then
    /// is; only from the system namespace.
    pub kind: TargetKind,
    /// Name of the target. Example: `shop`.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum TargetKind {
    TelemetryPipeline,
    Collector,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum PolicyMode {
    #[default]
    Enforce,
    DryRun,
    Disabled,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultKeep {
    /// Share that is kept. Example: `"0.25"` or `1`.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub keep_percent: Percent,
}

impl Default for SamplingPolicySpec {
    fn default() -> Self {
        Self {
            target_refs: Vec::new(),
            mode: PolicyMode::default(),
            head: None,
            tail: None,
            keep: Vec::new(),
            limit: Vec::new(),
            default: None,
            adaptive: None,
            tag_decision: true,
        }
    }
}

impl SamplingPolicySpec {
    pub fn tail(&self) -> Tail {
        self.tail.clone().unwrap_or_default()
    }

    /// What is kept of the traces that no rule matches; `None`: another policy says.
    pub fn keep_percent(&self) -> Option<Percent> {
        self.default.as_ref().map(|default| default.keep_percent)
    }
}

impl TargetKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TelemetryPipeline => "TelemetryPipeline",
            Self::Collector => "Collector",
        }
    }
}

impl PolicyMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "Enforce",
            Self::DryRun => "DryRun",
            Self::Disabled => "Disabled",
        }
    }
}

fn policy_rules() -> serde_json::Value {
    rule::list(&[
        (
            "has(self.head) || has(self.tail) || (has(self.keep) && size(self.keep) > 0) \
             || (has(self.limit) && size(self.limit) > 0) || has(self.default)",
            "an empty policy does nothing: set head, tail, keep, limit or default",
        ),
        (
            "!has(self.keep) || !has(self.limit) \
             || self.keep.all(k, !self.limit.exists(l, l.name == k.name))",
            "a keep and a limit rule must not share a name: status tells rules apart by it",
        ),
        (
            "!has(self.adaptive) || has(self.default)",
            "adaptive steers default.keepPercent: add default",
        ),
    ])
}
