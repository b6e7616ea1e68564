//! What became of a trace, as those who ask are told: `sluice explain` on the monitor's port, the
//! operator on the control stream.

use crate::flow::Flow;
use serde::{Deserialize, Serialize};
use sluice_engine::tail::Known;
use sluice_engine::tick::Tick;
use sluice_wire::control::sampling as wire;

pub use sluice_wire::parse_trace_id;

/// The path, followed by a trace id in hexadecimal.
pub const DECISIONS: &str = "/decisions/";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Answer {
    /// No policy is in force, nor was any: every trace is passed on.
    NoPolicy,
    /// This agent sends traces to the gateways, which decide.
    Elsewhere,
    /// It never came, or was decided so long ago that it is forgotten.
    Unknown,
    /// Its spans are held.
    Open,
    Decided(Decision),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub is_kept: bool,
    /// Before its time.
    pub is_early: bool,
    /// `namespace/policy/rule` that set the probability; `None`: no policy said anything.
    pub rule: Option<String>,
    pub probability: f64,
    /// `ot=th` of it, out of 2^56.
    pub threshold: u64,
    /// When it was decided.
    pub spans: u32,
    /// That came since, and followed the decision.
    pub late_spans: u32,
    /// Since the decision.
    pub age_ms: u64,
    /// Who decided, where the operator was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

pub(crate) fn answer(flow: &Flow, trace: u128) -> Answer {
    let known = flow.tail().map(|tail| tail.find(trace));
    match known {
        Some(Known::Open) => Answer::Open,
        Some(Known::Nothing) | None if flow.forwards(&flow.config().borrow()) => Answer::Elsewhere,
        Some(Known::Nothing) => Answer::Unknown,
        None => Answer::NoPolicy,
        Some(Known::Decided(record)) => Answer::Decided(Decision {
            is_kept: record.is_kept,
            is_early: record.is_early,
            rule: record.rule.map(|rule| rule.to_string()),
            probability: record.threshold.probability(),
            threshold: record.threshold.bits(),
            spans: record.spans,
            late_spans: record.late_spans,
            age_ms: age_ms(flow.now(), record.at_ms),
            gateway: None,
        }),
    }
}

fn age_ms(now: Tick, at_ms: u64) -> u64 {
    u64::try_from(now.0.as_millis()).unwrap_or(u64::MAX).saturating_sub(at_ms)
}

impl Answer {
    /// To the question of this number.
    pub(crate) fn on_the_wire(self, id: u64) -> wire::Found {
        let (known, record) = match self {
            Self::NoPolicy | Self::Elsewhere | Self::Unknown => (wire::Known::Nothing, None),
            Self::Open => (wire::Known::Open, None),
            Self::Decided(decision) => (wire::Known::Decided, Some(decision.into())),
        };
        wire::Found { id, known: known.into(), record }
    }
}

impl From<Decision> for wire::Record {
    fn from(decision: Decision) -> Self {
        Self {
            is_kept: decision.is_kept,
            is_early: decision.is_early,
            rule: decision.rule.unwrap_or_default(),
            threshold: decision.threshold,
            spans: decision.spans,
            age_ms: decision.age_ms,
            late_spans: decision.late_spans,
        }
    }
}
