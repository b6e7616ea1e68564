//! Tail sampling: spans are held until their trace is decided, as a whole, by all policies at once.
//!
//! Sorted by trace to shards ([`sorter`]), held as bytes ([`frames`]), decided by bits that were
//! set when spans came ([`rules`]), cut out again where the trace is kept ([`harvest`]).
//! Each shard has a lock of its own; matching and cutting are done without it.

mod decided;
mod frames;
mod handover;
mod harvest;
mod hash;
mod ledger;
mod origin;
mod pace;
mod records;
mod rules;
mod shard;
mod sketch;
mod sorter;
mod trace;
mod trackers;

pub use handover::Leavers;
pub use harvest::{Decisions, Departure, Loss, Outgoing, PROBABILITY, RULE, Sheaf};
pub use ledger::{DEFAULT_RULE, PolicyCounts, RuleCounts};
pub use origin::{Origin, Target};
pub use rules::Rules;
pub use sorter::{Sorted, Sorter};

use crate::compiled::Compiled;
use crate::config::sampling::Sampling;
use crate::sender::{Sender, Source};
use crate::tick::Tick;
use decided::DroppedTraces;
use hash::TraceHasher;
use ledger::Ledger;
use pace::{Demand, Pace, Pacer};
use shard::Shard;
use sluice_wire::sampling::Threshold;
use sluice_wire::{Limits, Malformed};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use trackers::{Snapshot, Trackers};

/// Traces decided under one lock.
const DECIDED_AT_ONCE_MAX: usize = 4096;

/// The traces of one collector that are open.
#[derive(Debug)]
pub struct Tail {
    hasher: TraceHasher,
    shards: Vec<Mutex<Shard>>,
    current: RwLock<Current>,
    /// What rules that are no longer used have counted, by the names of policies.
    ended: Mutex<BTreeMap<String, PolicyCounts>>,
    bytes: AtomicU64,
    /// Collectors that share each rate.
    collectors: AtomicU32,
    trackers: Mutex<Trackers>,
    seconds: Mutex<Seconds>,
    /// What other collectors dropped of traces that are ours now.
    arrived: RwLock<DroppedTraces>,
    has_arrived: AtomicBool,
}

/// What happens once a second.
#[derive(Debug, Default)]
struct Seconds {
    pacer: Pacer,
    last_ms: u64,
}

#[derive(Clone, Debug)]
struct Current {
    version: u32,
    sampling: Arc<Sampling>,
    rules: Arc<Rules>,
    pace: Arc<Pace>,
    snapshot: Arc<Snapshot>,
}

/// The moment of a request: by the shell's monotonic clock, and in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub tick: Tick,
    pub wall_ns: u64,
}

/// A request for traces, and what is known of it.
#[derive(Clone, Copy)]
pub struct Request<'a, 'b> {
    pub compiled: &'a Compiled,
    /// Tells one config from the next.
    pub generation: u64,
    pub sender: &'a Sender,
    pub source: &'a Source,
    pub body: &'b [u8],
    pub limits: &'a Limits,
}

/// What was taken up of a request.
#[derive(Debug, Default)]
pub struct Taken {
    /// Spans that are held or have left, by origin. What becomes of them, [`Tail::harvest`] tells.
    pub held: Vec<(Arc<Origin>, u64)>,
    /// Spans that no pipeline wants.
    pub unwanted: u64,
    /// Spans that are lost at once.
    pub lost: Vec<(Arc<Origin>, Loss, u64)>,
}

/// How new traces are admitted, and what rates amount to.
struct Admission<'a> {
    threshold: Option<Threshold>,
    /// Traces are taken on trial: an error shows late.
    protects_errors: bool,
    pace: &'a Pace,
    /// `None`: nothing is known from others.
    arrived: Option<&'a DroppedTraces>,
}

/// What was decided of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub trace: u128,
    /// By the shell's monotonic clock.
    pub at_ms: u64,
    /// When it was decided.
    pub spans: u32,
    /// That came since.
    pub late_spans: u32,
    pub is_kept: bool,
    /// Before its time.
    pub is_early: bool,
    pub threshold: Threshold,
    /// `namespace/policy/rule` that set the probability; `None`: no policy said anything.
    pub rule: Option<Arc<str>>,
}

/// What is known of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    Open,
    Decided(Record),
    Nothing,
}

impl Tail {
    /// `seed` is secret and random: it keeps senders from choosing ids that fall together.
    ///
    /// # Errors
    /// Names the rule that cannot be compiled.
    pub fn new(sampling: &Sampling, shards: usize, seed: u64) -> Result<Self, String> {
        let rules = Arc::new(Rules::new(sampling)?);
        let hasher = TraceHasher::new(seed);
        let mut trackers = Trackers::default();
        trackers.track(rules.matcher.tracked(), 0);
        let shards = shards.max(1);
        let shard = |_| Mutex::new(Shard::new(hasher, Arc::clone(&rules), shards));
        Ok(Self {
            hasher,
            shards: (0..shards).map(shard).collect(),
            current: RwLock::new(Current {
                version: 0,
                sampling: Arc::new(sampling.clone()),
                rules,
                pace: Arc::default(),
                snapshot: Arc::default(),
            }),
            ended: Mutex::default(),
            bytes: AtomicU64::new(0),
            collectors: AtomicU32::new(1),
            trackers: Mutex::new(trackers),
            seconds: Mutex::default(),
            arrived: RwLock::new(DroppedTraces::new(sampling.tail.decisions_max as usize)),
            has_arrived: AtomicBool::new(false),
        })
    }

    /// For traces that begin from now on; those that are open are decided by the rules they began
    /// under.
    ///
    /// # Errors
    /// When the rules cannot be compiled; then the ones before stay in force.
    pub fn set_rules(&self, sampling: &Sampling) -> Result<(), String> {
        // Before the rules, as in `turn_second`.
        let mut seconds = self.seconds();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if *current.sampling == *sampling {
            return Ok(());
        }
        let rules = Arc::new(Rules::new(sampling)?);
        current.version += 1;
        for shard in &self.shards {
            lock(shard).set_rules(current.version, Arc::clone(&rules), self.shards.len());
        }
        self.remember(sampling);
        current.sampling = Arc::new(sampling.clone());
        current.pace = Arc::default();
        seconds.pacer = Pacer::default();
        self.trackers().track(rules.matcher.tracked(), seconds.last_ms);
        current.snapshot = Arc::new(self.trackers().snapshot(seconds.last_ms));
        current.rules = rules;
        Ok(())
    }

    /// Checks a request for traces, and finds what shards would get of it. Nothing is taken up.
    ///
    /// # Errors
    /// When the body is no request for traces.
    pub fn sort<'b>(
        &self,
        sorter: &mut Sorter,
        request: &Request<'_, 'b>,
        now: Now,
    ) -> Result<Sorted<'b>, Malformed> {
        sorter.sort(request, &self.current(), (self.hasher, self.shards.len()), now.wall_ns)
    }

    /// Takes up what was sorted. Of traces that are not open yet only those that reach `admitted` are
    /// taken, and where errors are protected those that soon show one; `None`: all, since another
    /// collector took them up already.
    pub fn take_up(&self, sorted: Sorted<'_>, admitted: Option<Threshold>, now: Tick) -> Taken {
        if !sorted.samples.is_empty() {
            self.trackers().add(&sorted.samples);
        }
        let arrived = self.has_arrived.load(Ordering::Acquire).then(|| self.arrived());
        let admission = Admission {
            threshold: admitted,
            protects_errors: sorted.protects_errors,
            pace: &sorted.pace,
            arrived: arrived.as_deref(),
        };
        let (version, now_ms) = (sorted.version, millis(now));
        for (shard, share) in self.shards.iter().zip(&sorted.shards) {
            if !share.spans.is_empty() {
                self.change(shard, |shard| {
                    shard.add(share, &sorted, version, now_ms, &admission);
                });
            }
        }
        let lost = sorted.lost.iter();
        let lost = lost.map(|(place, loss)| (Arc::clone(&sorted.origins[*place].0), *loss, 1));
        let lost = lost.collect();
        let held = sorted.origins.into_iter().filter(|(_, items)| 0 < *items).collect();
        Taken { held, unwanted: sorted.unwanted, lost }
    }

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Decides what is due in one shard, and takes what leaves it. Spans stay uncompressed while the
    /// shard holds at most `room_bytes`.
    pub fn harvest(&self, shard: usize, now: Tick, room_bytes: usize) -> Sheaf {
        if shard == 0 {
            self.turn_second(millis(now));
        }
        let pace = self.pace();
        let tick = |shard: &mut Shard| shard.tick(millis(now), &pace, DECIDED_AT_ONCE_MAX);
        while self.change(&self.shards[shard], tick) {}
        self.take(shard, room_bytes)
    }

    /// Decides every open trace of one shard before its time.
    pub fn harvest_all(&self, shard: usize, now: Tick) -> Sheaf {
        let pace = self.pace();
        self.change(&self.shards[shard], |shard| shard.decide_all(millis(now), &pace));
        self.take(shard, usize::MAX)
    }

    fn take(&self, shard: usize, room_bytes: usize) -> Sheaf {
        let sheaf = self.change(&self.shards[shard], |shard| {
            shard.set_room(room_bytes);
            shard.harvest.take(&mut shard.frames)
        });
        let mut totals = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = std::mem::take(&mut lock(&self.shards[shard]).harvest.ended);
        ended.iter().for_each(|(rules, ledger): &(_, Ledger)| ledger.add_to(rules, &mut totals));
        sheaf
    }

    /// What policies and their rules did so far, by the names of policies.
    pub fn counts(&self) -> BTreeMap<String, PolicyCounts> {
        // Held until all is counted: what ends meanwhile is in a shard or in here, never in neither.
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals = ended.clone();
        for shard in &self.shards {
            lock(shard).ledgers().for_each(|(rules, ledger)| ledger.add_to(rules, &mut totals));
        }
        drop(ended);
        let current = self.current();
        for (policy, rule) in
            current.rules.tracked_rules(|number| !current.snapshot.is_warm(number))
        {
            totals.entry(policy.to_owned()).or_default().warming.insert(rule.to_owned());
        }
        totals
    }

    pub fn open_traces(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).open_traces() as u64).sum()
    }

    /// All that is held, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Every change of a shard is seen in the count of bytes.
    fn change<T>(&self, shard: &Mutex<Shard>, change: impl FnOnce(&mut Shard) -> T) -> T {
        let mut shard = lock(shard);
        let before = shard.bytes() as u64;
        let result = change(&mut shard);
        let after = shard.bytes() as u64;
        if before <= after {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
        result
    }

    /// Spans that came after their trace was kept, so far.
    pub fn late_spans(&self) -> u64 {
        self.shards.iter().map(lock).map(|shard| shard.harvest.late_spans()).sum()
    }

    pub fn find(&self, trace: u128) -> Known {
        let shard = lock(&self.shards[self.shard_of(trace)]);
        match shard.records.find(trace) {
            _ if shard.is_open(trace) => Known::Open,
            Some(record) => Known::Decided(record.clone()),
            None => Known::Nothing,
        }
    }

    fn shard_of(&self, trace: u128) -> usize {
        sorter::shard_of(self.hasher, trace, self.shards.len())
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many collectors share the rates of policies.
    pub fn set_collectors(&self, collectors: u32) {
        self.collectors.store(collectors.max(1), Ordering::Relaxed);
    }

    /// Makes thresholds of rates, and tells rules what trackers saw.
    fn turn_second(&self, now_ms: u64) {
        let mut seconds = self.seconds();
        let passed_ms = now_ms.saturating_sub(seconds.last_ms);
        if passed_ms < 1000 {
            return;
        }
        seconds.last_ms = now_ms;
        let current = self.current();
        let mut demand = Demand::new(&current.rules);
        self.shards.iter().for_each(|shard| lock(shard).take_demand(&mut demand));
        let passed_s = Duration::from_millis(passed_ms).as_secs_f64();
        let collectors = self.collectors.load(Ordering::Relaxed);
        let pace = seconds.pacer.next(&current.rules, &demand, (passed_s, collectors), now_ms);
        drop(seconds);
        let snapshot = {
            let mut trackers = self.trackers();
            (!trackers.is_empty()).then(|| Arc::new(trackers.snapshot(now_ms)))
        };
        let mut locked = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if locked.version == current.version {
            locked.pace = Arc::new(pace);
            locked.snapshot = snapshot.unwrap_or_default();
        }
    }

    fn pace(&self) -> Arc<Pace> {
        self.current().pace
    }

    fn arrived(&self) -> RwLockReadGuard<'_, DroppedTraces> {
        self.arrived.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn trackers(&self) -> MutexGuard<'_, Trackers> {
        self.trackers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seconds(&self) -> MutexGuard<'_, Seconds> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(tick: Tick) -> u64 {
    u64::try_from(tick.0.as_millis()).unwrap_or(u64::MAX)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
