//! The pods that hold whole traces: when there are any, how many, how much they may use.

use super::memory::{self, Resources};
use crate::duration::{self, Duration};
use crate::quantity::{self, Size};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = memory::rules("a gateway", "the gateway")))]
pub struct Gateway {
    /// Auto: gateways run while a SamplingPolicy needs whole traces. Always: they run, ready for the
    /// first policy. Never: they do not run, and policies that need whole traces have no effect.
    pub mode: GatewayMode,
    /// CPU and memory of a gateway's container. Written at all, it replaces the default as a whole.
    pub resources: Resources,
    /// When gateways shed telemetry in order not to be killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limiter: Option<GatewayMemoryLimiter>,
    /// How many gateways there are: one more as soon as one is above a target, one fewer when all
    /// have been well below for long enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// How traces find their gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_routing: Option<TraceRouting>,
    /// Gateways are spread over nodes and zones, as far as there are any.
    pub topology_spread: bool,
    /// What a drain of nodes may take away at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
    /// A strategic merge patch on the rendered pod template, for what has no field of its own.
    /// Example: `{spec: {priorityClassName: system-cluster-critical}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::preserve_unknown")]
    pub pod_template_patch: Option<Map<String, Value>>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum GatewayMode {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = memory::order()))]
pub struct GatewayMemoryLimiter {
    /// Above it, new traces are sampled by hash (recorded in `ot=th`, so that counts stay true).
    /// Absent: 64 % of the container's memory limit.
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
    /// What is taken as before between the two limits. ErrorSpans: traces with an error by one second
    /// after their first span.
    #[schemars(length(max = 1), extend("x-kubernetes-list-type" = "set"))]
    pub protect: Vec<Protected>,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Protected {
    ErrorSpans,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "self.minReplicas <= self.maxReplicas",
    "minReplicas must not exceed maxReplicas",
)])))]
pub struct Autoscaling {
    /// Gateways that run at least.
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,
    /// Gateways that run at most.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// Above one of these in any gateway, another gateway is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<ScaleTarget>,
    /// A gateway is stopped when those that stay would have been below every target for this long.
    #[schemars(extend("x-kubernetes-validations" = duration::between("1m", "2h")))]
    pub scale_down_stabilization: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleTarget {
    /// Memory in use, of the hard limit.
    #[schemars(range(min = 10, max = 100))]
    pub memory_percent: i32,
    /// CPU in use, of what the container requests (without a request, of its limit).
    #[schemars(range(min = 10, max = 1000))]
    pub cpu_percent: i32,
    /// Of the fullest queue to a destination that takes what is sent to it: more gateways do not
    /// help against an outage.
    #[schemars(range(min = 10, max = 100))]
    pub queue_percent: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TraceRouting {
    /// What becomes of open traces when gateways come and go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Handoff {
    /// What happens to a trace that is open when it gets another owner.
    pub mode: HandoffMode,
    /// For so long the new owner of a trace waits for the old one before it decides, and a gateway
    /// that is to go has time to hand over. With the old owner lost, its traces are decided after
    /// this, by the spans that came since.
    #[schemars(extend("x-kubernetes-validations" = duration::between("5s", "5m")))]
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HandoffMode {
    /// Open traces go to their new owner, which decides them whole.
    #[default]
    Transfer,
    /// The old owner decides its open traces at once, by the spans that it has; what comes later
    /// follows that decision.
    DecideNow,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DisruptionBudget {
    /// Gateways that may be evicted at once.
    #[schemars(range(min = 1, max = 100))]
    pub max_unavailable: i32,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            mode: GatewayMode::Auto,
            resources: Resources::new("500m", "1Gi", "2Gi"),
            memory_limiter: None,
            autoscaling: None,
            trace_routing: None,
            topology_spread: true,
            disruption_budget: None,
            pod_template_patch: None,
        }
    }
}

impl Default for GatewayMemoryLimiter {
    fn default() -> Self {
        Self {
            soft_limit: None,
            hard_limit: None,
            check_interval: Duration::from_secs(1),
            protect: vec![Protected::ErrorSpans],
        }
    }
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            min_replicas: 2,
            max_replicas: 10,
            target: None,
            scale_down_stabilization: Duration::from_secs(15 * 60),
        }
    }
}

impl Default for ScaleTarget {
    fn default() -> Self {
        Self { memory_percent: 70, cpu_percent: 75, queue_percent: 50 }
    }
}

impl Default for Handoff {
    fn default() -> Self {
        Self { mode: HandoffMode::Transfer, timeout: Duration::from_secs(30) }
    }
}

impl Default for DisruptionBudget {
    fn default() -> Self {
        Self { max_unavailable: 1 }
    }
}

impl Gateway {
    pub fn memory_limiter(&self) -> GatewayMemoryLimiter {
        self.memory_limiter.clone().unwrap_or_default()
    }

    pub fn soft_limit(&self) -> Option<Size> {
        let limiter = self.memory_limiter();
        memory::soft_limit(&self.resources, limiter.soft_limit, limiter.hard_limit)
    }

    pub fn hard_limit(&self) -> Option<Size> {
        memory::hard_limit(&self.resources, self.memory_limiter().hard_limit)
    }

    pub fn autoscaling(&self) -> Autoscaling {
        self.autoscaling.clone().unwrap_or_default()
    }

    pub fn handoff(&self) -> Handoff {
        let routing = self.trace_routing.as_ref();
        routing.and_then(|routing| routing.handoff.clone()).unwrap_or_default()
    }

    pub fn disruption_budget(&self) -> DisruptionBudget {
        self.disruption_budget.clone().unwrap_or_default()
    }
}

impl Autoscaling {
    pub fn target(&self) -> ScaleTarget {
        self.target.clone().unwrap_or_default()
    }
}
