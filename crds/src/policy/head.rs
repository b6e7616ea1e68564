//! What is decided when a span arrives.

use crate::percent::{self, Percent};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "has(self.probabilistic) || has(self.rateLimit)",
    "set probabilistic or rateLimit, or remove head",
)])))]
pub struct Head {
    /// A fixed share of all traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilistic: Option<Probabilistic>,
    /// How many traces may begin, in the whole fleet. Gateways decide it when the first span of a
    /// trace comes, share the rate evenly, and let a trace that began pass whole. What is too much
    /// in one second is taken off the next one, by a threshold that spans tell in `ot=th`. A trace
    /// with an error that is not let in counts as an error lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<HeadRateLimit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "!has(self.burst) || self.burst >= self.tracesPerSecond",
    "burst must be at least tracesPerSecond",
)])))]
pub struct HeadRateLimit {
    /// Traces that may begin each second.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub traces_per_second: i32,
    /// Traces that may begin at once after a time of fewer. Absent: `tracesPerSecond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probabilistic {
    /// Share of traces that passes. Floors above it cannot be reached: the condition
    /// RulesEffective then says HeadCapsFloor. Example: `"0.5"` or `10`.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub keep_percent: Percent,
}
