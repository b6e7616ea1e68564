//! The members of a Destination, one for each type.

use crate::quantity::{self, Size};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "self.protocol == 'HTTP' || !self.endpoint.contains('/')",
    "with protocol GRPC the endpoint is host:port, without scheme and path",
)])))]
pub struct Otlp {
    /// `host:port`; with protocol HTTP also a base URL, to which `/v1/traces` and so on are added.
    /// Never with credentials. Example: `tempo.obs:4317`.
    #[schemars(
        length(min = 3, max = 255),
        regex(pattern = r"^(https?://)?([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[-A-Za-z0-9._~%/]*)?$"),
        extend("x-kubernetes-validations" = rule::list(&[(
            "self.startsWith('http://') || self.startsWith('https://') || self.matches(':[0-9]+(/.*)?$')",
            "must have a port, such as tempo.obs:4317",
        )]))
    )]
    pub endpoint: String,
    /// GRPC or HTTP (protobuf bodies).
    #[serde(default)]
    pub protocol: Protocol,
    /// Tenant, sent as `X-Scope-OrgID`; empty: not sent. Example: `shop`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 150), regex(pattern = r"^[-A-Za-z0-9!_.*'()|]*$"))]
    pub tenant: String,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Protocol {
    #[default]
    #[serde(rename = "GRPC")]
    Grpc,
    #[serde(rename = "HTTP")]
    Http,
}

/// OTLP as JSON lines, one file a signal: `traces.jsonl`, `metrics.jsonl`, `logs.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Folder below `files/<namespace>/` in the collector's data folder. Example: `shop`.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,7}$")
    )]
    pub path: String,
    /// A file that reaches this size is closed and the next one begun.
    #[serde(default = "file_size_max")]
    #[schemars(extend("x-kubernetes-validations" = quantity::between("1Mi", "16Gi")))]
    pub max_size: Size,
    /// Files kept of each signal; the oldest is deleted.
    #[serde(default = "files_max")]
    #[schemars(range(min = 1, max = 64))]
    pub max_files: i32,
}

fn file_size_max() -> Size {
    Size::from_mebibytes(64)
}

fn files_max() -> i32 {
    4
}

/// Telemetry in the collector's own log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Debug {
    /// Summary: a line a batch. Detailed: every item.
    pub verbosity: Verbosity,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Verbosity {
    #[default]
    Summary,
    Detailed,
}

/// Headers are sent in clear and seen by whoever may read the object: no secrets, and none that
/// the protocol or another field sets.
pub(super) fn header_rules() -> serde_json::Value {
    rule::list(&[
        (
            "self.all(k, size(k) <= 64 && k.matches('^[A-Za-z0-9][-A-Za-z0-9_]*$'))",
            "names have 1 to 64 letters, digits, - and _",
        ),
        (
            "!self.exists(k, k.lowerAscii() in ['authorization', 'cookie', 'proxy-authorization'])",
            "a secret does not belong in headers: put it in a Secret and use auth",
        ),
        (
            "!self.exists(k, k.lowerAscii() in ['connection', 'content-encoding', 'content-length', \
             'content-type', 'grpc-encoding', 'grpc-timeout', 'host', 'te', 'transfer-encoding', \
             'x-scope-orgid'])",
            "must not set what the protocol sets (the tenant has a field of its own)",
        ),
    ])
}
