//! Everything that a decision may depend on, gathered by the shell before it plans.

use crate::gateways::GatewayMemory;
use crate::report::FleetReport;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use sluice_crds::conditions::Kind;
use sluice_crds::{Collector, Destination, SamplingPolicy, TelemetryPipeline};
use sluice_engine::config::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Observed {
    pub now: Timestamp,
    pub settings: Settings,
    /// By `metadata.name`. Objects that are being deleted are left out by the planner.
    pub collectors: BTreeMap<String, Arc<Collector>>,
    pub pipelines: BTreeMap<ObjectName, Arc<TelemetryPipeline>>,
    pub destinations: BTreeMap<ObjectName, Arc<Destination>>,
    pub policies: BTreeMap<ObjectName, Arc<SamplingPolicy>>,
    /// Objects that exist but could not be read as their type. Their last good version runs on.
    pub unreadable: BTreeSet<(Kind, ObjectName)>,
    /// Labels of every namespace, by its name.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// By the name of the Collector. A fleet of which nothing exists yet may be absent.
    pub fleets: BTreeMap<String, Fleet>,
}

impl Observed {
    /// Nothing observed yet.
    pub fn new(now: Timestamp, settings: Settings) -> Self {
        Self {
            now,
            settings,
            collectors: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            destinations: BTreeMap::new(),
            policies: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            namespaces: BTreeMap::new(),
            fleets: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace.
    pub system_namespace: String,
    /// UID of the namespace `kube-system`; empty without a cluster.
    pub cluster_uid: String,
    /// The operator's version, which its agents should run.
    pub version: String,
    /// The operator's own image, `repository:tag` or `repository@sha256:…`.
    pub image: String,
    /// The agents' PriorityClass; empty when there is none in the cluster.
    pub priority_class: String,
    /// How long something may be under way before it counts as stuck.
    pub progress_deadline: SignedDuration,
    /// The mounted copy of a config is not rewritten sooner than this after the last time.
    pub boot_strap_interval: SignedDuration,
}

impl Settings {
    /// The documented defaults for an operator of this version and image.
    pub fn new(system_namespace: &str, version: &str, image: &str) -> Self {
        Self {
            system_namespace: system_namespace.to_owned(),
            cluster_uid: String::new(),
            version: version.to_owned(),
            image: image.to_owned(),
            priority_class: "sluice-agent".to_owned(),
            progress_deadline: SignedDuration::from_mins(10),
            boot_strap_interval: SignedDuration::from_mins(10),
        }
    }
}

/// `namespace/name`; for an object of the whole cluster the namespace is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub namespace: String,
    pub name: String,
}

impl ObjectName {
    pub(crate) fn of(object: &impl Resource<DynamicType = ()>) -> Self {
        let meta = object.meta();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }

    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{}", self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// What exists of one Collector.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub daemon_set: Option<DaemonSetState>,
    /// Every pod of the agent DaemonSet that is not ready, by name.
    pub unready_pods: BTreeMap<String, UnreadyPod>,
    /// The Deployment of the gateways.
    pub deployment: Option<DeploymentState>,
    /// Every pod of that Deployment that has not ended, by name.
    pub gateways: BTreeMap<String, GatewayPod>,
    /// What was planned last for the gateways. `None`: not known here; it is then read out of the
    /// ConfigMaps.
    pub gateway_memory: Option<Arc<GatewayMemory>>,
    /// The ConfigMaps of the fleet that exist, by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Configs that are or were wanted and that some agent still runs, by hash. The planner finds
    /// in them what an agent of an older hash has adopted nevertheless.
    pub configs: BTreeMap<String, Arc<Config>>,
    /// The newest config that was published for the fleet. `None`: not known here; it is then read
    /// out of the ConfigMaps.
    pub last_good: Option<Arc<Config>>,
    /// Why the API server did not take a child of the fleet when it was last asked.
    pub refusal: Option<Refusal>,
    pub report: FleetReport,
}

/// The API server's answer to whoever asks for what it may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub cause: RefusalCause,
    /// Names what was asked for.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    Permission,
    Quota,
}

/// `metadata.generation` and the status of a DaemonSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaemonSetState {
    pub generation: i64,
    pub observed_generation: i64,
    pub desired: i32,
    pub current: i32,
    pub updated: i32,
    pub ready: i32,
}

/// `metadata.generation`, `spec.replicas` and the status of a Deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeploymentState {
    pub generation: i64,
    pub observed_generation: i64,
    /// That are asked for.
    pub replicas: i32,
    pub updated: i32,
    pub ready: i32,
}

/// The pod of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPod {
    pub state: GatewayPodState,
    /// `status.podIP`; empty: it has none yet.
    pub ip: String,
    /// The annotation `controller.kubernetes.io/pod-deletion-cost`, 0 where there is none.
    pub deletion_cost: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayPodState {
    Ready,
    Unready(UnreadyPod),
    /// It is being deleted.
    Ending,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadyPod {
    pub reason: UnreadyReason,
    /// When its `Ready` condition became False, else when it was created.
    pub since: Timestamp,
}

/// Why a pod is not ready, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnreadyReason {
    ImagePullFailed,
    OutOfMemory,
    CrashLooping,
    Evicted,
    Unschedulable,
    Starting,
}

impl UnreadyReason {
    /// From a container's waiting or terminated reason, or a pod's own.
    pub fn from_kubernetes(reason: &str) -> Self {
        match reason {
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
                Self::ImagePullFailed
            }
            "OOMKilled" => Self::OutOfMemory,
            "CrashLoopBackOff"
            | "RunContainerError"
            | "CreateContainerError"
            | "Error"
            | "CreateContainerConfigError" => Self::CrashLooping,
            "Evicted" => Self::Evicted,
            "Unschedulable" => Self::Unschedulable,
            _ => Self::Starting,
        }
    }
}
