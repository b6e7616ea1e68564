//! Whole traces, decided some seconds after their first span: CPU time a span received, and memory
//! a trace that is held, beside the peer's `tail_sampling`.

mod held;
mod programs;
pub(super) mod traces;

use super::Arguments;
use super::pairs::{self, Run};
use super::results::{Figure, Goal};
use crate::contest::corpus::{Arrived, Corpus, Id, compare};
use crate::contest::destination::{Destination, Traffic};
use crate::contest::load::{CONNECTIONS, IN_FLIGHT_PER_CONNECTION, Senders};
use crate::contest::message::Codec;
use crate::contest::objects::Memory;
use crate::contest::programs::{Contender, Place, Programs};
use crate::contest::spread::{SPANS_PER_REQUEST, Spread};
use crate::contest::threshold::Share;
use crate::contest::trace::{Trace, TraceId, now_ns};
use anyhow::{Result, bail};
use programs::{PEER_CONFIGURATION, command};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use traces::{BYTES_PER_SPAN, Mix, SPANS_PER_TRACE, Shop};

/// Of the traces that no other policy keeps.
const SHARE: Share = Share(100_000);
const DECISION_WAIT: Duration = Duration::from_secs(2);
/// Sent and decided first, not measured: connections and heaps come to size.
const WARM_UP_TRACES: usize = 10_000;

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    seed: u64,
    pairs: usize,
    /// Measured in each run.
    traces: usize,
}

/// What is sent at once, and which of its traces must be kept whatever their ids are.
struct Load {
    corpus: Arc<Corpus>,
    must_keep: BTreeSet<TraceId>,
}

impl Extent {
    fn new(seed: u64, quick: bool) -> Self {
        let (pairs, traces) = if quick { (1, 20_000) } else { (5, 160_000) };
        Self { seed, pairs, traces }
    }
}

impl Load {
    fn new(seed: u64, traces: usize, mix: Mix, codec: Codec) -> Result<Self> {
        let mut must_keep = BTreeSet::new();
        let shop = Shop::new(seed, mix, now_ns()).take(traces).inspect(|trace| {
            if is_interesting(trace) {
                must_keep.insert(trace.id);
            }
        });
        let corpus = Corpus::new(Spread::new(seed, shop), codec)?;
        let per_span = corpus.bytes_per_span();
        if (per_span - BYTES_PER_SPAN as f64).abs() > 5.0 {
            bail!("a span has {per_span:.1} bytes, not {BYTES_PER_SPAN}");
        }
        Ok(Self { corpus: Arc::new(corpus), must_keep })
    }

    /// All spans of all traces that the program must keep, by its own rule for the share.
    fn kept_by(&self, contender: Contender) -> BTreeSet<Id> {
        let is_kept = |trace: &TraceId| {
            self.must_keep.contains(trace)
                || match contender {
                    Contender::Sluice => SHARE.keeps_id(trace),
                    Contender::Otelcol => SHARE.keeps_by_hash(trace),
                }
        };
        let trace = |id: &Id| id.first_chunk().is_some_and(is_kept);
        self.corpus.ids.iter().filter(|id| trace(id)).copied().collect()
    }

    async fn send(&self, senders: &Senders) -> Result<u64> {
        senders.send(&self.corpus, 0..self.corpus.messages.len()).await
    }
}

/// The policies but for the share, as `programs` writes them for both.
fn is_interesting(trace: &Trace) -> bool {
    let is_gold = trace.texts("customer.tier").any(|tier| tier == "gold");
    trace.has_error() || 1_000_000_000 <= trace.duration_ns() || is_gold
}

/// The goal of a codec, ours by the peer's.
fn goal(codec: Codec) -> Option<Goal> {
    (codec == Codec::Plain).then_some(Goal::RatioMax(0.1))
}

pub(super) fn run(programs: &Programs, arguments: &Arguments) -> Result<Vec<Figure>> {
    let extent = Extent::new(arguments.seed, arguments.quick);
    let blank = Figure {
        method: method(extent),
        peer_configuration: PEER_CONFIGURATION.to_owned(),
        ..super::blank(("sluice", &programs.sluice), programs, arguments)?
    };
    super::runtime()?.block_on(async {
        let mut figures = Vec::new();
        for codec in [Codec::Plain, Codec::Gzip] {
            figures.push(measure_pairs(programs, extent, codec, &blank).await?);
        }
        figures.push(held::measure(programs, arguments, &blank).await?);
        Ok(figures)
    })
}

fn method(extent: Extent) -> String {
    format!(
        "user and system time of the program's process (/proc/PID/stat), by the spans it received, \
         while {} traces of {SPANS_PER_TRACE} spans go in, from the first after a warm-up until the \
         last kept span has arrived; {} pairs of fresh processes in turn, the ratio is the median of \
         the pairs' ratios; errors, traces of 1 s and more and those with customer.tier=gold are \
         kept (1 % each), of the rest 10 %, {} s after a trace's first span; a trace's spans leave \
         in the requests of three nodes among those of other traces; requests of \
         {SPANS_PER_REQUEST} spans of {BYTES_PER_SPAN} bytes, made and compressed before the run, \
         over OTLP/gRPC on 127.0.0.1, {CONNECTIONS} connections with {IN_FLIGHT_PER_CONNECTION} \
         requests under way each; batches of 8192 spans or 1 s on both; no limit of memory is \
         reached; both free to use all cores; the set of (trace id, span id) at the destination is \
         that of the traces which the policies keep, whole",
        extent.traces,
        extent.pairs,
        DECISION_WAIT.as_secs(),
    )
}

async fn measure_pairs(
    programs: &Programs,
    extent: Extent,
    codec: Codec,
    blank: &Figure,
) -> Result<Figure> {
    let warm_up = Load::new(!extent.seed, WARM_UP_TRACES, Mix::USUAL, codec)?;
    let load = Load::new(extent.seed, extent.traces, Mix::USUAL, codec)?;
    let compared = pairs::compare(extent.pairs, blank.clone(), async |contender| {
        measure(programs, contender, &warm_up, &load).await
    });
    let name = format!("tail sampling, {} in and out", codec.as_str());
    Ok(Figure { name, ..compared.await? }.with_goal(goal(codec)))
}

async fn measure(
    programs: &Programs,
    contender: Contender,
    warm_up: &Load,
    load: &Load,
) -> Result<Run> {
    let mut destination = Destination::start().await?;
    let place = Place::new(destination.address)?;
    let codec = load.corpus.codec;
    let mut command = command(programs, contender, codec, DECISION_WAIT, Memory::Ample, &place)?;
    let running = place.start(&mut command).await?;
    let senders = Senders::connect(running.address).await?;
    let mut expected = warm_up.kept_by(contender);
    warm_up.send(&senders).await?;
    destination.wait_for(expected.len()).await?;
    let (before, cpu_before) = (destination.traffic(), running.process.cpu_seconds()?);
    let kept = load.kept_by(contender);
    let spans_out = kept.len();
    expected.extend(kept);
    let started = Instant::now();
    let refused = load.send(&senders).await?;
    let seconds = started.elapsed().as_secs_f64();
    destination.wait_for(expected.len()).await?;
    let cpu_seconds = running.process.cpu_seconds()? - cpu_before;
    let after = destination.traffic();
    let memory_bytes_peak = running.process.memory_bytes_peak()?;
    running.process.stop().await?;
    let Arrived { lost, doubled, foreign } = compare(&expected, destination.into_ids()?);
    if 0 < lost + foreign {
        bail!("{contender:?} lost {lost} spans that it must keep and kept {foreign} others");
    }
    let spans = load.corpus.spans();
    let out =
        Traffic { bytes: after.bytes - before.bytes, requests: after.requests - before.requests };
    Ok(Run { spans, spans_out, cpu_seconds, out, memory_bytes_peak, seconds, refused, doubled })
}
