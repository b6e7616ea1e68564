//! What runs: the compiled config, its queues and its books, swapped as one when a config is adopted.
//!
//! One read lock a submission makes routing, queueing and counting one step; a swap and a reading
//! of the books take the write lock, so neither ever sees half a submission.

mod forward;
mod handover;
mod memory;
mod remote_sampling;
mod tail;

pub(crate) use handover::{Arrival, keep_handing_over};
pub(crate) use memory::short_of_memory;
pub(crate) use tail::keep_deciding;

use crate::ack::AckToken;
use crate::intake::Refusal;
use crate::meter::Meter;
use crate::pump::{Pump, PumpState};
use crate::send::Ends;
use crate::settings::Role;
use bytes::Bytes;
use forward::{ForwardStage, Gateways};
use handover::HandoverStage;
use remote_sampling::RemoteSamplingStage;
use sluice_engine::books::{
    Books, DestinationBook, Dropped, NO_PIPELINE, PipelineBook, QueueKey, ReceiverBook, Refused,
    SampledOut,
};
use sluice_engine::compiled::{Compiled, destinations};
use sluice_engine::config::sampling::Sampling;
use sluice_engine::config::{Config, Pipeline, StartAt};
use sluice_engine::forward::GATEWAYS;
use sluice_engine::lane::{Lane, Part};
use sluice_engine::limiter::{Level, Verdict};
use sluice_engine::queue::Chunk;
use sluice_engine::sender::Pod;
use sluice_engine::tick::Tick;
use sluice_wire::{Limits, Malformed, Signal, Survey};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;
use tail::TailStage;
use tokio::sync::watch;

pub(crate) struct Flow {
    state: RwLock<State>,
    receivers: [Mutex<ReceiverBook>; 3],
    level: Mutex<Level>,
    turns: [AtomicU64; 3],
    pub(crate) meter: Arc<Meter>,
    config: watch::Sender<Arc<Config>>,
    ends: Ends,
    started: Instant,
    tail: TailStage,
    forward: ForwardStage,
    /// In a gateway.
    handover: Option<HandoverStage>,
    remote_sampling: RemoteSamplingStage,
}

struct State {
    open: bool,
    /// Counts adopted configs from 1.
    generation: u64,
    compiled: Compiled,
    /// As [`Compiled::pipelines`].
    ways: Vec<[Way; 3]>,
    books: PipelineBooks,
    pumps: BTreeMap<QueueKey, Arc<Pump>>,
    /// In an agent whose traces go to gateways, once it knows any.
    gateways: Option<Gateways>,
    /// No longer in the config; what they hold is still sent.
    draining: Vec<Arc<Pump>>,
    /// What pumps that are gone went through.
    retired: BTreeMap<QueueKey, DestinationBook>,
}

type PipelineBooks = BTreeMap<(String, Signal), Arc<Mutex<PipelineBook>>>;

/// The queues of one signal of one pipeline.
struct Way {
    book: Arc<Mutex<PipelineBook>>,
    pumps: Vec<Arc<Pump>>,
}

/// What one way takes of a submission.
struct Load<'a> {
    way: &'a Way,
    part: Part,
    chunks: Vec<(Bytes, u64)>,
    cost: u64,
}

impl Flow {
    /// Also returns the pumps to run.
    ///
    /// # Errors
    /// When the config cannot be run; the text says why.
    pub(crate) fn new(
        config: Config,
        ends: Ends,
        (role, shards): (&Role, usize),
    ) -> Result<(Arc<Self>, Vec<Arc<Pump>>), String> {
        let meter = Meter::new(config.limiter.hard_bytes);
        let (config_sender, _) = watch::channel(Arc::new(config.clone()));
        let (trust, name) = match role {
            Role::Agent(trust) => (*trust, None),
            Role::Gateway { trust, name, .. } => (*trust, Some(name.as_str())),
        };
        let flow = Self {
            state: RwLock::new(State {
                open: true,
                generation: 0,
                compiled: Compiled::new(Config { pipelines: BTreeMap::new(), ..config.clone() })?,
                ways: Vec::new(),
                books: BTreeMap::new(),
                pumps: BTreeMap::new(),
                gateways: None,
                draining: Vec::new(),
                retired: BTreeMap::new(),
            }),
            receivers: Default::default(),
            level: Mutex::default(),
            turns: Default::default(),
            meter,
            config: config_sender,
            ends,
            started: Instant::now(),
            tail: TailStage::new(shards),
            forward: ForwardStage::new(trust),
            handover: name.map(HandoverStage::new),
            remote_sampling: RemoteSamplingStage::default(),
        };
        let pumps = flow.adopt(config)?;
        Ok((Arc::new(flow), pumps))
    }

    /// Runs another config from now on. Queues whose key stays keep what they hold; the others
    /// drain. Returns the pumps to run.
    ///
    /// # Errors
    /// When the config cannot be run; the one before runs on.
    pub(crate) fn adopt(&self, mut config: Config) -> Result<Vec<Arc<Pump>>, String> {
        if self.handover.is_some() {
            config.limiter = config.gateway.limiter.clone();
        }
        let compiled = Compiled::new(config.clone())?;
        let forwards = self.forwards(&config);
        let elsewhere = Sampling::default();
        self.tail.adopt(if forwards { &elsewhere } else { &config.sampling })?;
        if let (Some(stage), Some(tail)) = (&self.handover, self.tail.get()) {
            stage.show(&tail);
        }
        let mut outlets = compiled.outlets();
        let own_name = self.handover.as_ref().map(|stage| stage.name.as_str());
        let has_gateways = forwards || own_name.is_some();
        if has_gateways {
            outlets.extend(self.forward.outlets(&compiled, own_name));
        }
        let mut locked = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *locked;
        let before = std::mem::take(&mut state.pumps);
        for (key, pump) in before {
            if outlets.contains_key(&key) {
                state.pumps.insert(key, pump);
            } else {
                pump.close();
                state.draining.push(pump);
            }
        }
        let mut added = Vec::new();
        for (key, outlet) in outlets {
            if let Some(pump) = state.pumps.get(&key) {
                pump.change(&outlet, &self.ends);
                continue;
            }
            let pump = Pump::new(key.clone(), &outlet, &self.ends, Arc::clone(&self.meter));
            let pump = Arc::new(pump);
            added.push(Arc::clone(&pump));
            state.pumps.insert(key, pump);
        }
        state.ways = ways(&compiled, &state.pumps, &mut state.books);
        let key = (GATEWAYS.to_owned(), Signal::Traces);
        let book = || Arc::clone(state.books.entry(key).or_default());
        state.gateways =
            if has_gateways { self.forward.gateways(&state.pumps, book) } else { None };
        state.compiled = compiled;
        state.generation += 1;
        self.meter.set_hard_bytes(config.limiter.hard_bytes);
        drop(locked);
        let is_asked = self.handover.is_none() && config.receivers.jaeger_remote_sampling.is_some();
        self.remote_sampling.set_on(is_asked);
        self.config.send_replace(Arc::new(config));
        Ok(added)
    }

    /// See [`crate::intake::Intake::submit`].
    pub(crate) fn submit(
        &self,
        lane: &mut Lane,
        signal: Signal,
        body: Bytes,
        (ack, arrival): (Option<AckToken>, Option<Arrival>),
    ) -> Result<(), Refusal> {
        let threshold = match self.verdict(signal) {
            Verdict::Take => None,
            Verdict::Thin { threshold } => Some(threshold),
            Verdict::Refuse => {
                let items = u64::from(self.survey(signal, &body)?.items);
                return Err(self.refuse(signal, items, short_of_memory()));
            }
        };
        let body = self.marked(lane.sender(), signal, body)?;
        let state = self.read();
        let forwards = signal == Signal::Traces && self.forwards(&state.compiled.config);
        if signal == Signal::Traces
            && !forwards
            && let Some(tail) = self.tail.in_force()
        {
            return self.submit_to_tail(&state, (lane, &tail), &body, (threshold, arrival));
        }
        let survey = self.survey(signal, &body)?;
        let items = u64::from(survey.items);
        if !state.open {
            return Err(self.refuse(signal, items, closing()));
        }
        if forwards {
            let moment = (self.forward.next_id(), self.now());
            state
                .forward(lane, (&body, &survey), threshold, moment)
                .map_err(|refusal| self.refuse(signal, items, refusal))?;
            self.accept(signal, items);
            return Ok(());
        }
        let parts =
            lane.parts(&state.compiled, state.generation, signal, (&body, &survey), threshold);
        state
            .commit(signal, parts.parts, ack.as_ref(), self.now())
            .map_err(|refusal| self.refuse(signal, items, refusal))?;
        if 0 < parts.unwanted {
            state.count_unwanted(signal, parts.unwanted);
        }
        self.accept(signal, items);
        Ok(())
    }

    fn survey(&self, signal: Signal, body: &[u8]) -> Result<Survey, Refusal> {
        let survey = sluice_wire::survey(signal, body, &Limits::default());
        survey.map_err(|problem| self.refuse_malformed(signal, problem))
    }

    fn refuse_malformed(&self, signal: Signal, problem: Malformed) -> Refusal {
        self.refuse(signal, 1, Refusal::for_good(Refused::Malformed, problem.as_str()))
    }

    /// Whether traces go to gateways.
    pub(crate) fn forwards(&self, config: &Config) -> bool {
        self.handover.is_none() && config.gateway.needed
    }

    fn accept(&self, signal: Signal, items: u64) {
        let mut book = lock(&self.receivers[signal as usize]);
        book.offered += items;
        book.accepted += items;
    }

    /// Counts what was refused before or in [`Flow::submit`].
    pub(crate) fn refuse(&self, signal: Signal, items: u64, refusal: Refusal) -> Refusal {
        let mut book = lock(&self.receivers[signal as usize]);
        book.offered += items;
        *book.refused.entry(refusal.reason).or_default() += items;
        refusal
    }

    /// All books at one moment.
    pub(crate) fn books(&self) -> Books {
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let receivers = Signal::ALL.map(|signal| {
            let book = lock(&self.receivers[signal as usize]).clone();
            (signal, book)
        });
        let pipelines = state.books.iter().map(|(key, book)| (key.clone(), lock(book).clone()));
        let mut destinations = state.retired.clone();
        for pump in state.pumps.values().chain(&state.draining) {
            destinations.entry(pump.key.clone()).or_default().merge(&pump.book());
        }
        Books { receivers: receivers.into(), pipelines: pipelines.collect(), destinations }
    }

    /// How each queue fares.
    pub(crate) fn pump_states(&self) -> BTreeMap<QueueKey, PumpState> {
        let state = self.read();
        state.pumps.iter().map(|(key, pump)| (key.clone(), pump.state())).collect()
    }

    /// Takes nothing more; open traces are decided, and every queue sends what it holds.
    pub(crate) fn close(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).open = false;
        self.decide_all();
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.pumps.values().for_each(|pump| pump.close());
    }

    /// Whether a queue is no longer in the config.
    pub(crate) fn is_draining(&self, pump: &Pump) -> bool {
        self.read().draining.iter().any(|own| std::ptr::eq(&**own, pump))
    }

    /// A pump has ended: its book is kept.
    pub(crate) fn retire(&self, ended: &Arc<Pump>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let draining = state.draining.len();
        state.draining.retain(|pump| !Arc::ptr_eq(pump, ended));
        if state.draining.len() < draining {
            state.retired.entry(ended.key.clone()).or_default().merge(&ended.book());
        }
    }

    pub(crate) fn config(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    pub(crate) fn start_of_logs(&self, pod: &Pod, container: &str) -> Option<StartAt> {
        self.read().compiled.start_of_logs(pod, container)
    }

    pub(crate) fn now(&self) -> Tick {
        Tick(self.started.elapsed())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Queues every part, or none.
    fn commit(
        &self,
        signal: Signal,
        parts: Vec<Part>,
        ack: Option<&AckToken>,
        now: Tick,
    ) -> Result<(), Refusal> {
        let bytes_max = self.compiled.config.batch.bytes_max;
        let loads: Vec<Load<'_>> = parts
            .into_iter()
            .map(|part| {
                let way = &self.ways[part.pipeline][signal as usize];
                Load::new(way, part, signal, bytes_max)
            })
            .collect();
        reserve(&loads)?;
        for load in loads {
            load.push(ack, now);
        }
        Ok(())
    }

    fn count_unwanted(&self, signal: Signal, items: u64) {
        let Some(book) = self.books.get(&(NO_PIPELINE.to_owned(), signal)) else { return };
        let mut book = lock(book);
        book.accepted += items;
        book.copies += items;
        *book.dropped.entry(Dropped::NoPipeline).or_default() += items;
    }
}

impl<'a> Load<'a> {
    fn new(way: &'a Way, part: Part, signal: Signal, bytes_max: u64) -> Self {
        let items = part.accepted - part.sampled_out;
        let chunks = cut(signal, part.body.clone(), items, bytes_max);
        let cost = chunks.iter().map(|(body, items)| chunk(body, *items, None).cost()).sum();
        Self { way, part, chunks, cost }
    }

    fn push(self, ack: Option<&AckToken>, now: Tick) {
        let fan_out = self.way.pumps.len() as u64;
        let queued: u64 = self.chunks.iter().map(|(_, items)| items).sum();
        {
            let mut book = lock(&self.way.book);
            book.accepted += self.part.accepted;
            book.copies += self.part.accepted * fan_out;
            book.queued += queued * fan_out;
            if 0 < self.part.sampled_out {
                *book.sampled_out.entry(SampledOut::MemoryLimiter).or_default() +=
                    self.part.sampled_out * fan_out;
            }
        }
        for pump in &self.way.pumps {
            let chunks = self.chunks.iter().map(|(body, items)| chunk(body, *items, ack));
            pump.push(chunks, now);
        }
    }
}

fn closing() -> Refusal {
    Refusal::for_now(Refused::ShuttingDown, "the collector is shutting down")
}

/// Requests of at most `bytes_max`, each with its items.
fn cut(signal: Signal, body: Bytes, items: u64, bytes_max: u64) -> Vec<(Bytes, u64)> {
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    if body.is_empty() || items == 0 {
        return Vec::new();
    }
    if body.len() <= bytes_max {
        return vec![(body, items)];
    }
    let pieces = sluice_wire::split(signal, &body, bytes_max);
    pieces.into_iter().map(|(body, items)| (Bytes::from(body), items.into())).collect()
}

fn chunk(body: &Bytes, items: u64, ack: Option<&AckToken>) -> Chunk<AckToken> {
    Chunk { body: body.clone(), items, ack: ack.cloned() }
}

/// Room in every queue that blocks, or in none.
fn reserve(loads: &[Load<'_>]) -> Result<(), Refusal> {
    let wanted: Vec<(&Load<'_>, &Arc<Pump>)> =
        loads.iter().flat_map(|load| load.way.pumps.iter().map(move |pump| (load, pump))).collect();
    for (at, (load, pump)) in wanted.iter().enumerate() {
        if pump.reserve(load.cost) {
            continue;
        }
        wanted[..at].iter().for_each(|(load, pump)| pump.cancel(load.cost));
        lock(&load.way.book).refused += load.part.accepted;
        return Err(Refusal::for_now(Refused::QueueFull, "a destination's queue is full"));
    }
    Ok(())
}

/// Books outlive their pipelines: counters never go back.
fn ways(
    compiled: &Compiled,
    pumps: &BTreeMap<QueueKey, Arc<Pump>>,
    books: &mut PipelineBooks,
) -> Vec<[Way; 3]> {
    for signal in Signal::ALL {
        books.entry((NO_PIPELINE.to_owned(), signal)).or_default();
    }
    let of_pipeline = |(name, pipeline): &(String, Pipeline)| {
        Signal::ALL.map(|signal| {
            let keys = destinations(pipeline, signal).iter().map(|destination| QueueKey {
                pipeline: name.clone(),
                destination: destination.clone(),
                signal,
            });
            let pumps = keys.filter_map(|key| pumps.get(&key).cloned()).collect();
            Way { book: Arc::clone(books.entry((name.clone(), signal)).or_default()), pumps }
        })
    };
    compiled.pipelines.iter().map(of_pipeline).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
