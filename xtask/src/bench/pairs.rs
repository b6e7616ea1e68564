//! Runs of both programs in turn, and what is made of them: medians and the median of the ratios.

use super::results::{Figure, Side, Sides};
use crate::contest::destination::Traffic;
use crate::contest::programs::Contender;
use anyhow::Result;

/// One run of one program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Sent and received, of which something or all goes on.
    pub(super) spans: usize,
    pub(super) spans_out: usize,
    pub(super) cpu_seconds: f64,
    pub(super) out: Traffic,
    pub(super) memory_bytes_peak: u64,
    /// From the first request to the last answer.
    pub(super) seconds: f64,
    pub(super) refused: u64,
    pub(super) doubled: u64,
}

impl Run {
    /// In CPU-seconds a million spans.
    fn cpu(&self) -> f64 {
        self.cpu_seconds / (self.spans as f64 / 1e6)
    }
}

/// Measures so many pairs; gives the figure without name and goal.
pub(super) async fn compare(
    pairs: usize,
    blank: Figure,
    mut measure: impl AsyncFnMut(Contender) -> Result<Run>,
) -> Result<Figure> {
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        for contender in Contender::BOTH {
            let run = measure(contender).await?;
            eprintln!("pair {pair}: {contender:?} {:.3} {run:?}", run.cpu());
            match contender {
                Contender::Sluice => ours.push(run),
                Contender::Otelcol => peers.push(run),
            }
        }
    }
    let ratios: Vec<f64> =
        ours.iter().zip(&peers).map(|(own, peer)| round(own.cpu() / peer.cpu())).collect();
    Ok(Figure {
        figure: median(ours.iter().map(Run::cpu)),
        unit: "CPU-seconds per million spans".to_owned(),
        peer: Some(median(peers.iter().map(Run::cpu))),
        ratio: Some(median(ratios.iter().copied())),
        sides: Some(Sides {
            sluice: side(&ours),
            peer: side(&peers),
            ratios,
            spans: ours.first().map_or(0, |run| run.spans),
        }),
        ..blank
    })
}

fn side(runs: &[Run]) -> Side {
    let over = |of: fn(&Run) -> f64| median(runs.iter().map(of));
    Side {
        bytes_out_per_span: over(|run| run.out.bytes as f64 / run.spans_out as f64),
        spans_per_request_out: over(|run| run.spans_out as f64 / run.out.requests as f64),
        memory_peak_mb: over(|run| run.memory_bytes_peak as f64 / 1e6),
        spans_per_second: over(|run| run.spans as f64 / run.seconds).round(),
        refused: over(|run| run.refused as f64),
        doubled: over(|run| run.doubled as f64),
        kept_percent: over(|run| 100.0 * run.spans_out as f64 / run.spans as f64),
    }
}

pub(super) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Of at least one value, to three decimals.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    };
    round(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
