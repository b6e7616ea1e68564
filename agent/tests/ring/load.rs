//! Traces at a steady rate: each comes in four parts, half a second apart, by both agents.

use crate::support::client::{Grpc, frame};
use crate::support::sampling::*;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sluice_wire::Signal;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Interval;

const TICK_MS: u64 = 50;
/// Between two parts of a trace.
const TICKS_PER_PART: usize = 10;
const PARTS: u64 = 4;
pub(crate) const SPANS_PER_PART: u64 = 2;
pub(crate) const SPANS: u64 = PARTS * SPANS_PER_PART;
/// Of so many traces one has an error, in its last span.
const ERROR_EVERY: u64 = 20;

pub(crate) struct Load {
    started: Instant,
    stop: watch::Sender<bool>,
    /// Ticks for which everything was sent.
    ticks: watch::Receiver<usize>,
    sending: JoinHandle<Vec<Sent>>,
}

/// A trace that was sent whole.
pub(crate) struct Sent {
    pub(crate) number: u64,
    /// When its last part was accepted, since the start.
    pub(crate) last_ms: u64,
}

/// Traces that begin together.
struct Group {
    first: u64,
    count: u64,
    /// Parts that were sent.
    parts: u64,
    due: usize,
}

pub(crate) fn is_error(trace: u64) -> bool {
    trace.is_multiple_of(ERROR_EVERY)
}

pub(crate) fn span_of(trace: u64, number: u64) -> Span {
    let span = span(trace_id(trace), number);
    if is_error(trace) && number == SPANS - 1 { failed(span) } else { span }
}

impl Load {
    pub(crate) fn start(agents: Vec<SocketAddr>, spans_per_second: u64) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (ticked, ticks) = watch::channel(0);
        let started = Instant::now();
        let per_tick = (spans_per_second * TICK_MS / 1000 / SPANS).max(1);
        let sending = tokio::spawn(send_all(agents, per_tick, (stopped, ticked), started));
        Self { started, stop, ticks, sending }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    /// Until so much more was sent as belongs to this time.
    pub(crate) async fn goes_on_for(&self, ms: u64) {
        let mut ticks = self.ticks.clone();
        let until = *ticks.borrow() + usize::try_from(ms / TICK_MS).unwrap();
        ticks.wait_for(|tick| until <= *tick).await.unwrap();
    }

    /// Begins no new traces, and sends the rest of those that have begun.
    pub(crate) async fn stop(self) -> Vec<Sent> {
        self.stop.send_replace(true);
        self.sending.await.unwrap()
    }
}

async fn send_all(
    agents: Vec<SocketAddr>,
    per_tick: u64,
    (stopped, ticked): (watch::Receiver<bool>, watch::Sender<usize>),
    started: Instant,
) -> Vec<Sent> {
    let mut connections = Vec::new();
    for agent in agents {
        connections.push(Grpc::connect(agent).await);
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    let (mut groups, mut sent, mut next) = (VecDeque::<Group>::new(), Vec::new(), 0);
    for tick in 0.. {
        ticks.tick().await;
        if !*stopped.borrow() {
            groups.push_back(Group { first: next, count: per_tick, parts: 0, due: tick });
            next += per_tick;
        }
        let mut spans: Vec<Vec<Span>> = connections.iter().map(|_| Vec::new()).collect();
        for group in groups.iter_mut().filter(|group| group.due <= tick) {
            for trace in group.first..group.first + group.count {
                let numbers = group.parts * SPANS_PER_PART..(group.parts + 1) * SPANS_PER_PART;
                let way = (trace + group.parts) as usize % spans.len();
                spans[way].extend(numbers.map(|number| span_of(trace, number)));
            }
            group.parts += 1;
            group.due = tick + TICKS_PER_PART;
        }
        for (connection, spans) in connections.iter_mut().zip(spans) {
            send_until_taken(connection, spans, &mut ticks).await;
        }
        ticked.send_replace(tick);
        let last_ms = u64::try_from(started.elapsed().as_millis()).unwrap();
        while groups.front().is_some_and(|group| group.parts == PARTS) {
            let Group { first, count, .. } = groups.pop_front().unwrap();
            sent.extend((first..first + count).map(|number| Sent { number, last_ms }));
        }
        if groups.is_empty() {
            break;
        }
    }
    sent
}

/// What is refused is sent again at the next tick, as every exporter does.
async fn send_until_taken(connection: &mut Grpc, spans: Vec<Span>, ticks: &mut Interval) {
    if spans.is_empty() {
        return;
    }
    let body = frame(false, &request("shop", spans).encode_to_vec());
    loop {
        let status = connection.call(Signal::Traces.grpc_path(), &[], body.clone()).await;
        match status.code {
            0 => return,
            14 => drop(ticks.tick().await),
            code => panic!("refused with {code}: {}", status.message),
        }
    }
}
