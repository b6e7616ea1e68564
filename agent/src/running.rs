//! A collector at work: started from a config, given others, stopped without losing what it holds.

use crate::flow::{Flow, keep_deciding, keep_handing_over};
use crate::intake::Intake;
use crate::monitor::Monitor;
use crate::pump::{self, Pump, PumpState};
use crate::receive::{Door, Forwards, Listener, Offer, bind};
use crate::send::{Ends, Files};
use crate::settings::{Role, Senders, Settings};
use crate::workers::Workers;
use sluice_engine::books::{Books, QueueKey};
use sluice_engine::config::Config;
use sluice_engine::limiter::Level;
use sluice_engine::ring::Ring;
use sluice_engine::tail::Tail;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Of the shutdown's deadline, the part that connections have to finish.
const CONNECTIONS_SHARE: u32 = 4;

#[derive(Debug)]
pub enum StartError {
    /// The config cannot be run; the text says why.
    Config(String),
    Bind {
        port: u16,
        source: io::Error,
    },
    Thread(io::Error),
}

/// The config that ran before runs on.
#[derive(Debug)]
pub enum AdoptError {
    Config(String),
    Bind { port: u16, source: io::Error },
}

pub struct Running {
    bind: IpAddr,
    intake: Intake,
    flow: Arc<Flow>,
    workers: Workers,
    threads: Vec<JoinHandle<()>>,
    door: Door,
    listeners: Mutex<Listeners>,
    monitor: Monitor,
    turns: AtomicUsize,
    closing: watch::Sender<bool>,
    abandon: watch::Sender<bool>,
    /// Ends when no connection is left.
    connections: mpsc::Receiver<()>,
    /// Held by each pump.
    pumping: mpsc::Sender<()>,
    /// Ends when no pump is left.
    pumps: mpsc::Receiver<()>,
}

struct Listeners {
    grpc: Listener,
    others: BTreeMap<Offer, Listener>,
}

/// # Errors
/// When the config cannot be run, a port is taken or a thread cannot be made.
pub async fn start(config: Config, settings: Settings) -> Result<Running, StartError> {
    let ends = Ends { secrets: settings.secrets.clone(), files: Files::new(&settings.data_folder) };
    let (flow, added) = Flow::new(config.clone(), ends, (&settings.role, settings.workers))
        .map_err(StartError::Config)?;
    let (workers, threads) = Workers::start(settings.workers).map_err(StartError::Thread)?;
    let intake = Intake::new(Arc::clone(&flow));
    let (closing, closing_seen) = watch::channel(false);
    let (open, connections) = mpsc::channel(1);
    let (pumping, pumps) = mpsc::channel(1);
    let door = Door {
        intake: intake.clone(),
        senders: settings.senders.clone(),
        workers: workers.clone(),
        closing: closing_seen,
        forwards: match &settings.role {
            Role::Gateway { guard, .. } => {
                Some(Arc::new(Forwards::new(intake.clone(), guard.clone())))
            }
            Role::Agent(_) => None,
        },
        open,
    };
    let failed = |port| move |source| StartError::Bind { port, source };
    let monitor = match settings.monitor {
        Some(monitor) => monitor,
        None => Monitor::bind(settings.bind, config.metrics_port)
            .await
            .map_err(failed(config.metrics_port))?,
    };
    let (grpc_port, ports) = ports(&config, door.forwards.is_some());
    let grpc = bind(settings.bind, grpc_port, Offer::OtlpGrpc, door.clone());
    let grpc = grpc.await.map_err(failed(grpc_port))?;
    let mut others = BTreeMap::new();
    for (offer, port) in ports {
        let other = bind(settings.bind, port, offer, door.clone());
        others.insert(offer, other.await.map_err(failed(port))?);
    }
    let running = Running {
        bind: settings.bind,
        intake,
        flow,
        workers,
        threads,
        door,
        listeners: Mutex::new(Listeners { grpc, others }),
        monitor,
        turns: AtomicUsize::new(0),
        closing,
        abandon: watch::Sender::new(false),
        connections,
        pumping,
        pumps,
    };
    running.pump(added).await;
    running.workers.run(0, watch_memory(Arc::clone(&running.flow), settings.is_alone)).await;
    for shard in 0..settings.workers.max(1) {
        running.workers.run(shard, keep_deciding(Arc::clone(&running.flow), shard)).await;
    }
    running.workers.run(0, keep_handing_over(Arc::clone(&running.flow))).await;
    let pods = match settings.senders {
        Senders::Claimed => None,
        Senders::Pods(pods) => Some(pods),
    };
    running.monitor.show(Arc::clone(&running.flow), pods);
    Ok(running)
}

impl Running {
    pub fn grpc_address(&self) -> SocketAddr {
        self.listeners().grpc.address
    }

    /// `None` in a gateway.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.address(Offer::OtlpHttp)
    }

    /// Where SDKs ask for their rates over gRPC; `None` where they cannot.
    pub fn sampling_grpc_address(&self) -> Option<SocketAddr> {
        self.address(Offer::SamplingGrpc)
    }

    /// The same over HTTP.
    pub fn sampling_http_address(&self) -> Option<SocketAddr> {
        self.address(Offer::SamplingHttp)
    }

    fn address(&self, offer: Offer) -> Option<SocketAddr> {
        self.listeners().others.get(&offer).map(|listener| listener.address)
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub fn metrics_address(&self) -> SocketAddr {
        self.monitor.address()
    }

    /// The way in for sources other than the OTLP receivers.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Runs another config; what is buffered stays or drains, connections live on.
    ///
    /// # Errors
    /// When it cannot be run or a new port is taken: then the one before runs on.
    pub async fn adopt(&self, config: Config) -> Result<(), AdoptError> {
        let (grpc_port, ports) = ports(&config, self.door.forwards.is_some());
        let grpc = self.rebind(Offer::OtlpGrpc, grpc_port).await?;
        let mut others = BTreeMap::new();
        for (offer, port) in &ports {
            if let Some(other) = self.rebind(*offer, *port).await? {
                others.insert(*offer, other);
            }
        }
        let added = self.flow.adopt(config).map_err(AdoptError::Config)?;
        self.pump(added).await;
        let mut listeners = self.listeners();
        if let Some(grpc) = grpc {
            listeners.grpc = grpc;
        }
        listeners.others.extend(others);
        listeners.others.retain(|offer, _| ports.contains_key(offer));
        Ok(())
    }

    /// From now on traces go by this ring, unless a newer one is known.
    ///
    /// # Errors
    /// When its queues cannot be made; then traces go as before.
    pub async fn set_ring(&self, ring: Ring) -> Result<(), AdoptError> {
        let added = self.flow.set_ring(Arc::new(ring)).map_err(AdoptError::Config)?;
        self.pump(added).await;
        Ok(())
    }

    /// Of the ring that traces go by; 0: none is known.
    pub fn ring_epoch(&self) -> u64 {
        self.flow.ring().map_or(0, |ring| ring.epoch())
    }

    /// Waits until everything that belongs to other gateways by the ring of this epoch, or a newer one,
    /// has reached them.
    pub async fn handed_over(&self, epoch: u64) {
        if let Some(mut finished) = self.flow.handed_over() {
            // Fails only when there is no flow any more.
            let _ = finished.wait_for(|newest| epoch <= *newest).await;
        }
    }

    /// Waits until it is in the ring no more, and has handed over everything. For gateways.
    pub async fn has_left(&self) {
        self.flow.has_left().await;
    }

    /// Traces whose former owner never handed over, so far: they may lack spans.
    pub fn incomplete_traces(&self) -> u64 {
        self.flow.incomplete_traces()
    }

    /// Where every item went so far.
    pub fn books(&self) -> Books {
        self.flow.books()
    }

    pub fn memory_level(&self) -> Level {
        self.flow.level()
    }

    /// The open traces; `None` until there was a policy.
    pub fn tail(&self) -> Option<Arc<Tail>> {
        self.flow.tail()
    }

    /// Of the hard limit.
    pub fn memory_percent(&self) -> u32 {
        self.flow.memory_percent()
    }

    /// How each queue of the config that runs fares.
    pub fn queues(&self) -> BTreeMap<QueueKey, PumpState> {
        self.flow.pump_states()
    }

    /// Asks those who look at `/readyz` to send nothing more.
    pub fn set_unready(&self) {
        self.monitor.set_unready(Some("shutting down"));
    }

    /// Closes the inputs and sends what is held, until the deadline; what is left then is counted
    /// as `dropped{shutdown}`. The books returned are final: nothing is held any more.
    pub async fn stop(mut self, deadline: Duration) -> Books {
        let end = tokio::time::Instant::now() + deadline;
        self.set_unready();
        self.closing.send_replace(true);
        let Door { open, workers, .. } = self.door;
        drop(open);
        drop(workers);
        let finished = tokio::time::timeout(deadline / CONNECTIONS_SHARE, self.connections.recv());
        if finished.await.is_err() {
            tracing::warn!("connections are still open at the shutdown");
        }
        self.flow.close();
        drop(self.pumping);
        if tokio::time::timeout_at(end, self.pumps.recv()).await.is_err() {
            self.abandon.send_replace(true);
            self.pumps.recv().await;
        }
        let books = self.flow.books();
        drop(self.workers);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        // A thread ends once it dropped its tasks; none of them waits for anything else.
        if tokio::time::timeout(Duration::from_secs(5), joined).await.is_err() {
            tracing::warn!("worker threads are slow to end");
        }
        books
    }

    async fn pump(&self, added: Vec<Arc<Pump>>) {
        for pump in added {
            let held = self.pumping.clone();
            let running = pump::run(pump, Arc::clone(&self.flow), self.abandon.subscribe());
            let turn = self.turns.fetch_add(1, Ordering::Relaxed);
            let job = async move {
                running.await;
                drop(held);
            };
            self.workers.run(turn, job).await;
        }
    }

    /// `None`: it is offered on this port already.
    async fn rebind(&self, offer: Offer, port: u16) -> Result<Option<Listener>, AdoptError> {
        let bound = match offer {
            Offer::OtlpGrpc => Some(self.listeners().grpc.port),
            _ => self.listeners().others.get(&offer).map(|other| other.port),
        };
        if bound == Some(port) {
            return Ok(None);
        }
        let listener = bind(self.bind, port, offer, self.door.clone()).await;
        listener.map(Some).map_err(|source| AdoptError::Bind { port, source })
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of OTLP over gRPC, and of what else is offered; a gateway has the first only, for agents.
fn ports(config: &Config, is_gateway: bool) -> (u16, BTreeMap<Offer, u16>) {
    if is_gateway {
        return (config.gateway.port, BTreeMap::new());
    }
    let receivers = &config.receivers;
    let mut others = BTreeMap::from([(Offer::OtlpHttp, receivers.http_port)]);
    if let Some(sampling) = receivers.jaeger_remote_sampling {
        others.insert(Offer::SamplingGrpc, sampling.grpc_port);
        others.insert(Offer::SamplingHttp, sampling.http_port);
    }
    (receivers.grpc_port, others)
}

/// Between two looks at what the process takes: a flood fills a gateway within seconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Ends with the worker that runs it.
async fn watch_memory(flow: Arc<Flow>, is_alone: bool) {
    let config = flow.config();
    let mut checked = tokio::time::Instant::now();
    loop {
        let interval = Duration::from_millis(config.borrow().limiter.check_interval_ms.max(10));
        tokio::time::sleep(interval.min(LOOK_INTERVAL)).await;
        if let Some(bytes) = is_alone.then(resident_bytes).flatten() {
            flow.meter.observe(bytes);
        }
        if interval <= checked.elapsed() {
            checked = tokio::time::Instant::now();
            flow.check_memory();
        }
    }
}

/// Of this process; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problem) => write!(out, "the config cannot be run: {problem}"),
            Self::Bind { port, .. } => write!(out, "cannot listen on port {port}"),
            Self::Thread(_) => write!(out, "cannot start a worker thread"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Bind { source, .. } | Self::Thread(source) => Some(source),
        }
    }
}

impl fmt::Display for AdoptError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problem) => write!(out, "the config cannot be run: {problem}"),
            Self::Bind { port, .. } => write!(out, "cannot listen on port {port}"),
        }
    }
}

impl std::error::Error for AdoptError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Bind { source, .. } => Some(source),
        }
    }
}
