//! All containers of the node: turns, submissions, checkpoints. One pass at a time, on a thread that may block.

use super::checkpoints::Store;
use super::container::{Container, Turn};
use super::scan::{ContainerKey, Inode};
use super::tail::Read;
use super::{Counts, FindPod, Settings};
use crate::ack::{AckToken, Acked, ack};
use crate::intake::Refusal;
use bytes::Bytes;
use sluice_engine::books::Refused;
use sluice_engine::compiled::Compiled;
use sluice_engine::config::Config;
use sluice_engine::lane::Lane;
use sluice_engine::pod_logs::checkpoint::{Checkpoint, Checkpoints, FORMAT};
use sluice_engine::pod_logs::turns::Turns;
use sluice_engine::pod_logs::window::WindowMax;
use sluice_engine::tick::Tick;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Of one read, hence of one submission.
const READ_BYTES_MAX: usize = 256 * 1024;
/// What a container may read before it is the next one's turn.
const TURN_BYTES: u64 = 128 * 1024;
/// Of one pass; then what has landed is looked at.
const PASS_BYTES: u64 = 8 * 1024 * 1024;
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// While a file waits because its window is full of what was delivered but not saved.
const SAVE_INTERVAL_MIN: Duration = Duration::from_millis(50);

pub(super) type Submit = dyn FnMut(&mut Lane, Bytes, AckToken) -> Result<(), Refusal> + Send;

pub(super) struct Tailer {
    pub(super) settings: Settings,
    pub(super) find_pod: Arc<FindPod>,
    pub(super) counts: Arc<Counts>,
    /// The config that is followed.
    pub(super) compiled: Option<Arc<Compiled>>,
    /// No scan was made for it yet.
    pub(super) is_fresh: bool,
    /// No scan was made at all.
    pub(super) is_first: bool,
    pub(super) window_max: WindowMax,
    pub(super) containers: BTreeMap<Arc<ContainerKey>, Container>,
    /// Of files that are not open.
    pub(super) remembered: HashMap<Inode, Remembered>,
    pub(super) settled: BTreeMap<String, i64>,
    /// Something changed that the saved checkpoints do not say.
    pub(super) dirty: bool,
    pub(super) scan_failing: bool,
    submit: Box<Submit>,
    store: Store,
    turns: Turns<Arc<ContainerKey>>,
    buffer: Vec<u8>,
    reading: bool,
    scan_due: Tick,
    saved_at: Option<Tick>,
    save_failing: bool,
    /// Something landed since the last pass: there may be room again.
    landed: bool,
    /// Counts refusals, to keep their order.
    refusals: u64,
}

/// What the intake had no room for in this pass; the like of it is not read in vain.
#[derive(Debug, Default)]
struct Full {
    everything: bool,
    readers: Vec<Vec<usize>>,
}

#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) checkpoint: Checkpoint,
    /// Read to its end: not opened again unless its size changes.
    pub(super) finished: bool,
}

/// A submission under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) place: Place,
    pub(super) receipt: oneshot::Receiver<Acked>,
}

/// Which part of which file.
#[derive(Debug)]
pub(super) struct Place {
    container: Arc<ContainerKey>,
    inode: Inode,
    ticket: u64,
}

#[derive(Debug)]
pub(super) struct Passed {
    pub(super) departed: Vec<Flight>,
    /// When the next pass is due, if nothing happens before.
    pub(super) wake: Tick,
}

impl Tailer {
    pub(super) fn new(
        settings: Settings,
        store: Store,
        find_pod: Arc<FindPod>,
        submit: Box<Submit>,
        counts: Arc<Counts>,
    ) -> Self {
        let loaded = store.load().unwrap_or_else(|error| {
            tracing::error!(%error, "the checkpoints of pod logs cannot be read; files start over");
            None
        });
        let Checkpoints { settled, files, .. } = loaded.unwrap_or_default();
        let remembered = files.into_iter().map(|checkpoint| {
            let identity = checkpoint.identity;
            let inode = Inode { device: identity.device, number: identity.inode };
            (inode, Remembered { checkpoint, finished: false })
        });
        Self {
            settings,
            find_pod,
            counts,
            compiled: None,
            is_fresh: true,
            is_first: true,
            window_max: WindowMax { items: 1, bytes: 1 },
            containers: BTreeMap::new(),
            remembered: remembered.collect(),
            settled,
            dirty: false,
            scan_failing: false,
            submit,
            store,
            turns: Turns::new(TURN_BYTES),
            buffer: vec![0; READ_BYTES_MAX],
            reading: true,
            scan_due: Tick::default(),
            saved_at: None,
            save_failing: false,
            landed: false,
            refusals: 0,
        }
    }

    /// Follows what this config wants from now on.
    pub(super) fn adopt(&mut self, config: &Config) {
        match Compiled::new(config.clone()) {
            Ok(compiled) => self.compiled = Some(Arc::new(compiled)),
            Err(error) => tracing::error!(%error, "pod logs keep the config before"),
        }
        let (items, bytes) = (config.batch.items.max(1), config.batch.bytes_max.max(1));
        self.window_max = WindowMax { items, bytes };
        let tails = self.containers.values_mut().flat_map(|container| &mut container.tails);
        tails.for_each(|tail| tail.window.resize(WindowMax { items, bytes }));
        self.scan_due = Tick::default();
        self.is_fresh = true;
    }

    /// Reads nothing more; what is under way may still land.
    pub(super) fn stop(&mut self) {
        self.reading = false;
    }

    pub(super) fn land(&mut self, place: Place, outcome: Acked) {
        if let Some(container) = self.containers.get_mut(&place.container) {
            container.landed(place.inode, place.ticket, outcome == Acked::Lost);
            self.dirty = true;
            self.landed = true;
        }
    }

    /// Looks for files, saves how far they were delivered, and reads on, each when due.
    pub(super) fn pass(&mut self, now: Tick) -> Passed {
        if self.reading && self.scan_due <= now {
            self.scan_due = now.plus(SCAN_INTERVAL);
            self.scan(now);
        }
        if self.save_due().is_some_and(|due| due <= now) {
            self.save(now);
        }
        let mut departed = Vec::new();
        if self.reading {
            self.queue_due(now);
            self.read(now, &mut departed);
        }
        Passed { departed, wake: self.wake(now) }
    }

    /// Also forgets the files that are done with.
    pub(super) fn save(&mut self, now: Tick) {
        match self.store.save(&self.checkpoints()) {
            Ok(()) => {
                self.dirty = false;
                self.save_failing = false;
            }
            Err(error) => {
                add(&self.counts.failed_saves, 1);
                if !std::mem::replace(&mut self.save_failing, true) {
                    tracing::error!(%error, "the checkpoints of pod logs cannot be written");
                }
            }
        }
        self.saved_at = Some(now);
        for container in self.containers.values_mut() {
            // Also when it failed: a crash may then repeat more, but logs do not stop.
            container.saved(now);
        }
        self.retire();
    }

    fn save_due(&self) -> Option<Tick> {
        let waits = || self.containers.values().any(Container::waits_for_save);
        let pause = || if waits() { SAVE_INTERVAL_MIN } else { SAVE_INTERVAL };
        let due = || self.saved_at.map_or(Tick::default(), |saved| saved.plus(pause()));
        self.dirty.then(due)
    }

    fn wake(&self, now: Tick) -> Tick {
        let far = now.plus(SCAN_INTERVAL);
        let mut wake = self.save_due().unwrap_or(far);
        if self.reading {
            let wanted = self.containers.values().filter(|container| container.is_wanted());
            let first = wanted.filter_map(|container| container.due).min().unwrap_or(far);
            wake = wake.min(self.scan_due).min(first);
        }
        wake.min(far)
    }

    /// Those that were refused stand first, in the order in which they were: else whoever asks at
    /// the moment when there is room would starve the others.
    fn queue_due(&mut self, now: Tick) {
        let landed = std::mem::take(&mut self.landed);
        let mut due: Vec<_> = self
            .containers
            .values_mut()
            .filter(|container| container.is_wanted() && !container.queued)
            .filter(|container| {
                container.due.is_some_and(|due| due <= now)
                    || (landed && container.refused.is_some())
            })
            .collect();
        due.sort_by_key(|container| container.refused.unwrap_or(u64::MAX));
        for container in due {
            container.queued = true;
            self.turns.join(Arc::clone(&container.key));
        }
    }

    fn read(&mut self, now: Tick, departed: &mut Vec<Flight>) {
        let now_unix_nano = unix_nano();
        let mut bytes_left = PASS_BYTES;
        let mut full = Full::default();
        while 0 < bytes_left
            && let Some((key, allowance)) = self.turns.take()
        {
            match self.take_turn(&key, allowance, (now, now_unix_nano), &mut full, departed) {
                Some(spent) => {
                    self.turns.again(key, allowance.saturating_sub(spent));
                    bytes_left = bytes_left.saturating_sub(spent);
                }
                None => {
                    if let Some(container) = self.containers.get_mut(&key) {
                        container.queued = false;
                    }
                }
            }
        }
    }

    /// Returns the bytes that were read; `None` when there is nothing more for now.
    fn take_turn(
        &mut self,
        key: &Arc<ContainerKey>,
        allowance: u64,
        (now, now_unix_nano): (Tick, u64),
        full: &mut Full,
        departed: &mut Vec<Flight>,
    ) -> Option<u64> {
        let container = self.containers.get_mut(key).filter(|container| container.is_wanted())?;
        if full.is_for(&container.readers) {
            container.postpone(self.refusals, now);
            self.refusals += 1;
            return None;
        }
        let length = usize::try_from(allowance).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
        let turn = container.turn(&mut self.buffer[..length], now, now_unix_nano);
        let Turn { tail, read } = turn.unwrap_or_else(|error| {
            tracing::warn!(%error, container = %key, "a log file cannot be read");
            add(&self.counts.failed_reads, 1);
            None
        })?;
        self.dirty = true;
        let Some(parcel) = &read.parcel else {
            self.counts.took(&read);
            return Some(read.bytes);
        };
        let (token, receipt) = ack();
        let outcome = (self.submit)(&mut container.lane, parcel.body.clone(), token);
        if let Err(Refusal { retry_after: Some(_), reason, .. }) = &outcome {
            add(&self.counts.refused_batches, 1);
            full.add(*reason, &container.readers);
            container.refuse(tail, parcel, self.refusals, now);
            self.refusals += 1;
            return None;
        }
        self.counts.took(&read);
        let (inode, ticket) = container.taken(tail, parcel);
        let place = Place { container: Arc::clone(key), inode, ticket };
        match outcome {
            Ok(()) => departed.push(Flight { place, receipt }),
            Err(error) => {
                tracing::error!(%error, container = %key, "records of a log file were refused for good");
                add(&self.counts.rejected_records, u64::from(parcel.load.items));
                container.landed(inode, ticket, false);
            }
        }
        Some(read.bytes)
    }

    fn checkpoints(&self) -> Checkpoints {
        let open = self
            .containers
            .iter()
            .flat_map(|(key, container)| container.tails.iter().map(|tail| tail.checkpoint(key)));
        let closed = self.remembered.values().map(|remembered| remembered.checkpoint.clone());
        let files = open.chain(closed).collect();
        Checkpoints { format: FORMAT, settled: self.settled.clone(), files }
    }

    fn retire(&mut self) {
        for (key, container) in &mut self.containers {
            for tail in container.retire() {
                let checkpoint = tail.checkpoint(key);
                let finished = tail.finished;
                self.remembered.insert(tail.inode, Remembered { checkpoint, finished });
            }
        }
    }
}

impl Full {
    fn add(&mut self, reason: Refused, readers: &[usize]) {
        match reason {
            // One pipeline's; its neighbours may have room.
            Refused::QueueFull => self.readers.push(readers.to_vec()),
            _ => self.everything = true,
        }
    }

    fn is_for(&self, readers: &[usize]) -> bool {
        self.everything || self.readers.iter().any(|full| full == readers)
    }
}

fn unix_nano() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counts {
    fn took(&self, read: &Read) {
        add(&self.read_bytes, read.bytes);
        add(&self.cut_bytes, read.bytes_cut);
        add(&self.truncated_files, u64::from(read.starts_over));
        let Some(parcel) = &read.parcel else {
            return;
        };
        add(&self.records, u64::from(parcel.load.items));
        add(&self.cut_records, parcel.tally.cut);
        add(&self.lossy_records, parcel.tally.lossy);
        add(&self.foreign_records, parcel.tally.foreign);
    }
}
