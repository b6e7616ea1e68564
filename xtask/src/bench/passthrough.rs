//! Traces through, by OTLP/gRPC, in and out by the same codec: CPU time a span beside the peer's.

pub(super) mod programs;
mod spans;

use super::pairs::{self, Run, round};
use super::results::{Figure, Goal};
use super::{Arguments, fleet, sizes};
use crate::contest::corpus::{Arrived, Corpus, compare};
use crate::contest::destination::{Destination, Traffic};
use crate::contest::load::{CONNECTIONS, IN_FLIGHT_PER_CONNECTION, Senders};
use crate::contest::message::Codec;
use crate::contest::programs::{Contender, Place, Programs};
use crate::{cluster, image};
use anyhow::{Result, bail};
use programs::{PEER_CONFIGURATION, command};
use spans::Shop;
pub(super) use spans::{BYTES_PER_SPAN, SPANS_PER_REQUEST};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many requests make one batch of both programs: 8640 spans, the first multiple above 8192.
const REQUESTS_PER_BATCH: usize = 18;
/// Sent first, not measured: connections and heaps come to size.
pub(super) const WARM_UP: usize = 4 * REQUESTS_PER_BATCH;
/// Before the memory of an idle program is read.
const IDLE: Duration = Duration::from_secs(10);

/// How much is measured.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    seed: u64,
    pairs: usize,
    /// Measured in each run.
    requests: usize,
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

/// The goal of a codec, ours by the peer's.
fn goal(codec: Codec) -> Option<Goal> {
    match codec {
        Codec::Plain => Some(Goal::RatioMax(0.2)),
        Codec::Gzip => Some(Goal::RatioMax(0.25)),
        Codec::Zstd => None,
    }
}

pub(super) fn run(programs: &Programs, arguments: &Arguments) -> Result<Vec<Figure>> {
    let image = if arguments.quick { None } else { Some(image::build()?) };
    let extent = Extent::new(arguments.seed, arguments.quick);
    let blank = Figure {
        method: method(extent),
        peer_configuration: PEER_CONFIGURATION.to_owned(),
        ..super::blank(("sluice-agent", &programs.agent), programs, arguments)?
    };
    let mut figures = super::runtime()?.block_on(measure_all(programs, extent, &blank))?;
    figures.extend(sizes::measure(programs, image.as_deref(), &blank)?);
    match cluster::obstacle() {
        _ if arguments.quick => {}
        None => figures.extend(fleet::idle(&blank)?),
        Some(obstacle) => println!("left out, what needs a cluster: {obstacle}"),
    }
    Ok(figures)
}

async fn measure_all(programs: &Programs, extent: Extent, blank: &Figure) -> Result<Vec<Figure>> {
    let mut figures = vec![idle(programs, blank.clone()).await?];
    for codec in Codec::ALL {
        let corpus = Arc::new(corpus(extent, codec)?);
        let compared = pairs::compare(extent.pairs, blank.clone(), async |contender| {
            measure(programs, contender, &corpus).await
        });
        let name = format!("traces through, {} in and out", codec.as_str());
        figures.push(Figure { name, ..compared.await? }.with_goal(goal(codec)));
    }
    Ok(figures)
}

/// # Errors
/// When the spans are not as large as the results say.
pub(super) fn corpus(extent: Extent, codec: Codec) -> Result<Corpus> {
    let shop = Shop::new(extent.seed);
    let corpus = Corpus::new(shop.take(WARM_UP + extent.requests), codec)?;
    let per_span = corpus.bytes_per_span();
    if (per_span - BYTES_PER_SPAN as f64).abs() > 5.0 {
        bail!("a span has {per_span:.1} bytes, not {BYTES_PER_SPAN}");
    }
    Ok(corpus)
}

fn method(extent: Extent) -> String {
    format!(
        "user and system time of the program's process (/proc/PID/stat) while {} spans go through, \
         from the first after a warm-up until the last has arrived; {} pairs of fresh processes in \
         turn, the ratio is the median of the pairs' ratios; requests of {SPANS_PER_REQUEST} spans \
         of {BYTES_PER_SPAN} bytes, made and compressed before the run, over OTLP/gRPC on \
         127.0.0.1, {CONNECTIONS} connections with {IN_FLIGHT_PER_CONNECTION} requests under way \
         each; batches of 8192 spans or 5 s and memory limits of 300 and 400 MiB on both; both \
         free to use all cores; the set of (trace id, span id) at the destination is complete",
        extent.spans(),
        extent.pairs,
    )
}

async fn measure(programs: &Programs, contender: Contender, corpus: &Arc<Corpus>) -> Result<Run> {
    let mut destination = Destination::start().await?;
    let place = Place::new(destination.address)?;
    let mut command = command(programs, contender, corpus.codec, &place)?;
    let running = place.start(&mut command).await?;
    let senders = Senders::connect(running.address).await?;
    senders.send(corpus, 0..WARM_UP).await?;
    destination.wait_for(WARM_UP * SPANS_PER_REQUEST).await?;
    let (before, cpu_before) = (destination.traffic(), running.process.cpu_seconds()?);
    let started = Instant::now();
    let all = corpus.messages.len();
    let refused = senders.send(corpus, WARM_UP..all).await?;
    let seconds = started.elapsed().as_secs_f64();
    destination.wait_for(all * SPANS_PER_REQUEST).await?;
    let cpu_seconds = running.process.cpu_seconds()? - cpu_before;
    let after = destination.traffic();
    let memory_bytes_peak = running.process.memory_bytes_peak()?;
    running.process.stop().await?;
    let Arrived { lost, doubled, foreign } = compare(&corpus.ids, destination.into_ids()?);
    if 0 < lost + foreign {
        bail!("{contender:?} lost {lost} spans and made up {foreign}: no result");
    }
    let spans = (all - WARM_UP) * SPANS_PER_REQUEST;
    let out =
        Traffic { bytes: after.bytes - before.bytes, requests: after.requests - before.requests };
    let spans_out = spans;
    Ok(Run { spans, spans_out, cpu_seconds, out, memory_bytes_peak, seconds, refused, doubled })
}

/// Memory of both programs when nothing has come for a while.
async fn idle(programs: &Programs, blank: Figure) -> Result<Figure> {
    let destination = Destination::start().await?;
    let mut memory = Vec::new();
    for contender in Contender::BOTH {
        let place = Place::new(destination.address)?;
        let mut command = command(programs, contender, Codec::Plain, &place)?;
        let running = place.start(&mut command).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
