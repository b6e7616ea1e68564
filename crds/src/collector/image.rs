//! The image that the fleet runs.

use crate::reference::NAME_PATTERN;
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "!has(self.tag) || !has(self.digest)",
    "set tag or digest, not both: the digest alone says which image runs",
)])))]
pub struct Image {
    /// Registry and path, without tag; absent: the operator's own image.
    /// Example: `registry.example.com/sluice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._:/]*$"))]
    pub repository: Option<String>,
    /// Tag; absent: the operator's version. Example: `0.1.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9_][-a-zA-Z0-9._]*$"))]
    pub tag: Option<String>,
    /// Digest, in place of a tag. Example: `sha256:` and 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub digest: Option<String>,
    /// When the kubelet pulls the image: Always, IfNotPresent or Never.
    pub pull_policy: PullPolicy,
    /// Names of pull Secrets in the system namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4),
        inner(length(min = 1, max = 253), regex(pattern = NAME_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub pull_secrets: Vec<String>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
