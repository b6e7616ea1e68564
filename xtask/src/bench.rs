//! `cargo xtask bench`: what Sluice costs beside its peer, measured in one run on this machine.

mod contender;
mod corpus;
mod destination;
mod fleet;
mod load;
mod passthrough;
mod process;
mod random;
mod results;
mod spans;

use crate::{cluster, commands, image};
use anyhow::{Context, Result};
use contender::{Contender, PEER_CONFIGURATION, Programs};
use corpus::Codec;
use passthrough::{Extent, round};
use results::{Figure, Goal};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Traces through Sluice's agent and through an OpenTelemetry Collector.
    Passthrough(Arguments),
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Writes the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One short pair a case and no image: shows that it works, not how fast.
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
        return run_optimized();
    }
    let Action::Passthrough(arguments) = action;
    let programs = Programs::build()?;
    let image = if arguments.quick { None } else { Some(image::build()?) };
    // Two threads for senders and destination, as many as the machine of the goals has cores.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let blank = blank(&programs, arguments)?;
    let mut figures = runtime.block_on(measure(&programs, arguments, &blank))?;
    figures.extend(sizes(&programs, image.as_deref(), &blank)?);
    match cluster::obstacle() {
        _ if arguments.quick => {}
        None => figures.extend(fleet::idle(&blank)?),
        Some(obstacle) => println!("left out, what needs a cluster: {obstacle}"),
    }
    println!("{}", results::table(&figures));
    if let Some(path) = &arguments.json {
        results::write(&figures, path)?;
    }
    if arguments.record {
        results::record(&figures)?;
    }
    Ok(())
}

/// The same command, compiled so that senders and destination take little of the machine.
fn run_optimized() -> Result<()> {
    let mut command = commands::cargo(&["run", "--release", "--quiet", "--package", "xtask", "--"]);
    commands::run(command.args(std::env::args_os().skip(1)))
}

async fn measure(
    programs: &Programs,
    arguments: &Arguments,
    blank: &Figure,
) -> Result<Vec<Figure>> {
    let extent = Extent::new(arguments.seed, arguments.quick);
    let mut figures = vec![passthrough::idle(programs, blank.clone()).await?];
    for codec in Codec::ALL {
        figures.push(passthrough::compare(programs, extent, codec, blank.clone()).await?);
    }
    Ok(figures)
}

/// What all figures of one run share.
fn blank(programs: &Programs, arguments: &Arguments) -> Result<Figure> {
    let extent = Extent::new(arguments.seed, arguments.quick);
    let mut versions = BTreeMap::from([("machine".to_owned(), machine())]);
    for contender in Contender::BOTH {
        let name = match contender {
            Contender::Sluice => "sluice-agent",
            Contender::Otelcol => "otelcol",
        };
        versions.insert(name.to_owned(), programs.version(contender)?);
    }
    Ok(Figure {
        name: String::new(),
        figure: 0.0,
        unit: String::new(),
        peer: None,
        ratio: None,
        goal: None,
        met: None,
        seed: arguments.seed,
        method: method(extent),
        versions,
        peer_configuration: PEER_CONFIGURATION.to_owned(),
        sides: None,
    })
}

fn method(extent: Extent) -> String {
    format!(
        "user and system time of the program's process (/proc/PID/stat) while {} spans go through, \
         from the first after a warm-up until the last has arrived; {} pairs of fresh processes in \
         turn, the ratio is the median of the pairs' ratios; requests of {} spans of {} bytes, made \
         and compressed before the run, over OTLP/gRPC on 127.0.0.1, {} connections with {} requests \
         under way each; batches of 8192 spans or 5 s and memory limits of 300 and 400 MiB on both; \
         both free to use all cores; the set of (trace id, span id) at the destination is complete",
        extent.spans(),
        extent.pairs,
        spans::SPANS_PER_REQUEST,
        spans::BYTES_PER_SPAN,
        load::CONNECTIONS,
        load::IN_FLIGHT_PER_CONNECTION,
    )
}

fn sizes(programs: &Programs, image: Option<&Path>, blank: &Figure) -> Result<Vec<Figure>> {
    let megabytes = |path: &Path| {
        let file = fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
        anyhow::Ok(round(file.len() as f64 / 1e6))
    };
    let (own, peer) = (megabytes(&programs.sluice)?, megabytes(&programs.otelcol)?);
    let mut figures = vec![Figure {
        name: "program of the agent".to_owned(),
        figure: own,
        unit: "MB".to_owned(),
        peer: Some(peer),
        ratio: Some(round(own / peer)),
        method: "size of the file, without debug information".to_owned(),
        ..blank.clone()
    }];
    if let Some(image) = image {
        let figure = Figure {
            name: "image (agent, operator and command line)".to_owned(),
            figure: megabytes(image)?,
            unit: "MB".to_owned(),
            method: "size of the image's archive".to_owned(),
            ..blank.clone()
        };
        figures.push(figure.with_goal(Some(Goal::FigureMax(60.0))));
    }
    Ok(figures)
}

/// Cores, processor, kernel, and how busy the machine was before the run.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let (model, kernel) =
        (model.map_or("unknown", |(_, model)| model), read("/proc/sys/kernel/osrelease"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{cores} cores of {model}, Linux {}, load {load} before the run", kernel.trim())
}
