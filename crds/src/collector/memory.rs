//! How much memory a collector's container has, and when it sheds telemetry in order not to be
//! killed.

use crate::quantity::{Quantity, Size};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Above this share of the container's memory limit, collectors shed softly.
const SOFT_PERCENT: u64 = 64;
/// Above this share of the container's memory limit, collectors refuse everything.
const HARD_PERCENT: u64 = 80;

/// Quantities of `cpu` and `memory`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What the scheduler sets aside. Example: `{cpu: 100m, memory: 256Mi}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub requests: BTreeMap<String, Quantity>,
    /// What the container may use at most. Example: `{memory: 640Mi}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub limits: BTreeMap<String, Quantity>,
}

impl Resources {
    pub(super) fn new(cpu: &str, memory: &str, memory_limit: &str) -> Self {
        let quantity = |name: &str, text| (name.to_owned(), Quantity::new(text));
        Self {
            requests: BTreeMap::from([quantity("cpu", cpu), quantity("memory", memory)]),
            limits: BTreeMap::from([quantity("memory", memory_limit)]),
        }
    }

    /// The container's memory limit, when there is one.
    pub fn memory_limit(&self) -> Option<Size> {
        self.limits.get("memory")?.size()
    }

    /// What the container may count on, in thousandths of a core: what is requested, else its
    /// limit.
    pub fn cpu_millis(&self) -> Option<u64> {
        self.requests.get("cpu").or_else(|| self.limits.get("cpu"))?.millis()
    }
}

/// As written, or 64 % of the container's limit, or 64/80 of a hard limit that is written below
/// that; `None` without any limit.
pub(super) fn soft_limit(
    resources: &Resources,
    soft: Option<Size>,
    hard: Option<Size>,
) -> Option<Size> {
    let share = || Some(resources.memory_limit()?.share(SOFT_PERCENT));
    let below_hard = || Some(hard?.share(100 * SOFT_PERCENT / HARD_PERCENT));
    soft.or_else(|| share().into_iter().chain(below_hard()).min())
}

/// As written, or 80 % of the container's limit; `None` without any limit.
pub(super) fn hard_limit(resources: &Resources, hard: Option<Size>) -> Option<Size> {
    hard.or_else(|| Some(resources.memory_limit()?.share(HARD_PERCENT)))
}

/// Of a memory limiter.
pub(super) fn order() -> Value {
    rule::list(&[(
        "!has(self.softLimit) || !has(self.hardLimit) \
         || quantity(self.softLimit).isLessThan(quantity(self.hardLimit))",
        "softLimit must be below hardLimit",
    )])
}

/// Of what has `resources` and a `memoryLimiter`: a collector knows when to shed only below a limit,
/// and sheds only if the limiter acts before the kernel.
pub(super) fn rules(any: &str, its: &str) -> Value {
    let memory = "has(self.resources.limits) && 'memory' in self.resources.limits";
    let limit = "quantity(string(self.resources.limits['memory']))";
    let limiter =
        |field: &str| format!("has(self.memoryLimiter) && has(self.memoryLimiter.{field})");
    let (soft, hard) = (limiter("softLimit"), limiter("hardLimit"));
    let above = |limiter: &str, field: &str| {
        let below = format!("quantity(self.memoryLimiter.{field}).isLessThan({limit})");
        let message = format!(
            "memoryLimiter.{field} must be below resources.limits.memory, else the kernel kills \
             {its} first"
        );
        (format!("!({memory} && {limiter}) || {below}"), message)
    };
    let (hard_rule, hard_message) = above(&hard, "hardLimit");
    let (soft_rule, soft_message) = above(&soft, "softLimit");
    rule::list(&[
        (
            &format!("({memory}) || ({soft} && {hard})"),
            &format!(
                "set resources.limits.memory, or both memoryLimiter.softLimit and hardLimit: \
                 without a limit {any} cannot know when to shed"
            ),
        ),
        (&hard_rule, &hard_message),
        (&soft_rule, &soft_message),
        (
            &format!(
                "!({memory} && has(self.resources.requests) && 'memory' in self.resources.requests) \
                 || !quantity(string(self.resources.requests['memory'])).isGreaterThan({limit})"
            ),
            "resources.requests.memory must not exceed resources.limits.memory",
        ),
    ])
}
