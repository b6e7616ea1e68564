//! The log files of one container, read in order: a renamed file to its end before the one that took its name.

use super::scan::{ContainerKey, Inode, LogFile};
use super::tail::{Parcel, Part, Read, Tail};
use sluice_engine::compiled::Compiled;
use sluice_engine::lane::Lane;
use sluice_engine::pod_logs::path::PodFolder;
use sluice_engine::pod_logs::selection::{self, Known};
use sluice_engine::sender::{Pod, Sender, Source};
use sluice_engine::tick::Tick;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A file that was written to is looked at this often, and at each scan after [`HOT`] without a byte.
const POLL: Duration = Duration::from_millis(200);
const HOT: Duration = Duration::from_secs(2);
/// After a rotation the runtime may still write to the renamed file for a moment.
const ROTATION_GRACE: Duration = Duration::from_secs(5);
/// How long a pod's first lines wait for the pod to become known; then its folder's name must do.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Container {
    pub(super) key: Arc<ContainerKey>,
    /// It stands in the queue for a turn.
    pub(super) queued: bool,
    /// It came up while the agent was looking: its files are read whole.
    pub(super) is_new: bool,
    /// From old to new.
    pub(super) tails: Vec<Tail>,
    /// When to look again; `None`: once something lands or is saved, or a scan finds more.
    pub(super) due: Option<Tick>,
    pub(super) lane: Lane,
    /// Pipelines that read it, as in [`Compiled::pipelines`]; empty: none.
    pub(super) readers: Vec<usize>,
    /// Whose it is; `None` while that may still become known.
    known: Option<Known>,
    first_seen: Tick,
    /// A window is full.
    waiting: bool,
    /// Its place among those that the intake had no room for.
    pub(super) refused: Option<u64>,
    compiled: Option<Arc<Compiled>>,
    /// Last time that a read brought bytes.
    read_at: Tick,
    retry: Duration,
}

/// What one turn brought, from the tail of this index.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) tail: usize,
    pub(super) read: Read,
}

impl Container {
    pub(super) fn new(key: Arc<ContainerKey>, is_new: bool, now: Tick) -> Self {
        Self {
            queued: false,
            is_new,
            first_seen: now,
            waiting: false,
            refused: None,
            tails: Vec::new(),
            due: Some(now),
            lane: Lane::new(Sender::Unknown, Source::PodLogs { container: key.container.clone() }),
            readers: Vec::new(),
            known: None,
            compiled: None,
            read_at: now,
            retry: RETRY_MIN,
            key,
        }
    }

    /// Whether its pod may still become known.
    pub(super) fn is_held(&self) -> bool {
        self.known.is_none()
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Decides anew who reads it, if the config or what is known of its pod changed.
    pub(super) fn identify(
        &mut self,
        pod: Option<Arc<Pod>>,
        node: &str,
        compiled: &Arc<Compiled>,
        now: Tick,
    ) {
        let known = match (pod, &self.known) {
            (Some(pod), _) => Some(Known::Pod(only(&pod, &self.key.container))),
            // It was deleted since; what it was still holds.
            (None, Some(known)) => Some(known.clone()),
            (None, None) if now.since(self.first_seen) < HOLD_MAX => None,
            (None, None) => Some(Known::Name(named(&self.key.folder, node))),
        };
        let recompiled = self.compiled.as_ref().is_none_or(|before| !Arc::ptr_eq(before, compiled));
        if known == self.known && !recompiled {
            return;
        }
        if let Some(known) = &known {
            let source = Source::PodLogs { container: self.key.container.clone() };
            self.readers = selection::readers(compiled, known, &self.key.container);
            if self.known.as_ref() != Some(known) {
                self.lane = Lane::new(Sender::Pod(known.pod().clone()), source);
            }
        }
        self.known = known;
        self.compiled = Some(Arc::clone(compiled));
    }

    /// Takes new names from a scan; says which files of it are not open.
    pub(super) fn rename(&mut self, logs: &[LogFile], now: Tick) -> Vec<LogFile> {
        let listed = |tail: &Tail| logs.iter().any(|log| log.inode == tail.inode);
        if self.due.is_none() && !self.tails.iter().all(|tail| tail.finished || listed(tail)) {
            self.due = Some(now);
        }
        let mut strangers = Vec::new();
        for log in logs {
            match self.tails.iter_mut().find(|tail| tail.inode == log.inode) {
                Some(tail) => {
                    tail.name = log.name;
                    if tail.differs(log.size) && self.due.is_none() && 0 < tail.window.room() {
                        self.due = Some(now);
                    }
                }
                None => strangers.push(*log),
            }
        }
        self.tails.sort_by_key(|tail| tail.name);
        strangers
    }

    pub(super) fn follow(&mut self, tail: Tail, now: Tick) {
        self.tails.push(tail);
        self.tails.sort_by_key(|tail| tail.name);
        self.due = Some(now);
    }

    /// Reads from the oldest file that has something. `None`: nothing now; `due` says when again.
    ///
    /// # Errors
    /// When a file cannot be read; it is tried again later.
    pub(super) fn turn(
        &mut self,
        buffer: &mut [u8],
        now: Tick,
        now_unix_nano: u64,
    ) -> io::Result<Option<Turn>> {
        let count = self.tails.len();
        for (index, tail) in self.tails.iter_mut().enumerate().filter(|(_, tail)| !tail.finished) {
            let part = tail.read(buffer, now_unix_nano).inspect_err(|_| {
                self.due = Some(now.plus(RETRY_MAX));
            })?;
            let read = match part {
                Part::End => {
                    let superseded = index + 1 < count && ROTATION_GRACE <= now.since(self.read_at);
                    if !superseded && !tail.is_deleted() {
                        continue;
                    }
                    tail.finish(now_unix_nano)
                }
                Part::Full => {
                    self.waiting = true;
                    self.due = None;
                    return Ok(None);
                }
                Part::Read(read) => {
                    self.read_at = now;
                    read
                }
            };
            return Ok(Some(Turn { tail: index, read }));
        }
        self.rest(now);
        Ok(None)
    }

    /// The intake took the parcel; returns which file it is of, and its ticket.
    pub(super) fn taken(&mut self, tail: usize, parcel: &Parcel) -> (Inode, u64) {
        self.retry = RETRY_MIN;
        self.refused = None;
        let tail = &mut self.tails[tail];
        (tail.inode, tail.depart(parcel))
    }

    /// The intake had no room: the parcel is read again later.
    pub(super) fn refuse(&mut self, tail: usize, parcel: &Parcel, place: u64, now: Tick) {
        self.tails[tail].take_back(parcel);
        self.retry = RETRY_MAX.min(self.retry * 2);
        self.postpone(place, now);
    }

    /// The intake had no room for the like of it.
    pub(super) fn postpone(&mut self, place: u64, now: Tick) {
        self.refused.get_or_insert(place);
        self.due = Some(now.plus(self.retry));
    }

    pub(super) fn landed(&mut self, inode: Inode, ticket: u64, lost: bool) {
        if let Some(tail) = self.tails.iter_mut().find(|tail| tail.inode == inode) {
            tail.land(ticket, lost);
            self.waiting = false;
            self.due = Some(Tick::default());
        }
    }

    /// Whether writing the checkpoints would let it go on.
    pub(super) fn waits_for_save(&self) -> bool {
        self.waiting && self.tails.iter().any(|tail| tail.window.waits_for_save())
    }

    pub(super) fn saved(&mut self, now: Tick) {
        self.tails.iter_mut().for_each(|tail| tail.window.saved());
        if std::mem::take(&mut self.waiting) {
            self.due = Some(now);
        }
    }

    /// Closes the files that are done with, or that nobody wants any more.
    pub(super) fn retire(&mut self) -> Vec<Tail> {
        let unwanted = !self.is_wanted() && !self.is_held();
        let done = |tail: &mut Tail| (tail.finished || unwanted) && tail.window.is_settled();
        self.tails.extract_if(.., done).collect()
    }

    /// Nothing to read now.
    fn rest(&mut self, now: Tick) {
        let rotating = 1 < self.tails.iter().filter(|tail| !tail.finished).count();
        let hot = now.since(self.read_at) < HOT;
        let pause = if hot { POLL } else { ROTATION_GRACE };
        self.due = (hot || rotating).then(|| now.plus(pause));
    }
}

/// Of all the pod's containers, it is this one.
fn only(pod: &Arc<Pod>, container: &str) -> Arc<Pod> {
    Arc::new(Pod { containers: vec![container.to_owned()], ..Pod::clone(pod) })
}

fn named(folder: &PodFolder, node: &str) -> Arc<Pod> {
    Arc::new(Pod {
        namespace: folder.namespace.clone(),
        name: folder.pod.clone(),
        uid: folder.uid.clone(),
        node: node.to_owned(),
        ..Pod::default()
    })
}
