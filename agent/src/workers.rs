//! Worker threads with a single-threaded runtime each. Connections go to the one with the fewest.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Jobs that a worker has not begun.
const WAITING_MAX: usize = 1024;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Hands out jobs; the threads end when the last handle is gone.
#[derive(Clone)]
pub(crate) struct Workers {
    workers: Arc<Vec<Worker>>,
}

struct Worker {
    jobs: mpsc::Sender<Job>,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// # Errors
    /// When a thread or a runtime cannot be made.
    pub(crate) fn start(count: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.max(1) {
            let (jobs, inbox) = mpsc::channel(WAITING_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(work(inbox)))?);
            workers.push(Worker { jobs, connections: Arc::default() });
        }
        Ok((Self { workers: Arc::new(workers) }, threads))
    }

    /// Runs a task for as long as it takes; `turn` spreads such tasks over the workers.
    pub(crate) async fn run(&self, turn: usize, job: impl Future<Output = ()> + Send + 'static) {
        let worker = &self.workers[turn % self.workers.len()];
        // Fails only when the threads have ended, after the shutdown.
        let _ = worker.jobs.send(Box::pin(job)).await;
    }

    /// Runs a connection on the least loaded worker; false when that has too many jobs waiting.
    pub(crate) fn run_connection(&self, job: impl Future<Output = ()> + Send + 'static) -> bool {
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let Some(worker) = self.workers.iter().min_by_key(load) else { return false };
        let counted = Counted::new(&worker.connections);
        let job = async move {
            job.await;
            drop(counted);
        };
        worker.jobs.try_send(Box::pin(job)).is_ok()
    }

    pub(crate) fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).sum()
    }
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn work(mut inbox: mpsc::Receiver<Job>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            job = inbox.recv() => match job {
                Some(job) => drop(running.spawn(job)),
                None => break,
            },
            Some(_) = running.join_next() => (),
        }
    }
    running.shutdown().await;
}
