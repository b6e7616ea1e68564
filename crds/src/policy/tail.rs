//! How gateways wait for whole traces.

use crate::duration::{self, Duration};
use crate::quantity::{self, Size};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[(
    "duration(self.decisionWaitAfterRoot) <= duration(self.decisionWait)",
    "decisionWaitAfterRoot (0s when absent) must not exceed decisionWait (10s when absent)",
)])))]
pub struct Tail {
    /// A trace is decided this long after its first span arrived, at the latest.
    #[schemars(extend("x-kubernetes-validations" = duration::between("1s", "5m")))]
    pub decision_wait: Duration,
    /// A trace is decided this long after its root span arrived, if that is earlier; `0s`: the root
    /// span does not matter. SDKs send every 5 s, each process for itself: with less than that, spans
    /// of other services come after the decision, errors among them.
    #[schemars(extend("x-kubernetes-validations" = duration::between("0s", "5m")))]
    pub decision_wait_after_root: Duration,
    /// Traces that may be open in each gateway. 0: as many as the measured rate needs and memory
    /// holds.
    #[schemars(
        range(min = 0, max = 10_000_000),
        extend("x-kubernetes-validations" = rule::list(&[(
            "self == 0 || self >= 1000",
            "must be 0 (automatic) or at least 1000",
        )]))
    )]
    pub max_traces: i32,
    /// A trace that grows larger (bytes of uncompressed OTLP protobuf) is decided at once, and
    /// marked.
    #[schemars(extend("x-kubernetes-validations" = quantity::between("64Ki", "64Mi")))]
    pub max_trace_size: Size,
    /// When no more traces may be open. DecideOldest: the oldest is decided before its time.
    /// SampleByHash: ever less new traces are taken, by a hash of their id. DropNew: new traces are
    /// dropped. All are counted, and the condition BufferSufficient says so.
    pub on_buffer_full: OnBufferFull,
    /// Decisions that each gateway remembers, so that late spans follow them.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub decision_cache_size: i32,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum OnBufferFull {
    #[default]
    DecideOldest,
    SampleByHash,
    DropNew,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            decision_wait: Duration::from_secs(10),
            decision_wait_after_root: Duration::from_secs(0),
            max_traces: 0,
            max_trace_size: Size::from_mebibytes(5),
            on_buffer_full: OnBufferFull::default(),
            decision_cache_size: 500_000,
        }
    }
}
