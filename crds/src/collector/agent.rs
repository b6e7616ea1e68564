//! The pod on each node: memory, placement, storage.

use crate::duration::{self, Duration};
use crate::quantity::{self, Quantity, Size};
use crate::{rule, selector};
use k8s_openapi::api::core::v1::Toleration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Above this share of the container's memory limit, agents shed softly.
const SOFT_PERCENT: u64 = 64;
/// Above this share of the container's memory limit, agents refuse everything.
const HARD_PERCENT: u64 = 80;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct Agent {
    /// CPU and memory of the agent's container. Written at all, it replaces the default as a whole.
    pub resources: Resources,
    /// When agents shed telemetry in order not to be killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limiter: Option<MemoryLimiter>,
    /// Labels of the nodes that get an agent; absent: every node. Example: `{kubernetes.io/os: linux}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "selector::node_selector")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that agents tolerate; by default all, so that every node has an agent.
    #[schemars(schema_with = "selector::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Where agents keep checkpoints of log files and their last good configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// A strategic merge patch on the rendered pod template, for what has no field of its own.
    /// Example: `{spec: {priorityClassName: system-node-critical}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "preserve_unknown")]
    pub pod_template_patch: Option<Map<String, Value>>,
}

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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "!has(self.softLimit) || !has(self.hardLimit) \
     || quantity(self.softLimit).isLessThan(quantity(self.hardLimit))",
    "softLimit must be below hardLimit",
)])))]
pub struct MemoryLimiter {
    /// Above it, new traces are sampled by hash (recorded in `ot=th`, so that counts stay true) and
    /// a rising share of log and metric requests is refused, retryably. Absent: 64 % of the
    /// container's memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = quantity::between("16Mi", "1Ti")))]
    pub soft_limit: Option<Size>,
    /// Above it, every request is refused, retryably. Absent: 80 % of the container's memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = quantity::between("16Mi", "1Ti")))]
    pub hard_limit: Option<Size>,
    /// How often memory is measured.
    #[schemars(extend("x-kubernetes-validations" = duration::between("100ms", "10s")))]
    pub check_interval: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[
    ("self.type == 'HostPath' || !has(self.path)", "path goes with type HostPath"),
    ("self.type == 'EmptyDir' || !has(self.maxSize)", "maxSize goes with type EmptyDir"),
])))]
pub struct Storage {
    /// HostPath: a folder of the node, which survives the pod. EmptyDir: gone with the pod, so log
    /// files are read again from where `startAt` says.
    #[serde(rename = "type")]
    pub type_: StorageType,
    /// Folder on the node, with type HostPath; created when absent. Absent: `/var/lib/sluice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 255),
        regex(pattern = r"^(/[a-zA-Z0-9_-][a-zA-Z0-9._-]*){2,16}$"),
        extend("x-kubernetes-validations" = rule::list(&[(
            "!['/dev/', '/etc/', '/proc/', '/run/', '/sys/', '/var/log/', '/var/run/']\
             .exists(p, (self + '/').startsWith(p))",
            "must be a folder of its own, outside the system's (for example /var/lib/sluice)",
        )]))
    )]
    pub path: Option<String>,
    /// Size of the volume, with type EmptyDir; a pod that writes more is evicted. Absent: `2Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = quantity::between("64Mi", "1Ti")))]
    pub max_size: Option<Size>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum StorageType {
    #[default]
    HostPath,
    EmptyDir,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            resources: Resources {
                requests: BTreeMap::from([
                    ("cpu".to_owned(), Quantity::new("100m")),
                    ("memory".to_owned(), Quantity::new("256Mi")),
                ]),
                limits: BTreeMap::from([("memory".to_owned(), Quantity::new("640Mi"))]),
            },
            memory_limiter: None,
            node_selector: BTreeMap::new(),
            tolerations: vec![Toleration {
                operator: Some("Exists".to_owned()),
                ..Toleration::default()
            }],
            storage: None,
            pod_template_patch: None,
        }
    }
}

impl Default for MemoryLimiter {
    fn default() -> Self {
        Self { soft_limit: None, hard_limit: None, check_interval: Duration::from_secs(1) }
    }
}

impl Agent {
    pub fn memory_limiter(&self) -> MemoryLimiter {
        self.memory_limiter.clone().unwrap_or_default()
    }

    pub fn storage(&self) -> Storage {
        self.storage.clone().unwrap_or_default()
    }

    /// The container's memory limit, when there is one.
    pub fn memory_limit(&self) -> Option<Size> {
        self.resources.limits.get("memory")?.size()
    }

    /// As written, or 64 % of the container's limit, or 64/80 of a hard limit that is written
    /// below that; `None` without any limit.
    pub fn soft_limit(&self) -> Option<Size> {
        let limiter = self.memory_limiter();
        let share = || Some(self.memory_limit()?.share(SOFT_PERCENT));
        let below_hard = || Some(limiter.hard_limit?.share(100 * SOFT_PERCENT / HARD_PERCENT));
        limiter.soft_limit.or_else(|| share().into_iter().chain(below_hard()).min())
    }

    /// As written, or 80 % of the container's limit; `None` without any limit.
    pub fn hard_limit(&self) -> Option<Size> {
        let written = self.memory_limiter().hard_limit;
        written.or_else(|| Some(self.memory_limit()?.share(HARD_PERCENT)))
    }
}

impl Storage {
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/var/lib/sluice")
    }

    pub fn max_size(&self) -> Size {
        self.max_size.unwrap_or(Size::from_mebibytes(2048))
    }
}

fn preserve_unknown(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Agents know when to shed only below a limit, and shed only if the limiter acts before the kernel.
fn rules() -> Value {
    let memory = "has(self.resources.limits) && 'memory' in self.resources.limits";
    let limit = "quantity(string(self.resources.limits['memory']))";
    let limiter =
        |field: &str| format!("has(self.memoryLimiter) && has(self.memoryLimiter.{field})");
    let (soft, hard) = (limiter("softLimit"), limiter("hardLimit"));
    rule::list(&[
        (
            &format!("({memory}) || ({soft} && {hard})"),
            "set resources.limits.memory, or both memoryLimiter.softLimit and hardLimit: without a \
             limit an agent cannot know when to shed",
        ),
        (
            &format!(
                "!({memory} && {hard}) || quantity(self.memoryLimiter.hardLimit).isLessThan({limit})"
            ),
            "memoryLimiter.hardLimit must be below resources.limits.memory, else the kernel kills \
             the agent first",
        ),
        (
            &format!(
                "!({memory} && {soft}) || quantity(self.memoryLimiter.softLimit).isLessThan({limit})"
            ),
            "memoryLimiter.softLimit must be below resources.limits.memory, else the kernel kills \
             the agent first",
        ),
        (
            &format!(
                "!({memory} && has(self.resources.requests) && 'memory' in self.resources.requests) \
                 || !quantity(string(self.resources.requests['memory'])).isGreaterThan({limit})"
            ),
            "resources.requests.memory must not exceed resources.limits.memory",
        ),
    ])
}
