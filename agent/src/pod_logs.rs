//! Follows the log files of this node's containers and submits what they say, at least once.
//!
//! Names, identity, joining, windows and turns are decided in `sluice_engine::pod_logs`; here are the files and the clock.

mod checkpoints;
mod container;
mod discover;
mod files;
mod scan;
mod tail;
mod tailer;

use crate::ack::{AckToken, Acked};
use crate::intake::Refusal;
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use sluice_engine::config::Config;
use sluice_engine::lane::Lane;
use sluice_engine::pod_logs::path::PodFolder;
use sluice_engine::sender::Pod;
use sluice_engine::tick::Tick;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tailer::{Flight, Place, Tailer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A longer record is cut, counted, and marked `sluice.log.cut`.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;
/// How often a successor asks whether the agent before it has drained.
const LOCK_RETRY: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub struct Settings {
    /// `/var/log/pods`.
    pub logs_folder: PathBuf,
    /// Holds `checkpoints.json`, and a lock against a second agent on the same node.
    pub data_folder: PathBuf,
    /// `k8s.node.name`; empty: not stamped.
    pub node: String,
}

/// Finds the pod that a folder belongs to; `None` while it is not known.
pub type FindPod = dyn Fn(&PodFolder) -> Option<Arc<Pod>> + Send + Sync;

/// What was done, since the start. `ignored` and `files` are of now.
#[derive(Debug, Default)]
pub struct Counts {
    /// Bytes of lines that were taken, some of them again after a refusal.
    pub read_bytes: AtomicU64,
    pub records: AtomicU64,
    pub cut_records: AtomicU64,
    pub cut_bytes: AtomicU64,
    pub lossy_records: AtomicU64,
    pub foreign_records: AtomicU64,
    pub refused_batches: AtomicU64,
    /// Records that the intake refused for good.
    pub rejected_records: AtomicU64,
    /// Files that shrank or were written anew, and were read from their start.
    pub truncated_files: AtomicU64,
    pub failed_reads: AtomicU64,
    pub failed_saves: AtomicU64,
    /// Files followed.
    pub files: AtomicU64,
    /// Links, pipes, devices and strange names below the logs folder.
    pub ignored: AtomicU64,
}

/// Runs until `config` closes, then waits for what is under way, writes the checkpoints and lets
/// the next agent have the files. A caller with a deadline drops the future; what it did not write is read again.
///
/// `submit` is [`crate::intake::Intake::submit`] for logs.
pub async fn run(
    settings: Settings,
    mut config: watch::Receiver<Arc<Config>>,
    find_pod: Arc<FindPod>,
    submit: impl FnMut(&mut Lane, Bytes, AckToken) -> Result<(), Refusal> + Send + 'static,
    counts: Arc<Counts>,
) {
    let Some(store) = open_store(&settings, &mut config).await else {
        return;
    };
    let started = Instant::now();
    let tailer = Tailer::new(settings, store, find_pod, Box::new(submit), counts);
    let Some(mut tailer) = follow(tailer, &mut config, started).await else {
        return;
    };
    // The store, and with it the lock, goes with the closure.
    let saved = tokio::task::spawn_blocking(move || tailer.save(Tick(started.elapsed()))).await;
    if let Err(error) = saved {
        tracing::error!(%error, "the last checkpoints of pod logs were not written");
    }
}

/// Waits until no other agent holds the checkpoints; `None` when the input closed before.
async fn open_store(
    settings: &Settings,
    config: &mut watch::Receiver<Arc<Config>>,
) -> Option<checkpoints::Store> {
    let mut told = false;
    loop {
        let folder = settings.data_folder.clone();
        match tokio::task::spawn_blocking(move || checkpoints::Store::open(&folder)).await {
            Ok(Ok(store)) => return Some(store),
            Ok(Err(error)) if !told => {
                tracing::info!(%error, "pod logs wait for their checkpoints");
                told = true;
            }
            Ok(Err(_)) => (),
            Err(_) => return None,
        }
        let retry = Instant::now() + LOCK_RETRY;
        tokio::select! {
            () = closed(config) => return None,
            () = sleep_until(retry) => (),
        }
    }
}

async fn closed(config: &mut watch::Receiver<Arc<Config>>) {
    while config.changed().await.is_ok() {}
}

/// Passes, one after another, until the input is closed and nothing is under way; `None` when the
/// runtime goes down under it.
async fn follow(
    mut tailer: Tailer,
    config: &mut watch::Receiver<Arc<Config>>,
    started: Instant,
) -> Option<Tailer> {
    let mut flights = FuturesUnordered::new();
    let mut open = true;
    let mut fresh = true;
    while open || !flights.is_empty() {
        if std::mem::take(&mut fresh) {
            tailer.adopt(&config.borrow_and_update().clone());
        }
        let now = Tick(started.elapsed());
        let pass = tokio::task::spawn_blocking(move || {
            let passed = tailer.pass(now);
            (tailer, passed)
        });
        let passed;
        (tailer, passed) = pass.await.ok()?;
        flights.extend(passed.departed.into_iter().map(land));
        tokio::select! {
            changed = config.changed(), if open => match changed {
                Ok(()) => fresh = true,
                Err(_) => {
                    open = false;
                    tailer.stop();
                }
            },
            Some((place, outcome)) = flights.next() => tailer.land(place, outcome),
            () = sleep_until(started + passed.wake.0) => (),
        }
        while let Some(Some((place, outcome))) = flights.next().now_or_never() {
            tailer.land(place, outcome);
        }
    }
    Some(tailer)
}

async fn land(flight: Flight) -> (Place, Acked) {
    (flight.place, flight.receipt.await.unwrap_or(Acked::Lost))
}

#[cfg(test)]
mod tests;
