//! How the share of ordinary traces follows the traffic.

use crate::duration::{self, Duration};
use crate::percent::{self, Percent};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Adaptive {
    /// Traces to keep each second in the whole fleet, of those that no rule matches:
    /// `default.keepPercent` is steered towards it. 0: it stays as written.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub target_traces_per_second: i32,
    /// How far `default.keepPercent` may be steered by `targetTracesPerSecond`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<AdaptiveBounds>,
    /// More is kept while errors spike, that is, while the share of traces with an error is
    /// `factor` times what it was in the hour before; absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_spike: Option<ErrorSpike>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "double(self.minPercent) <= double(self.maxPercent)",
    "minPercent (0.1 when absent) must not exceed maxPercent (20 when absent)",
)])))]
pub struct AdaptiveBounds {
    /// The share does not fall below it.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub min_percent: Percent,
    /// The share does not rise above it.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub max_percent: Percent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorSpike {
    /// Whether error spikes are looked for.
    pub enabled: bool,
    /// How many times higher than in the hour before the share of errors must be.
    #[schemars(range(min = 2, max = 100))]
    pub factor: i32,
    /// Errors each second below which there is no spike.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_errors_per_second: i32,
    /// What `default.keepPercent` is raised to.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0, 100.0)))]
    pub raise_to: Percent,
    /// How long it stays raised after the spike.
    #[schemars(extend("x-kubernetes-validations" = duration::between("1m", "2h")))]
    pub hold_for: Duration,
}

impl Default for AdaptiveBounds {
    fn default() -> Self {
        Self { min_percent: Percent::from_ppm(1000), max_percent: Percent::from_ppm(200_000) }
    }
}

impl Default for ErrorSpike {
    fn default() -> Self {
        Self {
            enabled: false,
            factor: 3,
            min_errors_per_second: 1,
            raise_to: Percent::ALL,
            hold_for: Duration::from_secs(600),
        }
    }
}

impl Adaptive {
    pub fn bounds(&self) -> AdaptiveBounds {
        self.bounds.clone().unwrap_or_default()
    }

    /// The raise on error spikes, when it is wanted.
    pub fn error_spike(&self) -> Option<&ErrorSpike> {
        self.error_spike.as_ref().filter(|spike| spike.enabled)
    }
}
