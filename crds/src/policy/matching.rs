//! Which traces a rule is about.

use super::HttpStatus;
use crate::duration::{self, Duration};
use crate::percent::{self, Percent};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "[has(self.status), has(self.httpStatus), has(self.minDuration), has(self.spanDuration), \
     has(self.spanCount), has(self.attributes), has(self.services), has(self.operations), \
     has(self.slowerThan), has(self.rareOperation), has(self.traceQL)].exists(given, given)",
    "match needs at least one field, such as status: Error (traces that no rule matches are for \
     default)",
)])))]
pub struct Match {
    /// The span's status: Error, Ok or Unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SpanStatus>,
    /// The span's HTTP status (`http.response.status_code` or `http.status_code`): a class, a code,
    /// a range, or a list of these with commas. Example: `5xx`, `503`, `500-599` or `429,5xx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rule::list(&[(
        "self.split(',').all(part, !part.contains('-') \
         || part.substring(0, 3) <= part.substring(4))",
        "a range goes up: write 500-599",
    )])))]
    pub http_status: Option<HttpStatus>,
    /// The trace takes at least this long, from the start of its first span to the end of its last.
    /// Example: `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = duration::between("1ms", "1h")))]
    pub min_duration: Option<Duration>,
    /// The span takes at least this long. Example: `500ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = duration::between("1ms", "1h")))]
    pub span_duration: Option<Duration>,
    /// The trace has at least so many spans. Example: `100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub span_count: Option<i32>,
    /// Attributes of the span or its resource; all of them must hold.
    /// Example: `[{key: customer.tier, operator: In, values: [gold]}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub attributes: Vec<AttributeMatch>,
    /// The span's service (`service.name`) is one of these, with `*` and `?` as wildcards.
    /// Example: `[checkout, report-*]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 255)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub services: Vec<String>,
    /// The span's name is one of these, with `*` and `?` as wildcards.
    /// Example: `[GET /healthz, "POST /orders/*"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 255)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub operations: Vec<String>,
    /// The span is an entry of its service (it began with a call or a message from outside) and
    /// slower than most others of the same service and operation; these two are always what is
    /// compared by. Until enough were seen nothing is slow: the rule's state is WarmingUp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<SlowerThan>,
    /// The span is an entry of its service (it began with a call or a message from outside), and
    /// its operation is a small part of the service's calls; service and operation are always what
    /// is compared by. Until enough were seen nothing is rare: the rule's state is WarmingUp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rare_operation: Option<RareOperation>,
    /// A span filter of TraceQL that the span satisfies.
    /// Example: `{ span.http.route = "/pay" && duration > 200ms }`.
    #[serde(rename = "traceQL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub trace_ql: Option<String>,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum SpanStatus {
    Error,
    Ok,
    Unset,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[
    (
        "(self.operator in ['Exists', 'DoesNotExist']) != has(self.values)",
        "In, NotIn, Regex, Gt and Lt need values; Exists and DoesNotExist take none",
    ),
    (
        "!(self.operator in ['Gt', 'Lt']) || !has(self.values) || (size(self.values) == 1 \
         && self.values[0].matches('^-?[0-9]{1,15}(\\\\.[0-9]{1,6})?$'))",
        "Gt and Lt need exactly one value, a number in quotes such as \"500\"",
    ),
])))]
pub struct AttributeMatch {
    /// Key of the attribute. Example: `customer.tier`.
    #[schemars(length(min = 1, max = 255))]
    pub key: String,
    /// How the attribute relates to `values`. In: it is one of them. NotIn: it is none of them, or
    /// absent. Exists, DoesNotExist: whatever its value. Regex: the whole text matches one of them.
    /// Gt, Lt: it is a number above, or below, the only one.
    pub operator: AttributeOperator,
    /// What it is compared with. Example: `[gold, platinum]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(max = 255)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub values: Vec<String>,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum AttributeOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Regex,
    Gt,
    Lt,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlowerThan {
    /// Share of calls that are faster. Example: `"99.9"` or `99`.
    #[schemars(extend("x-kubernetes-validations" = percent::between(50.0, 99.99)))]
    pub percentile: Percent,
    /// How far back calls count; absent: `10m`. Example: `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = duration::between("1m", "24h")))]
    pub window: Option<Duration>,
    /// Calls that must have been seen in the window; absent: `1000`. Example: `200`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 1_000_000))]
    pub min_samples: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RareOperation {
    /// An operation is rare while its share of the service's calls is below this.
    /// Example: `"0.5"` or `1`.
    #[schemars(extend("x-kubernetes-validations" = percent::between(0.0001, 100.0)))]
    pub below_percent: Percent,
    /// How far back calls count; absent: `1h`. Example: `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = duration::between("1m", "24h")))]
    pub window: Option<Duration>,
    /// Calls of one operation that count as rare each second, in each gateway, so that a new
    /// operation's flood is not kept whole; absent: `10`. Example: `2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_per_second: Option<i32>,
}

impl SlowerThan {
    pub fn window(&self) -> Duration {
        self.window.unwrap_or(Duration::from_secs(600))
    }

    pub fn min_samples(&self) -> i32 {
        self.min_samples.unwrap_or(1000)
    }
}

impl RareOperation {
    pub fn window(&self) -> Duration {
        self.window.unwrap_or(Duration::from_secs(3600))
    }

    pub fn max_per_second(&self) -> i32 {
        self.max_per_second.unwrap_or(10)
    }
}
