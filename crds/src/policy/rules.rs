//! Floors and caps: which traces a rule is about, and what it keeps of them.

use super::Match;
use crate::percent::{self, Percent};
use crate::reference::LABEL_PATTERN;
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeepRule {
    /// Name of the rule, as status and the attribute `sampling.rule` tell it. Example: `errors`.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub name: String,
    /// The traces it is about. All fields that are written must hold: `minDuration` and `spanCount`
    /// for the whole trace, the others for one and the same span of it. Only spans of this
    /// namespace count (in the system namespace: all). Example: `{status: Error}`.
    #[serde(rename = "match")]
    pub match_: Match,
    /// Least share of these traces that is kept. Example: `"0.5"` or `100`.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub at_least_percent: Percent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "has(self.atMostPercent) != has(self.atMostPerSecond)",
    "set exactly one of atMostPercent and atMostPerSecond",
)])))]
pub struct LimitRule {
    /// Name of the rule, as status and the attribute `sampling.rule` tell it. Example: `health`.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub name: String,
    /// The traces it is about. All fields that are written must hold: `minDuration` and `spanCount`
    /// for the whole trace, the others for one and the same span of it.
    /// Example: `{operations: [GET /healthz]}`.
    #[serde(rename = "match")]
    pub match_: Match,
    /// Largest share of these traces that is kept. Example: `"0.5"` or `0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub at_most_percent: Option<Percent>,
    /// Most of these traces that are kept each second, in the whole fleet. Example: `5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub at_most_per_second: Option<i32>,
}

/// The cap of a limit rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtMost {
    Percent(Percent),
    PerSecond(i32),
}

impl LimitRule {
    /// `None` when both or neither is written, which the API server does not let pass.
    pub fn at_most(&self) -> Option<AtMost> {
        match (self.at_most_percent, self.at_most_per_second) {
            (Some(percent), None) => Some(AtMost::Percent(percent)),
            (None, Some(rate)) => Some(AtMost::PerSecond(rate)),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }
}
