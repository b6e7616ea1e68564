//! Where agents take telemetry.

use crate::duration::{self, Duration};
use crate::quantity::{self, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Receivers {
    /// OTLP, on a Service that leads to the agent of the sender's own node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpReceivers>,
    /// Tells SDKs with a Jaeger remote sampler which share of their traces to keep: what the heads
    /// of SamplingPolicies leave, by the namespace of the asking pod. They then make no spans that
    /// would be sampled out on arrival. SDKs that choose traces as Go's, Rust's and Python's do are
    /// told that rate; others are told to keep all once their spans say what they are. While it is
    /// enabled, spans without `ot=th` and `ot=rv` in their `tracestate` are given an `rv`, so that no
    /// head thins again what an SDK thinned, and adjusted counts are right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_remote_sampling: Option<JaegerRemoteSampling>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JaegerRemoteSampling {
    /// Whether agents listen for such questions.
    pub enabled: bool,
    /// Port of `jaeger.api_v2.SamplingManager`. Agents run without root, so ports below 1024 are not
    /// to be had.
    #[schemars(range(min = 1024, max = 65535))]
    pub grpc_port: i32,
    /// Port of `GET /sampling?service=NAME`. Agents run without root, so ports below 1024 are not to
    /// be had.
    #[schemars(range(min = 1024, max = 65535))]
    pub http_port: i32,
}

impl Default for JaegerRemoteSampling {
    fn default() -> Self {
        Self { enabled: false, grpc_port: 14250, http_port: 5778 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpReceivers {
    /// OTLP over gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcReceiver>,
    /// OTLP over HTTP: protobuf and JSON, plain, gzip or zstd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpReceiver>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcReceiver {
    /// Port. Agents run without root, so ports below 1024 are not to be had.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
    /// Larger messages are refused (bytes before decompression and after). One that is being taken
    /// needs at most four times this in memory.
    #[schemars(extend("x-kubernetes-validations" = quantity::between("1Mi", "64Mi")))]
    pub max_message_size: Size,
    /// Connections are closed gracefully at this age, so that clients find a new agent.
    #[schemars(extend("x-kubernetes-validations" = duration::between("30s", "1h")))]
    pub max_connection_age: Duration,
}

impl Default for GrpcReceiver {
    fn default() -> Self {
        Self {
            port: 4317,
            max_message_size: Size::from_mebibytes(16),
            max_connection_age: Duration::from_secs(120),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpReceiver {
    /// Port. Agents run without root, so ports below 1024 are not to be had.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
    /// Larger bodies are refused (bytes before decompression and after). One that is being taken
    /// needs at most four times this in memory.
    #[schemars(extend("x-kubernetes-validations" = quantity::between("1Mi", "64Mi")))]
    pub max_body_size: Size,
}

impl Default for HttpReceiver {
    fn default() -> Self {
        Self { port: 4318, max_body_size: Size::from_mebibytes(16) }
    }
}
