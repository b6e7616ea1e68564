//! The gateways of a fleet, as agents and gateways read it. Who owns which traces is the ring's
//! matter ([`crate::ring`]).

use super::{Compression, Limiter};
use serde::{Deserialize, Serialize};

/// The default stands for a fleet without gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Agents send traces to the gateways, which alone hold and decide them. Otherwise gateways, if
    /// there are any, stand by.
    pub needed: bool,
    /// Where gateways take traces from agents and from each other.
    pub port: u16,
    /// In place of [`super::Config::limiter`] in gateways.
    pub limiter: Limiter,
    /// Above the soft limit, traces with an error are taken as before, up to the hard limit.
    pub protect_errors: bool,
    /// What counts as 100 % of a gateway's CPU, in thousandths of a core.
    pub cpu_millis: u64,
    #[serde(default)]
    pub handoff: Handoff,
    /// Of what they are sent, by agents and by each other.
    #[serde(default = "compression")]
    pub compression: Compression,
}

fn compression() -> Compression {
    Compression::Zstd
}

/// What becomes of open traces when they get another owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    pub mode: HandoffMode,
    /// For so long a new owner waits for the old one.
    pub timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandoffMode {
    /// They go to their new owner.
    #[default]
    Transfer,
    /// The old owner decides them by what it has; the new one follows its decision.
    DecideNow,
}

impl Default for Handoff {
    fn default() -> Self {
        Self { mode: HandoffMode::Transfer, timeout_ms: 30_000 }
    }
}

impl Gateway {
    /// There are no gateways.
    pub fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            needed: false,
            port: 0,
            limiter: Limiter { soft_bytes: 0, hard_bytes: 0, check_interval_ms: 0 },
            protect_errors: false,
            cpu_millis: 0,
            handoff: Handoff::default(),
            compression: compression(),
        }
    }
}
