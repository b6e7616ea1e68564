//! What is decided when a span arrives.

use crate::percent::{self, Percent};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "has(self.probabilistic)",
    "set probabilistic, or remove head",
)])))]
pub struct Head {
    /// A fixed share of all traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilistic: Option<Probabilistic>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probabilistic {
    /// Share of traces that passes. Floors above it cannot be reached: the condition
    /// RulesEffective then says HeadCapsFloor. Example: `"0.5"` or `10`.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub keep_percent: Percent,
}
