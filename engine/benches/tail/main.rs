//! Spans that one core samples a second, from a request's bytes to requests of kept traces, those that
//! it gives to the gateways that own them, and the memory of an open trace. Without criterion: one
//! long stream is measured, not one call.
//!
//! `cargo bench -p sluice-engine --bench tail [-- SEED]`

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic, and prints")]

mod corpus;

use corpus::{SPANS_PER_TRACE, START_NS, requests};
use sluice_engine::compiled::Compiled;
use sluice_engine::config::sampling::{
    AttributeMatch, AttributeOperator, Floor, Match, Mode, Policy, Sampling, Scope, SpanStatus,
};
use sluice_engine::config::{Config, Namespaces};
use sluice_engine::forward::cut;
use sluice_engine::ring::{Member, Ring, SLOTS};
use sluice_engine::sender::{Pod, Sender, Source};
use sluice_engine::tail::{Now, Request, Sorter, Tail};
use sluice_engine::tick::Tick;
use sluice_wire::forward::Frame;
use sluice_wire::sampling::Threshold;
use sluice_wire::{Limits, Signal, survey};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// As in the programs that are shipped.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Unless another is given.
const SEED: u64 = 20_260_101;
const TRACES: usize = 200_000;
/// Of the stream of an agent.
const GATEWAYS: u16 = 3;
/// As zlib and the Collector have it unless told otherwise.
const GZIP_LEVEL: i32 = 6;
/// Of the stream: what one gateway might get.
const SPANS_PER_SECOND: u64 = 400_000;

fn main() {
    // Cargo adds words of its own.
    let seed = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(SEED);
    let bodies = requests(seed, TRACES);
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let spans = (TRACES * SPANS_PER_TRACE) as f64;
    println!("{spans} spans of {:.0} bytes, {TRACES} traces, one thread", bytes as f64 / spans);
    let compressed: usize =
        bodies.iter().step_by(50).map(|body| zstd::bulk::compress(body, 1).unwrap().len()).sum();
    let sampled: usize = bodies.iter().step_by(50).map(Vec::len).sum();
    println!("zstd -1 a request: {:.2} to 1", sampled as f64 / compressed as f64);
    memory(&bodies);
    let surveyed = stopwatch(|| {
        for body in &bodies {
            survey(Signal::Traces, body, &Limits::default()).unwrap();
        }
    });
    println!("survey alone: {:.0} ns a span", surveyed * 1e9 / spans);
    let offered = stopwatch(|| {
        let mut world = World::new(2000);
        bodies.iter().for_each(|body| world.offer(body));
    });
    println!("survey and hold: {:.0} ns a span", offered * 1e9 / spans);
    let ring = ring();
    let split = stopwatch(|| bodies.iter().for_each(|body| split(&ring, body)));
    println!("an agent's split: {:.0} ns a span", split * 1e9 / spans);
    let room = [("all compressed", 0), ("64 MiB of room", 64 << 20), ("none compressed", 1 << 30)];
    for (name, room_bytes) in room {
        say(name, spans, stream(&bodies, room_bytes, |body| Cow::Borrowed(body)));
    }
    let packed: Vec<Vec<u8>> = bodies.iter().map(|body| gzip(body)).collect();
    let inflated = stopwatch(|| packed.iter().for_each(|body| drop(gunzip(body))));
    println!("inflate alone: {:.0} ns a span", inflated * 1e9 / spans);
    for (name, room_bytes) in room {
        say(&format!("gzip in, {name}"), spans, stream(&packed, room_bytes, gunzip));
    }
}

fn say(name: &str, spans: f64, (seconds, kept): (f64, u64)) {
    let (nanoseconds, rate) = (seconds * 1e9 / spans, spans / seconds / 1e6);
    println!("{name}: {nanoseconds:.0} ns a span, {rate:.2} M spans/s/core, {kept} spans kept");
}

/// What an agent does with a request: survey it, and make a forward for each gateway.
fn split(ring: &Ring, body: &[u8]) {
    survey(Signal::Traces, body, &Limits::default()).unwrap();
    let frame = Frame { sender: b"{\"node\":\"n1\"}", body, ..Frame::default() };
    std::hint::black_box(cut(ring, &frame));
}

fn ring() -> Ring {
    let member = |number| Member { name: format!("g{number}"), address: String::new() };
    let slots = (0..SLOTS).map(|slot| slot as u16 % GATEWAYS).collect();
    Ring::new(1, (0..GATEWAYS).map(member).collect(), slots).unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).unwrap();
    let mut compressor = libdeflater::Compressor::new(level);
    let mut out = vec![0; compressor.gzip_compress_bound(body.len())];
    let length = compressor.gzip_compress(body, &mut out).unwrap();
    out.truncate(length);
    out
}

/// As the receiver does it: by the length in the trailer, in one call.
fn gunzip(body: &[u8]) -> Cow<'_, [u8]> {
    let length = u32::from_le_bytes(*body.last_chunk().unwrap());
    let mut out = vec![0; length as usize];
    libdeflater::Decompressor::new().gzip_decompress(body, &mut out).unwrap();
    Cow::Owned(out)
}

/// The whole path: inflate, survey, match, hold, decide, cut out.
fn stream(
    bodies: &[Vec<u8>],
    room_bytes: usize,
    unpack: impl Fn(&[u8]) -> Cow<'_, [u8]>,
) -> (f64, u64) {
    let mut world = World::new(2000);
    let mut kept = 0;
    let mut sent = 0;
    let mut harvested_ms = 0;
    let seconds = stopwatch(|| {
        for body in bodies {
            let body = unpack(body);
            world.offer(&body);
            sent += corpus::SPANS_PER_REQUEST as u64;
            world.now_ms = sent * 1000 / SPANS_PER_SECOND;
            if harvested_ms + 500 <= world.now_ms {
                harvested_ms = world.now_ms;
                kept += world.harvest(room_bytes);
            }
        }
        world.now_ms += 10_000;
        kept += world.harvest(room_bytes);
    });
    assert_eq!(world.tail.open_traces(), 0);
    (seconds, kept)
}

/// What all traces take while none is decided, by the system's word.
fn memory(bodies: &[Vec<u8>]) {
    let mut world = World::new(3_600_000);
    let before = resident_bytes();
    for (at, body) in bodies.iter().enumerate() {
        world.offer(body);
        if at % 100 == 0 {
            world.harvest(4 << 20);
        }
    }
    world.harvest(4 << 20);
    let traces = world.tail.open_traces();
    let resident = (resident_bytes() - before) as f64 / traces as f64;
    let counted = world.tail.bytes() as f64 / traces as f64;
    println!("{traces} open traces: {resident:.0} bytes resident each, {counted:.0} by count");
}

struct World {
    tail: Tail,
    compiled: Compiled,
    sorter: Sorter,
    sender: Sender,
    now_ms: u64,
}

impl World {
    fn new(after_root_ms: u64) -> Self {
        let mut config = Config::from_bytes(include_bytes!("../../tests/config-1.json")).unwrap();
        let (name, mut pipeline) = config.pipelines.pop_first().unwrap();
        pipeline.namespaces = Namespaces::Only(["shop".to_owned()].into());
        pipeline.workload = Default::default();
        pipeline.otlp = true;
        config.pipelines = [(name, pipeline)].into();
        let pod =
            Pod { namespace: "shop".to_owned(), name: "front-1".to_owned(), ..Pod::default() };
        Self {
            tail: Tail::new(&sampling(after_root_ms), 1, 7).unwrap(),
            compiled: Compiled::new(config).unwrap(),
            sorter: Sorter::default(),
            sender: Sender::Pod(Arc::new(pod)),
            now_ms: 0,
        }
    }

    fn offer(&mut self, body: &[u8]) {
        let request = Request {
            compiled: &self.compiled,
            generation: 1,
            sender: &self.sender,
            source: &Source::Otlp,
            body,
            limits: &Limits::default(),
        };
        let tick = Tick(Duration::from_millis(self.now_ms));
        let now = Now { tick, wall_ns: START_NS };
        let sorted = self.tail.sort(&mut self.sorter, &request, now).unwrap();
        self.tail.take_up(sorted, Some(Threshold::EVERYTHING), tick);
    }

    fn harvest(&mut self, room_bytes: usize) -> u64 {
        let now = Tick(Duration::from_millis(self.now_ms));
        let parts = self.tail.harvest(0, now, room_bytes);
        let mut kept = 0;
        for outgoing in parts.flat_map(|decisions| decisions.kept) {
            std::hint::black_box(outgoing.request(&outgoing.origin.targets[0]));
            kept += outgoing.items;
        }
        kept
    }
}

/// Errors, slow traces and gold customers whole, of the rest one in ten.
fn sampling(after_root_ms: u64) -> Sampling {
    let floor =
        |name: &str, matches| Floor { name: name.to_owned(), matches, at_least_ppm: 1_000_000 };
    let gold = AttributeMatch {
        key: "customer.tier".to_owned(),
        operator: AttributeOperator::In,
        values: vec!["gold".to_owned()],
    };
    let policy = Policy {
        generation: 1,
        mode: Mode::Enforce,
        scope: Scope::default(),
        keep: vec![
            floor("errors", Match { status: Some(SpanStatus::Error), ..Match::default() }),
            floor("slow", Match { trace_duration_min_ns: Some(1_000_000_000), ..Match::default() }),
            floor("gold", Match { attributes: vec![gold], ..Match::default() }),
        ],
        limit: Vec::new(),
        default_ppm: Some(100_000),
        tag_decision: false,
        head: None,
        adaptive: None,
    };
    let mut sampling =
        Sampling { policies: [("shop/a".to_owned(), policy)].into(), ..Sampling::default() };
    sampling.tail.after_root_ms = after_root_ms;
    sampling.tail.decision_wait_ms = 10_000.max(after_root_ms);
    sampling
}

/// CPU-seconds of this thread: others on the machine do not count.
#[expect(clippy::disallowed_methods, reason = "the system knows how long a thread ran")]
fn stopwatch(work: impl FnOnce()) -> f64 {
    let ran = || {
        let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        schedule.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
    };
    let began = ran();
    work();
    ran() - began
}

#[expect(clippy::disallowed_methods, reason = "the system knows what is resident")]
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
