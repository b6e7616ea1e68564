//! What was measured, an object a case, as it is committed for machines.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bench {
    Passthrough,
    Tail,
    Engine,
    Forward,
    Flood,
}

impl Bench {
    pub(super) const ALL: [Self; 5] =
        [Self::Passthrough, Self::Tail, Self::Engine, Self::Forward, Self::Flood];

    /// As the command names it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Tail => "tail",
            Self::Engine => "engine",
            Self::Forward => "forward",
            Self::Flood => "flood",
        }
    }

    /// The committed results, below the root of the work tree.
    pub(super) fn recorded(self) -> &'static str {
        match self {
            Self::Passthrough => "xtask/bench/passthrough.json",
            Self::Tail => "xtask/bench/tail.json",
            Self::Engine => "xtask/bench/engine.json",
            Self::Forward => "xtask/bench/forward.json",
            Self::Flood => "xtask/bench/flood.json",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) figure: f64,
    pub(super) unit: String,
    /// The same of the peer.
    pub(super) peer: Option<f64>,
    /// Ours by the peer's: the median over the pairs.
    pub(super) ratio: Option<f64>,
    pub(super) goal: Option<Goal>,
    pub(super) met: Option<bool>,
    pub(super) seed: u64,
    pub(super) method: String,
    pub(super) versions: BTreeMap<String, String>,
    pub(super) peer_configuration: String,
    pub(super) sides: Option<Sides>,
    /// Of each run, where there is no peer and the figure is one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) runs: Vec<f64>,
}

/// The most that is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    RatioMax(f64),
    FigureMax(f64),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sides {
    pub(super) sluice: Side,
    pub(super) peer: Side,
    /// Of each pair.
    pub(super) ratios: Vec<f64>,
    /// Sent in each run; at the destination is every one that had to arrive.
    pub(super) spans: usize,
}

/// Medians over the runs of one program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) bytes_out_per_span: f64,
    pub(super) spans_per_request_out: f64,
    pub(super) memory_peak_mb: f64,
    pub(super) spans_per_second: f64,
    /// Refused requests, all sent again.
    pub(super) refused: f64,
    /// Spans that arrived more than once.
    pub(super) doubled: f64,
    /// Of the spans that were sent, those that had to go on.
    #[serde(default = "all")]
    pub(super) kept_percent: f64,
}

fn all() -> f64 {
    100.0
}

impl Figure {
    /// Of which nothing is known but what all figures of one run share.
    pub(super) fn blank(seed: u64, versions: BTreeMap<String, String>) -> Self {
        Self {
            name: String::new(),
            figure: 0.0,
            unit: String::new(),
            peer: None,
            ratio: None,
            goal: None,
            met: None,
            seed,
            method: String::new(),
            versions,
            peer_configuration: String::new(),
            sides: None,
            runs: Vec::new(),
        }
    }

    /// Judges the goal.
    pub(super) fn with_goal(mut self, goal: Option<Goal>) -> Self {
        self.goal = goal;
        self.met = match goal {
            Some(Goal::RatioMax(most)) => self.ratio.map(|ratio| ratio <= most),
            Some(Goal::FigureMax(most)) => Some(self.figure <= most),
            None => None,
        };
        self
    }
}

/// All figures as one JSON array, an object a case.
pub(super) fn write(figures: &[Figure], path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(figures).context("write JSON")?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Writes the results that are committed.
pub(super) fn record(bench: Bench, figures: &[Figure]) -> Result<()> {
    write(figures, &crate::root().join(bench.recorded()))
}

/// The committed results; none before the first record.
pub(super) fn recorded(bench: Bench) -> Result<Vec<Figure>> {
    let path = crate::root().join(bench.recorded());
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
}
