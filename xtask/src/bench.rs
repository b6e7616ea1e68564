//! `cargo xtask bench`: what Sluice costs beside its peer, measured in one run on this machine.

mod engine;
mod fleet;
mod flood;
mod forward;
mod machine;
mod page;
mod pairs;
mod passthrough;
mod peer;
mod results;
mod sizes;
mod tail;

use crate::commands;
use crate::contest::programs::Programs;
use anyhow::{Context, Result};
use results::{Bench, Figure};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

pub(crate) use page::write as write_page;

#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Traces through Sluice's agent and through an OpenTelemetry Collector.
    Passthrough(Arguments),
    /// Tail sampling of whole traces by Sluice and by an OpenTelemetry Collector.
    Tail(Arguments),
    /// The engine's stages, each on one core, without a network.
    Engine(Arguments),
    /// Traces through an agent to three gateways.
    Forward(Arguments),
    /// Ten times the usual load on one gateway of 256 MiB.
    Flood(flood::Arguments),
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Writes the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One short pair or run a case and no image: shows that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Writes the results and the page that are committed.
    #[arg(long, conflicts_with = "quick")]
    record: bool,
    /// Of the spans that are sent.
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
}

pub(crate) fn run(action: &Action) -> Result<()> {
    if cfg!(debug_assertions) {
        return commands::run_optimized();
    }
    match action {
        Action::Passthrough(arguments) => {
            let figures = passthrough::run(&Programs::build()?, arguments)?;
            finish(Bench::Passthrough, &figures, arguments.json.as_deref(), arguments.record)
        }
        Action::Tail(arguments) => {
            let figures = tail::run(&Programs::build()?, arguments)?;
            finish(Bench::Tail, &figures, arguments.json.as_deref(), arguments.record)
        }
        Action::Engine(arguments) => {
            let figures = engine::run(arguments)?;
            finish(Bench::Engine, &figures, arguments.json.as_deref(), arguments.record)
        }
        Action::Forward(arguments) => {
            let figures = forward::run(arguments)?;
            finish(Bench::Forward, &figures, arguments.json.as_deref(), arguments.record)
        }
        Action::Flood(arguments) => {
            let figures = flood::run(arguments)?;
            finish(Bench::Flood, &figures, arguments.json.as_deref(), arguments.record)
        }
    }
}

fn finish(bench: Bench, figures: &[Figure], json: Option<&Path>, record: bool) -> Result<()> {
    println!("{}", page::table(figures));
    if let Some(path) = json {
        results::write(figures, path)?;
    }
    if record {
        results::record(bench, figures)?;
        page::write()?;
    }
    Ok(())
}

/// Two threads for senders and destination, as many as the machine of the goals has cores.
fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().context("start the runtime")
}

/// What all figures of one run share; `sluice` is the program of ours that runs, and its name.
fn blank(sluice: (&str, &Path), programs: &Programs, arguments: &Arguments) -> Result<Figure> {
    let versions = machine::versions(&[sluice, ("otelcol", &programs.otelcol)])?;
    Ok(Figure::blank(arguments.seed, versions))
}
