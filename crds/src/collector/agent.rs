//! The pod on each node: memory, placement, storage.

use super::memory::{self, Resources};
use crate::duration::{self, Duration};
use crate::quantity::{self, Size};
use crate::{rule, selector};
use k8s_openapi::api::core::v1::Toleration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = memory::rules("an agent", "the agent")))]
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
    #[schemars(schema_with = "super::preserve_unknown")]
    pub pod_template_patch: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = memory::order()))]
pub struct MemoryLimiter {
    /// Above it, new traces are sampled by hash (recorded in `ot=th`, so that counts stay true) and
    /// a rising share of log and metric requests is refused, retryably. Absent: 64 % of the
    /// container's memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = quantity::between("16Mi", "1Ti")))]
    pub soft_limit: Option<Size>,
    /// Memory stays below it: from half way between the two limits on, every request is refused,
    /// retryably. Absent: 80 % of the container's memory limit.
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
            resources: Resources::new("100m", "256Mi", "640Mi"),
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

    pub fn soft_limit(&self) -> Option<Size> {
        let limiter = self.memory_limiter();
        memory::soft_limit(&self.resources, limiter.soft_limit, limiter.hard_limit)
    }

    pub fn hard_limit(&self) -> Option<Size> {
        memory::hard_limit(&self.resources, self.memory_limiter().hard_limit)
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
