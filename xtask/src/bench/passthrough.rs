//! Traces through, by OTLP/gRPC, in and out by the same codec: CPU time a span beside the peer's.

use super::contender::{Contender, Programs};
use super::corpus::{Arrived, Codec, Corpus};
use super::destination::Destination;
use super::load::Senders;
use super::results::{Figure, Goal, Side, Sides};
use super::spans::SPANS_PER_REQUEST;
use anyhow::{Result, bail};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many requests make one batch of both programs: 8640 spans, the first multiple above 8192.
const REQUESTS_PER_BATCH: usize = 18;
/// Sent first, not measured: connections and heaps come to size.
const WARM_UP: usize = 4 * REQUESTS_PER_BATCH;
/// Before the memory of an idle program is read.
const IDLE: Duration = Duration::from_secs(10);

/// How much is measured.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) seed: u64,
    pub(super) pairs: usize,
    /// Measured in each run.
    pub(super) requests: usize,
}

impl Extent {
    pub(super) fn new(seed: u64, quick: bool) -> Self {
        let (pairs, batches) = if quick { (1, 24) } else { (5, 240) };
        Self { seed, pairs, requests: batches * REQUESTS_PER_BATCH }
    }

    pub(super) fn spans(self) -> usize {
        self.requests * SPANS_PER_REQUEST
    }
}

/// One run of one program.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// CPU-seconds a million spans.
    cpu: f64,
    bytes_out: u64,
    requests_out: u64,
    memory_peak: u64,
    seconds: f64,
    refused: u64,
    doubled: u64,
}

/// The goal of a codec, ours by the peer's.
fn goal(codec: Codec) -> Option<Goal> {
    match codec {
        Codec::Plain => Some(Goal::RatioMax(0.2)),
        Codec::Gzip => Some(Goal::RatioMax(0.25)),
        Codec::Zstd => None,
    }
}

/// Runs both programs in turn; `blank` carries what all figures share.
pub(super) async fn compare(
    programs: &Programs,
    extent: Extent,
    codec: Codec,
    blank: Figure,
) -> Result<Figure> {
    let corpus = Arc::new(Corpus::new(extent.seed, WARM_UP + extent.requests, codec)?);
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for pair in 0..extent.pairs {
        for contender in Contender::BOTH {
            let run = measure(programs, contender, &corpus).await?;
            eprintln!("{} {}: {contender:?} {run:?}", codec.as_str(), pair + 1);
            match contender {
                Contender::Sluice => ours.push(run),
                Contender::Otelcol => peers.push(run),
            }
        }
    }
    let ratios: Vec<f64> =
        ours.iter().zip(&peers).map(|(own, peer)| round(own.cpu / peer.cpu)).collect();
    let figure = Figure {
        name: format!("traces through, {} in and out", codec.as_str()),
        figure: median(ours.iter().map(|run| run.cpu)),
        unit: "CPU-seconds per million spans".to_owned(),
        peer: Some(median(peers.iter().map(|run| run.cpu))),
        ratio: Some(median(ratios.iter().copied())),
        sides: Some(Sides {
            sluice: side(&ours, extent),
            peer: side(&peers, extent),
            ratios,
            spans: extent.spans(),
        }),
        ..blank
    };
    Ok(figure.with_goal(goal(codec)))
}

async fn measure(programs: &Programs, contender: Contender, corpus: &Arc<Corpus>) -> Result<Run> {
    let mut destination = Destination::start().await?;
    let running = programs.start(contender, corpus.codec, destination.address).await?;
    let senders = Senders::connect(running.address).await?;
    senders.send(corpus, 0..WARM_UP).await?;
    destination.wait_for(WARM_UP * SPANS_PER_REQUEST).await?;
    let (before, cpu_before) = (destination.traffic(), running.process.cpu_seconds()?);
    let started = Instant::now();
    let all = corpus.messages.len();
    let refused = senders.send(corpus, WARM_UP..all).await?;
    let seconds = started.elapsed().as_secs_f64();
    destination.wait_for(all * SPANS_PER_REQUEST).await?;
    let cpu = running.process.cpu_seconds()? - cpu_before;
    let after = destination.traffic();
    let memory_peak = running.process.memory_bytes_peak()?;
    running.process.stop().await?;
    let Arrived { lost, doubled, foreign } = corpus.compare(destination.into_ids());
    if 0 < lost + foreign {
        bail!("{contender:?} lost {lost} spans and made up {foreign}: no result");
    }
    let millions = ((all - WARM_UP) * SPANS_PER_REQUEST) as f64 / 1e6;
    Ok(Run {
        cpu: cpu / millions,
        bytes_out: after.bytes - before.bytes,
        requests_out: after.requests - before.requests,
        memory_peak,
        seconds,
        refused,
        doubled,
    })
}

fn side(runs: &[Run], extent: Extent) -> Side {
    let spans = extent.spans() as f64;
    let over = |of: fn(&Run) -> f64| median(runs.iter().map(of));
    Side {
        bytes_out_per_span: round(over(|run| run.bytes_out as f64) / spans),
        spans_per_request_out: round(spans / over(|run| run.requests_out as f64)),
        memory_peak_mb: over(|run| run.memory_peak as f64 / 1e6),
        spans_per_second: (spans / over(|run| run.seconds)).round(),
        refused: over(|run| run.refused as f64),
        doubled: over(|run| run.doubled as f64),
    }
}

/// Memory of both programs when nothing has come for a while.
pub(super) async fn idle(programs: &Programs, blank: Figure) -> Result<Figure> {
    let destination = Destination::start().await?;
    let mut memory = Vec::new();
    for contender in Contender::BOTH {
        let running = programs.start(contender, Codec::Plain, destination.address).await?;
        tokio::time::sleep(IDLE).await;
        memory.push(round(running.process.memory_bytes()? as f64 / 1e6));
        running.process.stop().await?;
    }
    let figure = Figure {
        name: "idle agent".to_owned(),
        figure: memory[0],
        unit: "MB of resident memory".to_owned(),
        peer: Some(memory[1]),
        ratio: Some(round(memory[0] / memory[1])),
        method: format!("VmRSS of /proc/PID/status {} s after the start", IDLE.as_secs()),
        ..blank
    };
    Ok(figure.with_goal(Some(Goal::FigureMax(20.0))))
}

pub(super) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Of at least one value, to three decimals.
fn median(values: impl Iterator<Item = f64>) -> f64 {
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

    #[test]
    fn no_batch_of_either_program_waits_for_its_timeout() {
        const { assert!((REQUESTS_PER_BATCH - 1) * SPANS_PER_REQUEST < 8192) };
        const { assert!(8192 <= REQUESTS_PER_BATCH * SPANS_PER_REQUEST) };
        assert_eq!(WARM_UP % REQUESTS_PER_BATCH, 0);
        for quick in [false, true] {
            assert_eq!(Extent::new(1, quick).requests % REQUESTS_PER_BATCH, 0);
        }
    }
}
