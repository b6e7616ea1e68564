//! What was measured: one object a case for machines, a page for people made from it.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The committed results and the page, below the root of the work tree.
pub(super) const RECORDED: &str = "xtask/bench/passthrough.json";
pub(super) const PAGE: &str = "docs/benchmarks.md";

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
    /// Sent in each run, every one found at the destination.
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
}

impl Figure {
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

/// The page for people.
pub(super) fn page(figures: &[Figure]) -> String {
    let mut page = "# Benchmarks\n\n\
        Made by `cargo xtask bench passthrough --record` from the results in\n\
        [passthrough.json](../xtask/bench/passthrough.json), which it writes too. Sluice and the\n\
        OpenTelemetry Collector run in turn on the same machine, on the same spans.\n\n"
        .to_owned();
    page += &table(figures);
    page += &sides(figures);
    page += "\n## Method\n";
    let mut said: Vec<&str> = Vec::new();
    for figure in figures {
        if !said.contains(&figure.method.as_str()) {
            said.push(&figure.method);
            // Writing to a string does not fail.
            let _ = writeln!(page, "\n{}: {}", figure.name, figure.method);
        }
    }
    if let Some(first) = figures.first() {
        let _ = writeln!(
            page,
            "\nSeed {}. The peer's configuration: `{}`.",
            first.seed, first.peer_configuration
        );
        for (name, version) in &first.versions {
            let _ = writeln!(page, "- {name}: {version}");
        }
    }
    page
}

/// A row a figure.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut table = "| case | unit | Sluice | OTel Collector | ratio | goal | met |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    for figure in figures {
        let goal = match figure.goal {
            Some(Goal::RatioMax(most)) => format!("ratio ≤ {most}"),
            Some(Goal::FigureMax(most)) => format!("≤ {most}"),
            None => "–".to_owned(),
        };
        let met = figure.met.map_or("–", |met| if met { "yes" } else { "**no**" });
        let (name, unit, ours) = (&figure.name, &figure.unit, Some(figure.figure));
        let (ours, peer, ratio) = (number(ours), number(figure.peer), number(figure.ratio));
        let _ = writeln!(table, "| {name} | {unit} | {ours} | {peer} | {ratio} | {goal} | {met} |");
    }
    table
}

fn sides(figures: &[Figure]) -> String {
    let mut table = "\n| case | program | bytes out a span | spans a request out | spans/s \
                     | peak memory, MB | refused requests | doubled spans | lost spans |\n\
                     |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for figure in figures {
        let Some(sides) = &figure.sides else { continue };
        for (program, side) in [("Sluice", &sides.sluice), ("OTel Collector", &sides.peer)] {
            let _ = writeln!(
                table,
                "| {} | {program} | {:.1} | {:.0} | {:.0} | {:.1} | {} | {} | 0 |",
                figure.name,
                side.bytes_out_per_span,
                side.spans_per_request_out,
                side.spans_per_second,
                side.memory_peak_mb,
                side.refused,
                side.doubled,
            );
        }
    }
    table
}

/// All figures as one JSON array, an object a case.
pub(super) fn write(figures: &[Figure], path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(figures).context("write JSON")?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Writes the results and the page that are committed.
pub(super) fn record(figures: &[Figure]) -> Result<()> {
    write(figures, &crate::root().join(RECORDED))?;
    fs::write(crate::root().join(PAGE), page(figures)).with_context(|| format!("write {PAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_made_from_the_committed_results() {
        let recorded = fs::read_to_string(crate::root().join(RECORDED)).unwrap();
        let figures: Vec<Figure> = serde_json::from_str(&recorded).unwrap();
        let committed = fs::read_to_string(crate::root().join(PAGE)).unwrap();
        assert!(committed == page(&figures), "run `cargo xtask bench passthrough --record`");
    }
}
