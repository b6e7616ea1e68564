//! Traces forwarded: what a span costs an agent from its receiver to the gateways that own it.

use super::pairs::{median, round};
use super::passthrough::{self, SPANS_PER_REQUEST, WARM_UP};
use super::results::{Figure, Goal};
use super::{Arguments, machine};
use crate::contest::corpus::{Arrived, Corpus, compare};
use crate::contest::destination::Destination;
use crate::contest::load::{CONNECTIONS, IN_FLIGHT_PER_CONNECTION, Senders};
use crate::contest::message::Codec;
use crate::contest::programs::{self, Place};
use anyhow::{Context, Result, bail};
use sluice_engine::config::gateway::Gateway;
use sluice_engine::config::sampling::{ALL_PPM, Mode, Policy, Sampling, Scope, Tail};
use sluice_engine::config::{Config, Limiter};
use sluice_engine::ring::{Member, Ring, SLOTS};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const GATEWAYS: u16 = 3;
const RUNS: usize = 5;
/// Of a trace's spans in its gateway, which keeps them all.
const DECISION_WAIT_MS: u64 = 1000;
/// Of each program: none is short of it.
const MEMORY_BYTES: u64 = 4 << 30;
/// How the requests come, and how they go to the gateways. In a cluster that is zstd.
const CASES: [(Codec, &[Codec]); 2] =
    [(Codec::Plain, &[Codec::Plain, Codec::Zstd]), (Codec::Gzip, &[Codec::Zstd])];
/// Nanoseconds a span, uncompressed in and out.
const GOAL: f64 = 400.0;

pub(super) fn run(arguments: &Arguments) -> Result<Vec<Figure>> {
    let agent = programs::agent()?;
    let extent = passthrough::Extent::new(arguments.seed, arguments.quick);
    let runs = if arguments.quick { 1 } else { RUNS };
    let blank = Figure {
        unit: "ns of CPU time a span".to_owned(),
        method: method(extent.spans(), runs),
        ..Figure::blank(arguments.seed, machine::versions(&[("sluice-agent", &agent)])?)
    };
    super::runtime()?.block_on(async {
        let mut figures = Vec::new();
        for (codec, outs) in CASES {
            let corpus = Arc::new(passthrough::corpus(extent, codec)?);
            for out in outs {
                let name =
                    format!("an agent that forwards, {} in, {} out", codec.as_str(), out.as_str());
                let mut found = Vec::new();
                for run in 1..=runs {
                    found.push(measure(&agent, &corpus, *out).await?);
                    eprintln!("{name}, run {run}: {} ns a span", found[run - 1]);
                }
                let is_plain = [codec, *out] == [Codec::Plain; 2];
                let goal = is_plain.then_some(Goal::FigureMax(GOAL));
                let figure = median(found.iter().copied());
                figures.push(Figure { name, figure, runs: found, ..blank.clone() }.with_goal(goal));
            }
        }
        Ok(figures)
    })
}

fn method(spans: usize, runs: usize) -> String {
    format!(
        "user and system time of the agent's process (/proc/PID/stat) by the spans, while {spans} \
         spans go in, from the first after a warm-up until the last has arrived; the median of \
         {runs} runs (all are in the JSON); requests of {SPANS_PER_REQUEST} spans of {} bytes, made \
         and compressed before the run, over OTLP/gRPC on 127.0.0.1, {CONNECTIONS} connections with \
         {IN_FLIGHT_PER_CONNECTION} requests under way each; it cuts each by owner for {GATEWAYS} \
         gateways, processes like it on the same machine, and sends that to them, plain or with zstd \
         as agents in a cluster do, without TLS; they keep all, and the set of (trace id, span id) \
         at the destination is complete",
        passthrough::BYTES_PER_SPAN,
    )
}

async fn measure(agent: &Path, corpus: &Arc<Corpus>, out: Codec) -> Result<f64> {
    let mut destination = Destination::start().await?;
    let (mut gateways, mut members) = (Vec::new(), Vec::new());
    for number in 0..GATEWAYS {
        let place = Place::new(destination.address)?;
        let name = format!("g{number}");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.grpc)).to_string();
        let mut command = command(agent, &place, out)?;
        command.args(["--role=gateway", &format!("--pod-name={name}")]);
        gateways.push(place.start(&mut command).await?);
        members.push(Member { name, address });
    }
    let place = Place::new(destination.address)?;
    let slots = (0..GATEWAYS).cycle().take(SLOTS).collect();
    let ring = Ring::new(1, members, slots).ok().context("make a ring")?;
    let kept = serde_json::to_vec(&ring).context("write the ring")?;
    fs::write(place.folder.path().join("ring.json"), kept).context("write the ring")?;
    let mut command = command(agent, &place, out)?;
    let running = place.start(&mut command).await?;
    let senders = Senders::connect(running.address).await?;
    senders.send(corpus, 0..WARM_UP).await?;
    destination.wait_for(WARM_UP * SPANS_PER_REQUEST).await?;
    let cpu_before = running.process.cpu_seconds()?;
    let all = corpus.messages.len();
    senders.send(corpus, WARM_UP..all).await?;
    destination.wait_for(all * SPANS_PER_REQUEST).await?;
    let cpu_seconds = running.process.cpu_seconds()? - cpu_before;
    running.process.stop().await?;
    for gateway in gateways {
        gateway.process.stop().await?;
    }
    let Arrived { lost, doubled, foreign } = compare(&corpus.ids, destination.into_ids()?);
    if 0 < lost + doubled + foreign {
        bail!("{lost} spans lost, {doubled} doubled and {foreign} made up: no result");
    }
    Ok(round(cpu_seconds * 1e9 / ((all - WARM_UP) * SPANS_PER_REQUEST) as f64))
}

/// A collector without an operator; an agent unless its role is said.
fn command(agent: &Path, place: &Place, out: Codec) -> Result<Command> {
    let folder = place.folder.path();
    fs::write(folder.join("config.json"), config(place, out).to_bytes())
        .context("write the config")?;
    let mut command = Command::new(agent);
    command
        .args(["run", "--bind=127.0.0.1", "--log=warn"])
        .arg(format!("--data-folder={}", folder.display()))
        .arg(format!("--metrics-port={}", place.metrics))
        // Set, they would make it look for the pods of a cluster.
        .env_remove("NODE_NAME")
        .env_remove("POD_IP");
    Ok(command)
}

fn config(place: &Place, out: Codec) -> Config {
    let policy = Policy {
        generation: 1,
        mode: Mode::Enforce,
        scope: Scope::default(),
        keep: Vec::new(),
        limit: Vec::new(),
        default_ppm: Some(ALL_PPM),
        head: None,
        adaptive: None,
        tag_decision: false,
    };
    let limiter =
        Limiter { soft_bytes: MEMORY_BYTES / 2, hard_bytes: MEMORY_BYTES, check_interval_ms: 1000 };
    Config {
        limiter: limiter.clone(),
        sampling: Sampling {
            policies: BTreeMap::from([("shop/shop".to_owned(), policy)]),
            tail: Tail { decision_wait_ms: DECISION_WAIT_MS, ..Tail::default() },
        },
        gateway: Gateway {
            needed: true,
            port: place.grpc,
            limiter,
            compression: passthrough::programs::compression(out),
            ..Gateway::default()
        },
        ..passthrough::programs::config(Codec::Plain, place)
    }
}
