//! A flood: ten times the usual load on one gateway of 256 MiB. What it uses, what it sheds, whether
//! errors stay and counts stay true, and how soon it is as before.

mod cgroup;
mod corpus;
mod gateway;
mod ledger;
mod load;
mod report;
mod watch;

use super::results::Figure;
use super::tail::traces::SPANS_PER_TRACE;
use crate::contest::destination::Destination;
use crate::contest::load::Senders;
use crate::contest::programs::{self, Place};
use anyhow::{Context, Result, bail};
use corpus::Corpus;
use gateway::{DECISION_WAIT_MS, Gateway};
use ledger::Arrived;
use load::{Phase, Sent};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use watch::{Look, Watch};

const TIMES: u64 = 10;
const BEFORE: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(60);
/// A trace's spans come within about this time.
const TRACE_SECONDS: u64 = 1;
/// Until the same traces are sent again, as others.
const ROUND_SECONDS: u64 = 4;
/// Rounds of two phases have different numbers.
const ROUNDS_PER_PHASE: u32 = 1 << 20;
/// Behind the decision wait: for batches, and a busy machine.
const SETTLE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Writes the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Writes the results and the page that are committed.
    #[arg(long)]
    pub(super) record: bool,
    /// Of the spans that are sent.
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
    /// How long the flood lasts.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Spans per second before and after the flood.
    #[arg(long, default_value_t = 20_000)]
    base: u64,
}

/// All that was seen in one run.
struct Run {
    sent: [Sent; 3],
    corpora: [Arc<Corpus>; 3],
    arrived: Arrived,
    looks: Vec<Look>,
    /// When the flood began, and when it ended.
    flood: [Instant; 2],
    hard_bytes: u64,
    soft_bytes: u64,
    /// The most that was charged to the cgroup, and how often the kernel killed.
    guard: Option<(u64, u64)>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Vec<Figure>> {
    let agent = programs::agent()?;
    let versions = super::machine::versions(&[("sluice-agent", &agent)])?;
    let blank = Figure::blank(arguments.seed, versions);
    let run = super::runtime()?.block_on(flood(&agent, arguments))?;
    Ok(report::figures(&run, arguments, &blank))
}

async fn flood(agent: &std::path::Path, arguments: &Arguments) -> Result<Run> {
    let corpus = |seed, rate: u64| {
        let traces = |seconds| rate as usize * seconds as usize / SPANS_PER_TRACE;
        Corpus::new(seed, traces(ROUND_SECONDS), traces(TRACE_SECONDS)).map(Arc::new)
    };
    let usual = corpus(arguments.seed, arguments.base)?;
    let corpora =
        [Arc::clone(&usual), corpus(!arguments.seed, arguments.base * TIMES)?, Arc::clone(&usual)];
    let destination = Destination::start().await?;
    let mut gateway = Gateway::start(agent, Place::new(destination.address)?).await?;
    let closing = Arc::<AtomicBool>::default();
    let collecting = tokio::spawn(collect(destination, Arc::clone(&closing)));
    let senders = Senders::connect(gateway.address).await?;
    let watch = Watch::start(&gateway);
    let lasts = [BEFORE, Duration::from_secs(60 * arguments.minutes), AFTER];
    let rates = [arguments.base, arguments.base * TIMES, arguments.base];
    let (mut sent, mut ends) = (Vec::new(), Vec::new());
    for ((number, corpus), (duration, rate)) in
        (0..).zip(&corpora).zip(lasts.into_iter().zip(rates))
    {
        let phase = Phase {
            corpus: Arc::clone(corpus),
            spans_per_second: rate,
            duration,
            first_round: number * ROUNDS_PER_PHASE,
        };
        match phase.send(&senders).await {
            Ok(own) => sent.push(own),
            Err(error) => {
                gateway.process.runs()?;
                return Err(error);
            }
        }
        ends.push(Instant::now());
    }
    tokio::time::sleep(Duration::from_millis(DECISION_WAIT_MS) + SETTLE).await;
    let looks = watch.end().await?;
    gateway.process.runs()?;
    let Gateway { process, cgroup, limiter, .. } = gateway;
    let guard = cgroup.as_ref().and_then(|own| Some((own.bytes_peak()?, own.kills()?)));
    process.stop().await?;
    closing.store(true, Ordering::Relaxed);
    let arrived = collecting.await.context("join the destination")??;
    let Ok(sent) = <[Sent; 3]>::try_from(sent) else { bail!("three phases were sent") };
    Ok(Run {
        sent,
        corpora,
        arrived,
        looks,
        flood: [ends[0], ends[1]],
        hard_bytes: limiter.hard_bytes,
        soft_bytes: limiter.soft_bytes,
        guard,
    })
}

/// Reads what arrives as it comes: all of it would not fit into memory.
async fn collect(mut destination: Destination, closing: Arc<AtomicBool>) -> Result<Arrived> {
    let mut arrived = Arrived::default();
    loop {
        let is_last = closing.load(Ordering::Relaxed);
        destination.take()?.iter().for_each(|arrival| arrived.add(arrival));
        if is_last {
            return Ok(arrived);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
