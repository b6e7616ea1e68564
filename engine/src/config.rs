//! What one collector runs: the compiled sum of all accepted objects, as data.
//!
//! The planner writes it, collectors read it. Durations are in milliseconds, sizes in bytes.

pub mod gateway;
pub mod sampling;

use gateway::Gateway;
use sampling::Sampling;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Raised when a collector of the version before could not run the result; then nothing that was
/// stored before is read any more, so rather give a new field a serde default.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub format: u32,
    pub cluster: Cluster,
    pub receivers: Receivers,
    pub batch: Batch,
    pub limiter: Limiter,
    /// Port of `/metrics`, `/healthz` and `/readyz`.
    pub metrics_port: u16,
    /// By `namespace/name`.
    pub destinations: BTreeMap<String, Destination>,
    /// By `namespace/name`.
    pub pipelines: BTreeMap<String, Pipeline>,
    #[serde(default, skip_serializing_if = "Sampling::is_empty")]
    pub sampling: Sampling,
    #[serde(default, skip_serializing_if = "Gateway::is_absent")]
    pub gateway: Gateway,
}

/// Stamped on every resource of every pipeline that enriches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `k8s.cluster.name`; empty: not stamped.
    pub name: String,
    /// `k8s.cluster.uid`; empty: not stamped.
    pub uid: String,
    /// `deployment.environment.name`; empty: not stamped.
    pub environment: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receivers {
    pub grpc_port: u16,
    pub grpc_message_bytes_max: u64,
    pub grpc_connection_age_max_ms: u64,
    pub http_port: u16,
    pub http_body_bytes_max: u64,
    /// Of agents; `None`: they tell no rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jaeger_remote_sampling: Option<JaegerRemoteSampling>,
}

/// Where SDKs ask which share of their traces to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JaegerRemoteSampling {
    pub grpc_port: u16,
    pub http_port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub timeout_ms: u64,
    /// A batch leaves once it holds this many items.
    pub items: u32,
    /// No batch is larger; a larger request is split.
    pub bytes_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiter {
    pub soft_bytes: u64,
    pub hard_bytes: u64,
    pub check_interval_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// `metadata.generation` of the object this was compiled from.
    pub generation: i64,
    pub namespaces: Namespaces,
    /// Labels that a sender's pod must carry; empty: every pod.
    pub workload: Selector,
    pub otlp: bool,
    pub pod_logs: Option<PodLogs>,
    pub enrich: Enrich,
    /// Keys of [`Config::destinations`], per signal; empty: the signal is not collected.
    pub traces: Vec<String>,
    pub metrics: Vec<String>,
    pub logs: Vec<String>,
    pub delivery: Delivery,
}

/// Whose telemetry a pipeline takes. Label selectors over namespaces are resolved by the planner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespaces {
    Only(BTreeSet<String>),
    /// Every namespace but these, and every sender that could not be identified.
    AllExcept(BTreeSet<String>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
    pub match_expressions: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodLogs {
    /// Globs over container names; empty: every container.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Where to start in a file that has no checkpoint.
    pub start_at: StartAt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartAt {
    Beginning,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrich {
    pub kubernetes: EnrichKubernetes,
    /// Pod labels copied as `k8s.pod.label.<key>` (only with [`EnrichKubernetes::Full`]).
    pub pod_labels: Vec<String>,
    pub resource_attributes: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrichKubernetes {
    Disabled,
    Standard,
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub queue_bytes_max: u64,
    /// Older items are dropped.
    pub age_max_ms: u64,
    pub retry_initial_ms: u64,
    pub retry_max_ms: u64,
    /// A batch that failed for longer is dropped.
    pub retry_elapsed_max_ms: u64,
    pub on_full: OnFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFull {
    DropOldest,
    DropNew,
    /// The source is refused (retryably) or paused until there is room.
    Block,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub kind: DestinationKind,
    pub tls: Tls,
    pub auth: Auth,
    pub headers: BTreeMap<String, String>,
    pub compression: Compression,
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DestinationKind {
    /// `endpoint` is `host:port` for gRPC, a base URL or `host:port` for HTTP. Tempo is OTLP
    /// too: that it takes traces only is the planner's rule.
    Otlp {
        endpoint: String,
        protocol: Protocol,
        /// Sent as `X-Scope-OrgID`; empty: not sent.
        tenant: String,
    },
    /// OTLP JSON lines, one file a signal: `<path>/<signal>.jsonl`, relative to the data folder.
    File {
        path: String,
        bytes_max: u64,
        files_max: u32,
    },
    Debug {
        detailed: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    Grpc,
    Http,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    pub mode: TlsMode,
    pub ca: Option<SecretKey>,
    /// A `kubernetes.io/tls` Secret: keys `tls.crt` and `tls.key`.
    pub client: Option<SecretName>,
    pub server_name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsMode {
    Verify,
    InsecureSkipVerify,
    Plaintext,
}

/// Names only: collectors read the contents themselves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretName {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretKey {
    pub secret: SecretName,
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    None,
    /// Keys `username` and `password`.
    Basic(SecretName),
    Bearer(SecretKey),
    Header {
        name: String,
        value: SecretKey,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Config {
    /// The bytes that travel and are hashed: JSON with sorted keys and no spaces.
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "maps have string keys and no value can fail")]
        serde_json::to_vec(self).expect("a config is plain data")
    }

    /// # Errors
    /// When the bytes are not a config of a known [`FORMAT`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if config.format != FORMAT {
            return Err(format!("config format {} is not {FORMAT}", config.format));
        }
        Ok(config)
    }
}

/// The first 12 hex digits of the SHA-256 of [`Config::to_bytes`].
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
