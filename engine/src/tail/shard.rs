//! Open traces of one shard: taken up, waited for, decided. Nothing else is shared between shards.

mod begin;
mod decide;
mod moving;
mod shrink;
mod table;
mod trial;

pub(super) use moving::{Leaving, Moving};

use super::Admission;
use super::decided::{Decided, DroppedTraces};
use super::frames::Frames;
use super::harvest::Harvest;
use super::hash::TraceHasher;
use super::ledger::Ledger;
use super::origin::Origin;
use super::pace::{Demand, Pace};
use super::records::Records;
use super::rules::{Case, Rules};
use super::sorter::{Share, Sorted, Sorting};
use super::trace::{Link, Trace};
use crate::config::sampling::OnBufferFull;
use crate::handover::Slots;
use sluice_wire::sampling::Threshold;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use table::Table;

/// Until the shell says how much room there is.
const RAW_BYTES_MAX: usize = 16 << 20;
/// Of the room, the part that uncompressed spans may take whatever else is held.
const RAW_SHARE: usize = 16;
/// Of `maxTraces`: with less room than this fewer new traces are taken, with `SampleByHash`.
const ROOM_PERCENT: u64 = 40;
/// What an open trace takes besides its spans and bits: its entry, table and due times.
const TRACE_BYTES: usize = size_of::<Trace>() + 72;

#[derive(Debug)]
pub(super) struct Shard {
    /// Rules that open traces began under, the oldest first; the last are in force.
    versions: VecDeque<Version>,
    places: HashMap<u128, u32, TraceHasher>,
    traces: Table<Option<Trace>>,
    free: Vec<u32>,
    turn: u32,
    links: Table<Link>,
    free_links: Vec<u32>,
    /// The second are of brief traces, which are most likely shed soon: spans of others would keep
    /// whole frames of theirs from being freed.
    pub(super) frames: [Frames; 2],
    decided: Decided,
    /// Dropped traces of which it is counted that they have an error.
    lost_errors: DroppedTraces,
    pub(super) harvest: Harvest,
    pub(super) records: Records,
    traces_max: usize,
    /// What new traces must reach while the buffer is nearly full, with `SampleByHash`.
    admitted: Threshold,
    matched: Vec<u32>,
    /// `None`: all traces are this collector's.
    slots: Option<Arc<Slots>>,
    /// Of traces that are due and held.
    waiting: Vec<Due>,
    /// Of those that may not be held any more.
    retried: VecDeque<Due>,
}

/// Rules, and the traces that began under them.
#[derive(Debug)]
struct Version {
    number: u32,
    rules: Arc<Rules>,
    by_wait: VecDeque<Due>,
    by_root: VecDeque<Due>,
    by_trial: VecDeque<Due>,
    open: usize,
    ledger: Ledger,
    demand: Demand,
}

/// When a trace is decided, unless it was before: then its place has another turn.
#[derive(Clone, Copy, Debug)]
struct Due {
    at_ms: u64,
    place: u32,
    turn: u32,
}

/// Why a trace is decided now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Due,
    /// A floor that keeps all matched: nothing can change that.
    Certain,
    /// Before its time: the buffer is full, the trace is too large, or the collector ends.
    Forced,
}

impl Shard {
    pub(super) fn new(hasher: TraceHasher, rules: Arc<Rules>, shards: usize) -> Self {
        let mut shard = Self {
            versions: VecDeque::new(),
            places: HashMap::with_hasher(hasher),
            traces: Table::default(),
            free: Vec::new(),
            turn: 0,
            links: Table::default(),
            free_links: Vec::new(),
            frames: Default::default(),
            decided: Decided::new(hasher, 0),
            lost_errors: DroppedTraces::default(),
            harvest: Harvest::default(),
            records: Records::new(hasher),
            traces_max: usize::MAX,
            admitted: Threshold::EVERYTHING,
            matched: Vec::new(),
            slots: None,
            waiting: Vec::new(),
            retried: VecDeque::new(),
        };
        shard.set_raw_bytes_max(RAW_BYTES_MAX);
        shard.set_rules(0, rules, shards);
        shard
    }

    /// In force for traces that begin from now on.
    pub(super) fn set_rules(&mut self, number: u32, rules: Arc<Rules>, shards: usize) {
        let tail = &rules.tail;
        let decisions_max = (tail.decisions_max as usize).div_ceil(shards);
        self.decided.set_traces_max(decisions_max);
        self.lost_errors.set_traces_max(decisions_max);
        self.traces_max = match tail.traces_max as usize {
            0 => usize::MAX,
            max => max.div_ceil(shards),
        };
        self.versions.push_back(Version {
            number,
            ledger: Ledger::new(&rules),
            demand: Demand::new(&rules),
            rules,
            by_wait: VecDeque::new(),
            by_root: VecDeque::new(),
            by_trial: VecDeque::new(),
            open: 0,
        });
    }

    /// Takes up what a request has for this shard.
    pub(super) fn add(
        &mut self,
        share: &Share<'_>,
        sorted: &Sorted<'_>,
        version: u32,
        now_ms: u64,
        admission: &Admission<'_>,
    ) {
        // One after the other these would each wait for memory.
        let places = share.spans.iter().map(|sorting| self.find(sorting.sight.trace));
        let places: Vec<Option<u32>> = places.collect();
        let bits = share.bits.chunks(sorted.words.max(1));
        for ((sorting, bits), place) in share.spans.iter().zip(bits).zip(places) {
            let origin = &sorted.origins[sorting.origin as usize].0;
            let trace = sorting.sight.trace;
            let is_still = |place: &u32| self.trace(*place).is_some_and(|own| own.id == trace);
            let place = match place.filter(is_still).or_else(|| self.find(trace)) {
                Some(place) => place,
                None => match self.begin(sorting, origin, (bits, version), (now_ms, admission)) {
                    Some(place) => place,
                    None => continue,
                },
            };
            self.see(place, sorting, origin, (bits, version), (now_ms, admission));
        }
    }

    fn see(
        &mut self,
        place: u32,
        sorting: &Sorting<'_>,
        origin: &Arc<Origin>,
        (bits, version): (&[u64], u32),
        (now_ms, admission): (u64, &Admission<'_>),
    ) {
        self.end_trial_by_error(place, (bits, version));
        self.seal(Frames::is_full);
        let Some(Some(trace)) = self.traces.get_mut(place) else { return };
        let before_ns = trace.facts().duration_ns;
        let had_root = trace.has_root;
        trace.see(&sorting.sight, origin, sorting.message.len());
        let is_news = trace.add(version, bits);
        let whose = (sorting.sight.trace, place);
        let frames = &mut self.frames[usize::from(trace.is_brief)];
        trace.tip = frames.push(whose, origin, sorting.message, trace.tip);
        let (number, turn) = (trace.version, trace.turn);
        let (got_root, bytes) = (trace.has_root && !had_root, u64::from(trace.bytes));
        let facts = trace.facts();
        let own = self.version_mut(number);
        let tail = &own.rules.tail;
        let is_too_large = tail.trace_bytes_max < bytes;
        let is_longer = before_ns < facts.duration_ns;
        let ask = is_news || (is_longer && own.rules.certain_duration_ns <= facts.duration_ns);
        if got_root && 0 < tail.after_root_ms {
            let at_ms = now_ms + tail.after_root_ms;
            own.by_root.push_back(Due { at_ms, place, turn });
        }
        if ask && !self.is_held(sorting.sight.trace) && self.is_certain(place) {
            self.decide(place, Moment::Certain, now_ms, admission.pace);
        } else if is_too_large {
            self.decide(place, Moment::Forced, now_ms, admission.pace);
        }
    }

    /// The spans of open frames get their runs.
    fn seal(&mut self, is_meant: impl Fn(&Frames) -> bool) {
        let Self { frames, traces, links, free_links, .. } = self;
        for own in frames.iter_mut().filter(|own| is_meant(own)) {
            own.seal(|place, run| {
                if let Some(Some(trace)) = traces.get_mut(place) {
                    let link = Link { run, before: trace.last_run };
                    trace.last_run = links.put(free_links, link);
                }
            });
        }
    }

    fn is_certain(&self, place: u32) -> bool {
        let Some(trace) = self.trace(place) else { return false };
        trace.versions().any(|version| {
            let rules = &self.version(version).rules;
            rules.is_certain(&Case::of(trace, rules, version))
        })
    }

    /// Decides what is due. At most `traces_max` of them, so that the lock is not held for long;
    /// true when more are left.
    pub(super) fn tick(&mut self, now_ms: u64, pace: &Pace, traces_max: usize) -> bool {
        self.steer();
        self.end_trials(now_ms);
        let mut decided = 0;
        while let Some(due) = self.retried.pop_front() {
            decided += usize::from(self.decide_turn(due, Moment::Due, now_ms, pace));
            if traces_max <= decided {
                return true;
            }
        }
        for at in 0..self.versions.len() {
            while let Some(due) = self.versions[at].take_due(now_ms) {
                decided += usize::from(self.decide_turn(due, Moment::Due, now_ms, pace));
                if traces_max <= decided {
                    return true;
                }
            }
        }
        self.shrink();
        while 1 < self.versions.len() && self.versions[0].open == 0 {
            if let Some(ended) = self.versions.pop_front() {
                self.harvest.ended.push((ended.rules, ended.ledger));
            }
        }
        false
    }

    /// The fuller the buffer, the fewer new traces are taken.
    fn steer(&mut self) {
        let on_full = self.versions.back().map(|own| own.rules.tail.on_full);
        let percent = self.places.len().saturating_mul(100) / self.traces_max.max(1);
        let room = 100_u64.saturating_sub(percent as u64).max(1);
        self.admitted = match on_full {
            Some(OnBufferFull::SampleByHash) => Threshold::from_ratio(room, ROOM_PERCENT),
            _ => Threshold::EVERYTHING,
        };
    }

    /// Decides every open trace.
    pub(super) fn decide_all(&mut self, now_ms: u64, pace: &Pace) {
        for place in 0..self.traces.len() as u32 {
            self.decide(place, Moment::Forced, now_ms, pace);
        }
    }

    fn find(&self, trace: u128) -> Option<u32> {
        self.places.get(&trace).copied()
    }

    fn trace(&self, place: u32) -> Option<&Trace> {
        self.traces.get(place)?.as_ref()
    }

    fn trace_mut(&mut self, place: u32) -> Option<&mut Trace> {
        self.traces.get_mut(place)?.as_mut()
    }

    /// `None`: it was decided before.
    fn trace_due(&self, due: Due) -> Option<&Trace> {
        self.trace(due.place).filter(|trace| trace.turn == due.turn)
    }

    fn decide_turn(&mut self, due: Due, moment: Moment, now_ms: u64, pace: &Pace) -> bool {
        let Some(trace) = self.trace_due(due) else { return false };
        if moment == Moment::Due && self.is_held(trace.id) {
            self.waiting.push(due);
            return false;
        }
        self.decide(due.place, moment, now_ms, pace);
        true
    }

    /// Takes a trace out of the table; its spans are still in their frames.
    fn remove(&mut self, place: u32) -> Option<Trace> {
        let trace = self.traces.get_mut(place)?.take()?;
        self.places.remove(&trace.id);
        self.free.push(place);
        self.version_mut(trace.version).open -= 1;
        Some(trace)
    }

    /// False when nothing can be decided early.
    fn make_room(&mut self, now_ms: u64, admission: &Admission<'_>) -> bool {
        let on_full = self.versions.back().map(|own| own.rules.tail.on_full);
        if on_full == Some(OnBufferFull::DropNew) {
            return false;
        }
        for at in 0..self.versions.len() {
            while let Some(due) = self.versions[at].by_wait.pop_front() {
                if self.decide_turn(due, Moment::Forced, now_ms, admission.pace) {
                    return true;
                }
            }
        }
        false
    }

    pub(super) fn is_open(&self, trace: u128) -> bool {
        self.places.contains_key(&trace)
    }

    pub(super) fn open_traces(&self) -> usize {
        self.places.len()
    }

    pub(super) fn ledgers(&self) -> impl Iterator<Item = (&Rules, &Ledger)> {
        let ended = self.harvest.ended.iter().map(|(rules, ledger)| (&**rules, ledger));
        ended.chain(self.versions.iter().map(|own| (&*own.rules, &own.ledger)))
    }

    /// Hands over what came since the last time, of the rules in force.
    pub(super) fn take_demand(&mut self, into: &mut Demand) {
        if let Some(own) = self.versions.back_mut() {
            into.take(&mut own.demand);
        }
    }

    /// Spans stay uncompressed while all that is held finds room in so many bytes: memory that is
    /// there need not be saved. A part of it is theirs in any case.
    pub(super) fn set_room(&mut self, bytes: usize) {
        let raw: usize = self.frames.iter().map(Frames::raw_bytes).sum();
        let others = self.bytes() - raw;
        self.set_raw_bytes_max(bytes.saturating_sub(others).max(bytes / RAW_SHARE));
    }

    fn set_raw_bytes_max(&mut self, bytes: usize) {
        let [lasting, brief] = &mut self.frames;
        let of_brief = if brief.is_empty() { 0 } else { bytes / 2 };
        brief.set_raw_bytes_max(of_brief);
        lasting.set_raw_bytes_max(bytes - of_brief);
    }

    /// All that is held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let traces = self.traces.len() * TRACE_BYTES + self.links.len() * size_of::<Link>();
        let decided = self.decided.bytes() + self.lost_errors.bytes() + self.records.bytes();
        self.frames.iter().map(Frames::bytes).sum::<usize>()
            + traces
            + decided
            + self.harvest.bytes()
    }

    /// Versions follow one another by number.
    fn version_mut(&mut self, number: u32) -> &mut Version {
        let first = self.versions.front().map_or(0, |own| own.number);
        let at = (number.saturating_sub(first) as usize).min(self.versions.len() - 1);
        &mut self.versions[at]
    }

    fn version(&self, number: u32) -> &Version {
        let first = self.versions.front().map_or(0, |own| own.number);
        &self.versions[(number.saturating_sub(first) as usize).min(self.versions.len() - 1)]
    }
}

impl Version {
    fn take_due(&mut self, now_ms: u64) -> Option<Due> {
        for queue in [&mut self.by_root, &mut self.by_wait] {
            if queue.front().is_some_and(|due| due.at_ms <= now_ms) {
                return queue.pop_front();
            }
        }
        None
    }
}
