//! From one scan of the logs folder to the files that are followed: who wants them, and where they start.

use super::container::Container;
use super::files::Found;
use super::scan::{ContainerKey, LogFile, Scan};
use super::tail::Tail;
use super::tailer::{Tailer, add};
use sluice_engine::compiled::Compiled;
use sluice_engine::config::StartAt;
use sluice_engine::pod_logs::records::Batch;
use sluice_engine::pod_logs::selection;
use sluice_engine::tick::Tick;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Tailer {
    pub(super) fn scan(&mut self, now: Tick) {
        let Some(compiled) = self.compiled.clone() else {
            return;
        };
        let idle = selection::settle(&compiled).is_empty() && self.containers.is_empty();
        if idle && self.settled.is_empty() {
            return;
        }
        let scan = match Scan::new(&self.settings.logs_folder) {
            Ok(scan) => scan,
            Err(error) => {
                if !std::mem::replace(&mut self.scan_failing, true) {
                    tracing::warn!(%error, "the folder of pod logs cannot be read");
                }
                return;
            }
        };
        self.scan_failing = false;
        if std::mem::take(&mut self.is_fresh) {
            let decided = self.containers.values_mut().filter(|container| !container.is_held());
            decided.for_each(|container| container.is_new = false);
        }
        for (key, logs) in &scan.containers {
            self.look_at(&scan, key, logs, &compiled, now);
        }
        self.forget(&scan, now);
        self.settle(&compiled);
        self.is_first = false;
        let files: usize = self.containers.values().map(|container| container.tails.len()).sum();
        self.counts.files.store(files as u64, Ordering::Relaxed);
        self.counts.ignored.store(scan.ignored, Ordering::Relaxed);
    }

    fn look_at(
        &mut self,
        scan: &Scan,
        key: &ContainerKey,
        logs: &[LogFile],
        compiled: &Arc<Compiled>,
        now: Tick,
    ) {
        if !self.containers.contains_key(key) {
            let key = Arc::new(key.clone());
            let container = Container::new(Arc::clone(&key), !self.is_first, now);
            self.containers.insert(key, container);
        }
        let Some(container) = self.containers.get_mut(key) else {
            return;
        };
        let pod = (self.find_pod)(&key.folder);
        container.identify(pod, &self.settings.node, compiled, now);
        for log in container.rename(logs, now) {
            self.open(scan, key, &log, compiled, now);
        }
    }

    fn open(
        &mut self,
        scan: &Scan,
        key: &ContainerKey,
        log: &LogFile,
        compiled: &Compiled,
        now: Tick,
    ) {
        let remembered = self.remembered.get(&log.inode);
        let rests = remembered.is_some_and(|remembered| {
            remembered.finished && remembered.checkpoint.mark.offset() == log.size
        });
        let Some(container) =
            self.containers.get_mut(key).filter(|container| container.is_wanted() && !rests)
        else {
            return;
        };
        let start_at = if container.is_new {
            StartAt::Beginning
        } else {
            selection::start_at(compiled, &container.readers, &self.settled)
        };
        let batch = Batch::new(&key.folder, &key.container, log.name, &self.settings.node);
        let known = remembered.map(|remembered| &remembered.checkpoint);
        let opened = scan.open(key, log).and_then(|found| match found {
            Found::Here(file) => {
                Tail::open(file, log, known, start_at, (batch, self.window_max)).map(Some)
            }
            Found::Gone | Found::Ignored => Ok(None),
        });
        match opened {
            Ok(Some(tail)) => {
                container.follow(tail, now);
                self.remembered.remove(&log.inode);
                self.dirty = true;
            }
            Ok(None) => (),
            Err(error) => {
                tracing::warn!(%error, container = %key, "a log file cannot be opened");
                add(&self.counts.failed_reads, 1);
            }
        }
    }

    /// Lets go of what the scan did not find, once it is read to its end.
    fn forget(&mut self, scan: &Scan, now: Tick) {
        for (key, container) in &mut self.containers {
            if !scan.containers.contains_key(&**key) {
                container.rename(&[], now);
            }
        }
        self.containers.retain(|key, container| {
            scan.containers.contains_key(&**key) || !container.tails.is_empty()
        });
        let found: HashSet<_> = scan.containers.values().flatten().map(|log| log.inode).collect();
        let before = self.remembered.len();
        self.remembered.retain(|inode, _| found.contains(inode));
        self.dirty |= self.remembered.len() != before;
    }

    /// Every file that was there has a checkpoint now, unless it is not decided whose it is.
    fn settle(&mut self, compiled: &Compiled) {
        let undecided = |container: &Container| container.is_held() && !container.is_new;
        if self.containers.values().any(undecided) {
            return;
        }
        let settled = selection::settle(compiled);
        if settled != self.settled {
            self.settled = settled;
            self.dirty = true;
        }
    }
}
