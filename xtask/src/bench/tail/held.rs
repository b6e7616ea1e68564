//! What a trace costs in memory until it is decided.

use super::Load;
use super::programs::command;
use super::traces::{Mix, SPANS_PER_TRACE};
use crate::bench::Arguments;
use crate::bench::pairs::round;
use crate::bench::results::{Figure, Goal};
use crate::contest::destination::Destination;
use crate::contest::load::Senders;
use crate::contest::message::Codec;
use crate::contest::objects::Memory;
use crate::contest::programs::{Contender, Place, Programs};
use anyhow::{Context, Result};
use std::time::Duration;

/// Nothing is decided while the memory is read.
const DECISION_WAIT: Duration = Duration::from_secs(300);
/// In KB a trace.
const GOAL: f64 = 1.5;

/// Fewer in the peer, which takes dozens of KB for each.
fn open_traces(contender: Contender, quick: bool) -> usize {
    match (contender, quick) {
        (Contender::Sluice, false) => 200_000,
        (Contender::Otelcol, false) => 20_000,
        (Contender::Sluice, true) => 20_000,
        (Contender::Otelcol, true) => 2_000,
    }
}

pub(super) async fn measure(
    programs: &Programs,
    arguments: &Arguments,
    blank: &Figure,
) -> Result<Figure> {
    let (mut held, mut shrinks) = (Vec::new(), 0.0);
    for contender in Contender::BOTH {
        let traces = open_traces(contender, arguments.quick);
        let load = Load::new(arguments.seed, traces, Mix::DULL, Codec::Plain)?;
        shrinks = load.compresses()?;
        let bytes = bytes_held(programs, contender, &load).await?;
        held.push(round(bytes as f64 / traces as f64 / 1e3));
        eprintln!("held: {contender:?} {bytes} bytes for {traces} traces");
    }
    let open = Contender::BOTH.map(|contender| open_traces(contender, arguments.quick));
    let figure = Figure {
        name: "memory of an open trace".to_owned(),
        figure: held[0],
        unit: "KB of resident memory".to_owned(),
        peer: Some(held[1]),
        ratio: Some(round(held[0] / held[1])),
        method: format!(
            "VmRSS of /proc/PID/status after {} traces (peer: {}) of {SPANS_PER_TRACE} spans have \
             gone in, none of them decided, less VmRSS before, with an agent's default limits of memory \
             (400 and 500 MiB); the same spans, which zstd-1 makes \
             {shrinks:.2} times smaller, a request at a time",
            open[0], open[1]
        ),
        ..blank.clone()
    };
    Ok(figure.with_goal(Some(Goal::FigureMax(GOAL))))
}

async fn bytes_held(programs: &Programs, contender: Contender, load: &Load) -> Result<u64> {
    let destination = Destination::start().await?;
    let place = Place::new(destination.address)?;
    let codec = load.corpus.codec;
    let mut command = command(programs, contender, codec, DECISION_WAIT, Memory::Default, &place)?;
    let running = place.start(&mut command).await?;
    let senders = Senders::connect(running.address).await?;
    let before = running.process.memory_bytes()?;
    load.send(&senders).await?;
    // It would decide and send all at the end: nobody waits for that.
    Ok(running.process.memory_bytes()?.saturating_sub(before))
}

impl Load {
    /// By how much zstd-1 makes a plain corpus smaller, each request by itself.
    pub(super) fn compresses(&self) -> Result<f64> {
        let (mut before, mut after) = (0, 0);
        for message in &self.corpus.messages {
            before += message.len();
            after += zstd::encode_all(&**message, 1).context("compress a request")?.len();
        }
        Ok(before as f64 / after as f64)
    }
}
