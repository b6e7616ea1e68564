//! Sampling policies as collectors read them. A probability is in parts per million.

use serde::{Deserialize, Serialize};
use sluice_wire::sampling::Threshold;
use std::collections::{BTreeMap, BTreeSet};

/// As a probability: everything.
pub const ALL_PPM: u32 = 1_000_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// By `namespace/name`. Without any, traces are passed on as they come.
    pub policies: BTreeMap<String, Policy>,
    pub tail: Tail,
}

/// What all policies of a fleet share: one buffer serves them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tail {
    /// From a trace's first span to its decision.
    pub decision_wait_ms: u64,
    /// From a trace's root span to its decision; 0: only `decision_wait_ms` counts.
    pub after_root_ms: u64,
    /// Open traces of one collector; 0: as many as its memory holds.
    pub traces_max: u32,
    /// A larger trace is decided at once.
    pub trace_bytes_max: u64,
    pub on_full: OnBufferFull,
    /// Of kept traces whose late spans follow; as many of dropped ones, twice.
    pub decisions_max: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBufferFull {
    /// The oldest open trace is decided before its time.
    #[default]
    DecideOldest,
    /// New traces are sampled by the hash of their id, ever less of them.
    SampleByHash,
    /// New traces are dropped.
    DropNew,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `metadata.generation` of the object this was compiled from.
    pub generation: i64,
    pub mode: Mode,
    pub scope: Scope,
    /// Floors: at least this much is kept.
    pub keep: Vec<Floor>,
    /// Caps: at most this much is kept.
    pub limit: Vec<Cap>,
    /// Of what no rule matches, in traces that begin in the scope; `None`: another policy says.
    pub default_ppm: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// Kept spans say by which rule and with which probability.
    pub tag_decision: bool,
}

/// Decided when spans come, by the hash of their trace's id: what goes here comes never back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub keep_ppm: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<HeadRate>,
}

/// How many traces of the scope may begin, in the fleet. Decided where a trace is decided, by its
/// first span, so that it stays whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRate {
    pub traces_per_second: u32,
    /// What may begin at once after a time of less.
    pub burst: u32,
}

/// Steers [`Policy::default_ppm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Of the fleet, kept by the default; 0: not steered.
    pub traces_per_second: u32,
    pub min_ppm: u32,
    pub max_ppm: u32,
    pub error_spike: Option<ErrorSpike>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorSpike {
    /// Times the usual share of traces with errors, of the last hour.
    pub factor: u32,
    pub errors_per_second_min: u32,
    pub raise_to_ppm: u32,
    pub hold_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    Enforce,
    /// Evaluated and counted, never applied.
    DryRun,
}

/// Which spans a policy is about: those that satisfy both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Of the sender, proven; `None`: every namespace.
    pub namespace: Option<String>,
    /// Keys of [`super::Config::pipelines`]; `None`: every pipeline.
    pub pipelines: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    pub name: String,
    pub matches: Match,
    pub at_least_ppm: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    pub name: String,
    pub matches: Match,
    pub at_most: AtMost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AtMost {
    Ppm(u32),
    /// Traces of the fleet.
    PerSecond(u32),
}

/// All that is given must hold: what is about a span for one span of the trace, what is about the
/// trace for the trace. Nothing given: every span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Match {
    pub status: Option<SpanStatus>,
    /// Inclusive ranges, any of them.
    pub http_status: Vec<(u16, u16)>,
    /// Last end minus first start of the trace's spans.
    pub trace_duration_min_ns: Option<u64>,
    pub span_duration_min_ns: Option<u64>,
    /// Of the trace.
    pub span_count_min: Option<u32>,
    /// All of them, on one span or its resource.
    pub attributes: Vec<AttributeMatch>,
    /// Globs over `service.name`, any of them.
    pub services: Vec<String>,
    /// Globs over span names, any of them.
    pub operations: Vec<String>,
    pub slower_than: Option<SlowerThan>,
    pub rare_operation: Option<RareOperation>,
    /// A span filter of TraceQL.
    pub trace_ql: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpanStatus {
    Unset,
    Ok,
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeMatch {
    pub key: String,
    pub operator: AttributeOperator,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeOperator {
    In,
    /// Also where there is no such attribute.
    NotIn,
    Exists,
    DoesNotExist,
    /// The whole text matches one of the patterns.
    Regex,
    /// Above the only value, a number.
    Gt,
    /// Below the only value, a number.
    Lt,
}

/// An entry span that is slower than this percentile of its service and operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlowerThan {
    pub percentile_ppm: u32,
    pub window_ms: u64,
    /// Below so many in the window nothing is slow.
    pub samples_min: u32,
}

/// An entry span of a service's operation that is a small part of all operations of the service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RareOperation {
    pub below_ppm: u32,
    pub window_ms: u64,
    /// Of one operation and collector; more of them are not rare.
    pub per_second_max: u32,
}

impl Sampling {
    /// Traces are passed on as they come.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}

impl Policy {
    /// What its head leaves of traces, where it is in force.
    pub fn head_in_force(&self) -> Option<Threshold> {
        self.enforced_head()?.keep_ppm.map(Threshold::from_ppm)
    }

    pub fn head_rate_in_force(&self) -> Option<HeadRate> {
        self.enforced_head()?.rate
    }

    fn enforced_head(&self) -> Option<&Head> {
        self.head.as_ref().filter(|_| self.mode == Mode::Enforce)
    }
}

impl Scope {
    /// Whether spans of this namespace that these pipelines take are in it.
    pub fn has(&self, namespace: Option<&str>, pipelines: &BTreeSet<&str>) -> bool {
        let names = self.pipelines.as_ref();
        let by_pipeline =
            names.is_none_or(|names| pipelines.iter().any(|pipeline| names.contains(*pipeline)));
        by_pipeline && self.namespace.as_deref().is_none_or(|own| Some(own) == namespace)
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            decision_wait_ms: 10_000,
            after_root_ms: 0,
            traces_max: 0,
            trace_bytes_max: 5 << 20,
            on_full: OnBufferFull::default(),
            decisions_max: 500_000,
        }
    }
}
