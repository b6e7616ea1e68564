//! `cargo xtask oracle`: the same traces through the OpenTelemetry Collector's samplers and through
//! Sluice with the policy that says the same. Kept must be the same traces, whole, with the same
//! thresholds, but where a difference is meant. Each program is held against a plain computation.

mod cases;
mod expected;
mod kept;
mod ours;
mod peer;
mod traces;

use crate::commands;
use crate::contest::corpus::Corpus;
use crate::contest::destination::Destination;
use crate::contest::load::Senders;
use crate::contest::message::Codec;
use crate::contest::programs::{self, Place};
use crate::contest::spread::Spread;
use crate::contest::trace::{Trace, now_ns};
use anyhow::{Context, Result, bail};
use cases::{CASES, Criterion};
use kept::Kept;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than the sending takes: traces are decided when the programs are stopped, which is when
/// all of them are whole, however slow the machine is.
const DECISION_WAIT: Duration = Duration::from_secs(120);
/// Differences of a case that are shown.
const SHOWN_MAX: usize = 10;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Checks only the cases whose name contains this.
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Leaves Sluice out: holds the Collector against what is computed.
    #[arg(long)]
    peer_only: bool,
    /// Each goes through both programs, once for every case.
    #[arg(long, default_value_t = 100_000)]
    traces: usize,
    /// Of the traces.
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
}

/// What a case sends.
struct Sent {
    traces: Vec<Trace>,
    corpus: Arc<Corpus>,
}

/// `None`: Sluice is left out.
struct Programs {
    otelcol: PathBuf,
    sluice: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if cfg!(debug_assertions) {
        return commands::run_optimized();
    }
    let programs = Programs {
        otelcol: programs::otelcol()?,
        sluice: if arguments.peer_only { None } else { Some(programs::sluice()?) },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let differences =
        runtime.context("start the runtime")?.block_on(check(&programs, arguments))?;
    if 0 < differences {
        bail!("{differences} differences (seed {})", arguments.seed);
    }
    Ok(())
}

/// Gives the number of differences.
async fn check(programs: &Programs, arguments: &Arguments) -> Result<usize> {
    let with_states = traces::make(arguments.seed, arguments.traces, now_ns());
    let without_states = Sent::new(with_states.iter().map(traces::without_state).collect())?;
    let with_states = Sent::new(with_states)?;
    let mut differences = 0;
    let part = arguments.only.as_deref().unwrap_or_default();
    for case in CASES.iter().filter(|case| case.name.contains(part)) {
        let started = Instant::now();
        let sent = if case.states { &with_states } else { &without_states };
        println!("{}", case.name);
        let found = compare(programs, &case.criterion, sent).await?;
        println!("  {found} differences ({:.1} s)", started.elapsed().as_secs_f64());
        differences += found;
    }
    Ok(differences)
}

/// Both programs run at the same time; gives the number of differences that are not meant.
async fn compare(programs: &Programs, criterion: &Criterion, sent: &Sent) -> Result<usize> {
    let expected = |reading| expected::kept(criterion, reading, &sent.traces);
    let (of_peer, of_ours) = (expected(expected::COLLECTOR), expected(expected::SLUICE));
    println!("  {} of {} traces must be kept", of_peer.len(), sent.traces.len());
    let peer = keep(sent, |place| peer::command(&programs.otelcol, criterion, place));
    let Some(sluice) = &programs.sluice else {
        return Ok(report(sent, ("computed", &of_peer), ("otelcol", &peer.await?)));
    };
    let ours = keep(sent, |place| ours::command(sluice, criterion, place));
    let (peer, ours) = tokio::try_join!(peer, ours)?;
    report_meant(criterion, sent);
    let found = report(sent, ("computed", &of_peer), ("otelcol", &peer));
    Ok(found + report(sent, ("computed", &of_ours), ("Sluice", &ours)))
}

/// Prints where Sluice is meant to differ from the Collector, and why.
fn report_meant(criterion: &Criterion, sent: &Sent) {
    let mut meant = BTreeMap::<_, usize>::new();
    for reason in sent.traces.iter().filter_map(|trace| expected::reason(criterion, trace)) {
        *meant.entry(reason).or_default() += 1;
    }
    for (reason, traces) in meant {
        println!("  {traces} traces are meant to differ: {reason}");
    }
}

impl Sent {
    fn new(traces: Vec<Trace>) -> Result<Self> {
        let requests = Spread::new(traces.len() as u64, traces.iter().cloned());
        let corpus = Arc::new(Corpus::new(requests, Codec::Plain)?);
        Ok(Self { traces, corpus })
    }
}

/// Sends all traces to one program; gives what it kept.
async fn keep(sent: &Sent, command: impl FnOnce(&Place) -> Result<Command>) -> Result<Kept> {
    let destination = Destination::start().await?;
    let place = Place::new(destination.address)?;
    let mut command = command(&place)?;
    let running = place.start(&mut command).await?;
    let senders = Senders::connect(running.address).await?;
    senders.send(&sent.corpus, 0..sent.corpus.messages.len()).await?;
    // Both programs now decide and send whatever is still open.
    running.process.stop().await?;
    Ok(Kept::arrived(destination.into_arrived()?))
}

/// Prints what differs; gives how much.
fn report(sent: &Sent, reference: (&str, &Kept), other: (&str, &Kept)) -> usize {
    let differences = kept::compare(reference, other);
    for (trace, difference) in differences.iter().take(SHOWN_MAX) {
        let facts = sent.traces.iter().find(|sent| sent.id == *trace).map(kept::facts);
        println!("  {difference}: {}", facts.unwrap_or_else(|| "nobody sent it".to_owned()));
    }
    if SHOWN_MAX < differences.len() {
        println!("  … and {} more", differences.len() - SHOWN_MAX);
    }
    differences.len()
}
