//! Where a pipeline's telemetry comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const GLOB_PATTERN: &str = "^[-a-z0-9*?]+$";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sources {
    /// What pods send by OTLP to the agent of their node; absent: enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpSource>,
    /// What containers write to standard output and error; absent: not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_logs: Option<PodLogs>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpSource {
    /// Whether OTLP is taken. Whose it is, is known from the sender's pod address, not from what
    /// it says.
    pub enabled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodLogs {
    /// Whether log files are read.
    pub enabled: bool,
    /// Containers by name; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Containers>,
    /// Where to start in a file without a checkpoint: End (only what is written from now on) or
    /// Beginning.
    pub start_at: StartAt,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Containers {
    /// Names to read, with `*` and `?` as wildcards; absent: all. Example: `[app, worker-*]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 63), regex(pattern = GLOB_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub include: Vec<String>,
    /// Names not to read, with `*` and `?` as wildcards; wins over `include`. Example: `[istio-proxy]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 63), regex(pattern = GLOB_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub exclude: Vec<String>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum StartAt {
    #[default]
    End,
    Beginning,
}

impl Default for OtlpSource {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for PodLogs {
    fn default() -> Self {
        Self { enabled: true, containers: None, start_at: StartAt::End }
    }
}

impl Sources {
    pub fn otlp_enabled(&self) -> bool {
        self.otlp.as_ref().is_none_or(|otlp| otlp.enabled)
    }

    /// Pod logs, when they are to be read.
    pub fn pod_logs(&self) -> Option<&PodLogs> {
        self.pod_logs.as_ref().filter(|pod_logs| pod_logs.enabled)
    }
}

impl PodLogs {
    pub fn containers(&self) -> Containers {
        self.containers.clone().unwrap_or_default()
    }
}
