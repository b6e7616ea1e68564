//! The agent as a program in a cluster: from its flags to a collector that the operator steers.
//!
//! Configs come from the control stream; until one does, from the data folder or the boot-strap
//! files. Nothing is ever written to the API server.

mod arguments;
mod boot;
mod control;
mod credentials;
mod load;
mod node;
mod peers;
mod report;

pub use arguments::{Arguments, LogFormat, RoleName, RunArguments, Verb};
pub use boot::prepare_state;

use crate::intake::Intake;
use crate::monitor::Monitor;
use crate::pod_logs;
use crate::pods::PodTable;
use crate::receive::Guard;
use crate::running::{Running, StartError, start};
use crate::secrets::Secrets;
use crate::settings::{Role, Senders, Settings, Trust};
use control::{Assigned, Desk, Link};
use load::LoadMeter;
use peers::Identity;
use sluice_engine::config::Config;
use sluice_engine::ring::Ring;
use sluice_wire::Signal;
use sluice_wire::control::{Adoption, Report};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Why the agent ended by itself.
#[derive(Debug)]
pub enum RunError {
    DataFolder(io::Error),
    Monitor(io::Error),
    Kubernetes(Box<kube::Error>),
    Key(rcgen::Error),
    Start(StartError),
    Signals(io::Error),
}

/// The collector and what runs beside it.
struct Agent {
    arguments: RunArguments,
    settings: Settings,
    pods: Option<PodTable>,
    /// What pod logs and credentials read; the collector has a copy of its own.
    config: watch::Sender<Option<Arc<Config>>>,
    running: Option<Running>,
    pod_logs: Option<PodLogs>,
    hash: String,
    adoption: Adoption,
    problem: String,
    load: LoadMeter,
}

/// Where a config comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Operator,
    Disk,
}

/// The tailer runs until its config closes.
struct PodLogs {
    config: watch::Sender<Arc<Config>>,
    task: JoinHandle<()>,
}

/// For so long a new pod waits for the operator's word before it runs the boot-strap's config, which
/// may be behind: what a pipeline wants that it does not know would be dropped.
const FIRST_WORD_MAX: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, then stops within the deadline of the arguments.
///
/// # Errors
/// When what it needs from the start is not there. A config that cannot be run is no error: it is
/// reported, and the one before runs on.
pub async fn run(arguments: RunArguments) -> Result<(), RunError> {
    let mut terminate = signals().map_err(RunError::Signals)?;
    std::fs::create_dir_all(&arguments.data_folder).map_err(RunError::DataFolder)?;
    let bind = arguments.bind.unwrap_or_else(|| unspecified(arguments.pod_ip));
    let monitor = Monitor::bind(bind, arguments.metrics_port).await.map_err(RunError::Monitor)?;
    let client = cluster(&arguments).await?;
    let guard = match &client {
        Some(client) => peers::guard(client.clone(), arguments.peers.clone()),
        None => Guard::open(),
    };
    let identity = identity(&arguments, &guard)?;
    let mut agent = Agent::new(arguments, bind, monitor.clone(), guard);
    agent.join_cluster(client);
    let (reports, report_seen) = watch::channel(Report::default());
    let (assigned, mut assignments) = mpsc::channel(1);
    let (rings, mut ring) = watch::channel(boot::find_ring(&agent.arguments.data_folder));
    ring.mark_changed();
    let link = Link::new(&agent.arguments);
    let has_operator = link.is_some();
    if let Some(link) = link {
        let desk = Desk { assigned, rings, identity, reports: report_seen, monitor };
        tokio::spawn(control::stay_attached(link, desk));
    }
    let found = boot::find(&agent.arguments.data_folder, &agent.arguments.boot_strap);
    let waits = has_operator && found.as_ref().is_some_and(|found| !found.is_kept);
    let first = match waits {
        true => tokio::select! {
            () = terminated(&mut terminate) => return Ok(()),
            first = tokio::time::timeout(FIRST_WORD_MAX, assignments.recv()) => first.ok().flatten(),
        },
        false => None,
    };
    agent.begin(first, found).await?;
    let mut sequence = 0;
    let mut tick = tokio::time::interval(Duration::from_secs(agent.arguments.report_seconds));
    let mut leaving: Option<Instant> = None;
    loop {
        tokio::select! {
            () = terminated(&mut terminate) => {
                if leaving.is_some() || !agent.can_hand_over() {
                    break;
                }
                tracing::info!("leaving: open traces go to other gateways");
                leaving = Some(Instant::now());
            }
            () = agent.has_left(leaving) => break,
            Some(assignment) = assignments.recv() => match assignment {
                Ok(assignment) => agent.take(assignment, Origin::Operator).await?,
                Err(problem) => agent.reject(problem),
            },
            Ok(()) = ring.changed() => (),
            _ = tick.tick() => (),
        }
        let newest = ring.borrow_and_update().clone();
        agent.go_by(newest).await;
        sequence += 1;
        reports.send_replace(agent.report(sequence));
    }
    agent.stop(leaving.unwrap_or_else(Instant::now)).await;
    Ok(())
}

impl Agent {
    fn new(arguments: RunArguments, bind: IpAddr, monitor: Monitor, guard: Guard) -> Self {
        let pods = arguments.node.as_ref().map(|_| PodTable::default());
        let trust = match arguments.gateway_token {
            Some(_) => Trust::Token,
            None => Trust::Nothing,
        };
        let settings = Settings {
            role: match arguments.role {
                RoleName::Agent => Role::Agent(trust),
                RoleName::Gateway => {
                    let name = arguments.pod_name.clone().unwrap_or_default();
                    Role::Gateway { name, guard, trust }
                }
            },
            bind,
            data_folder: arguments.data_folder.clone(),
            senders: pods.clone().map_or(Senders::Claimed, Senders::Pods),
            secrets: match &arguments.secrets_folder {
                Some(folder) => Secrets::from_folder(folder),
                None => Secrets::empty(),
            },
            workers: arguments.workers.unwrap_or_else(crate::workers_default),
            monitor: Some(monitor),
            is_alone: true,
        };
        Self {
            arguments,
            settings,
            pods,
            config: watch::Sender::new(None),
            running: None,
            pod_logs: None,
            hash: String::new(),
            adoption: Adoption::Unspecified,
            problem: String::new(),
            load: LoadMeter::default(),
        }
    }

    /// Starts to watch the node's pods and to read Secrets, where there is a cluster.
    fn join_cluster(&self, client: Option<kube::Client>) {
        let RunArguments { operator_ca, gateway_token, .. } = &self.arguments;
        let secrets = self.settings.secrets.clone();
        if let (Some(ca), Some(token)) = (operator_ca, gateway_token) {
            let kept = peers::keep_credentials(ca.clone(), token.clone(), secrets.clone());
            tokio::spawn(kept);
        }
        let (Some(node), Some(client)) = (&self.arguments.node, client) else { return };
        if self.arguments.role == RoleName::Agent
            && let Some(pods) = &self.pods
        {
            tokio::spawn(node::watch_pods(client.clone(), node.clone(), pods.clone()));
        }
        tokio::spawn(credentials::keep_fresh(client, self.config.subscribe(), secrets));
    }

    /// Runs the operator's word, if it came and can be run, else what was found.
    async fn begin(
        &mut self,
        first: Option<Result<Assigned, String>>,
        found: Option<boot::Found>,
    ) -> Result<(), RunError> {
        match first {
            Some(Ok(assignment)) => self.take(assignment, Origin::Operator).await?,
            Some(Err(problem)) => self.reject(problem),
            None => {}
        }
        if let (None, Some(found)) = (&self.running, found) {
            let refused = (self.adoption, std::mem::take(&mut self.problem));
            self.take(found.assigned, Origin::Disk).await?;
            if !refused.1.is_empty() {
                (self.adoption, self.problem) = refused;
            }
        }
        Ok(())
    }

    /// Traces go by this ring from now on; it is there after a restart without the operator.
    async fn go_by(&mut self, ring: Option<Ring>) {
        let (Some(ring), Some(running)) = (ring, &self.running) else { return };
        if running.ring_epoch() >= ring.epoch() {
            return;
        }
        // Whoever finds it after a restart has nobody to wait for.
        let kept = ring.clone().settled();
        if let Err(error) = boot::keep_ring(&self.arguments.data_folder, &kept) {
            tracing::warn!(%error, "the ring cannot be kept in the data folder");
        }
        if let Err(error) = running.set_ring(ring).await {
            tracing::error!(%error, "the ring cannot be used");
        }
    }

    /// Runs another config, or says why not.
    async fn take(&mut self, assignment: Assigned, origin: Origin) -> Result<(), RunError> {
        let Assigned { hash, config, bytes } = assignment;
        if self.running.is_some() && self.hash == hash {
            self.adoption = Adoption::Applied;
            return Ok(());
        }
        let adopted = match &self.running {
            Some(running) => running.adopt(config.clone()).await.map_err(|error| error.to_string()),
            None => self.start(config.clone()).await?,
        };
        match adopted {
            Ok(()) => {
                tracing::info!(hash, "config adopted");
                self.follow(Arc::new(config));
                if origin == Origin::Operator {
                    self.keep(&bytes);
                }
                self.hash = hash;
                self.adoption = Adoption::Applied;
                self.problem.clear();
            }
            Err(problem) => self.reject(format!("config {hash}: {problem}")),
        }
        Ok(())
    }

    /// What runs goes on.
    fn reject(&mut self, problem: String) {
        tracing::error!(problem, "config cannot be adopted");
        self.adoption = Adoption::Failed;
        self.problem = problem;
    }

    /// The inner error is the config's fault, the outer one the machine's.
    async fn start(&mut self, config: Config) -> Result<Result<(), String>, RunError> {
        match start(config, self.settings.clone()).await {
            Ok(running) => self.running = Some(running),
            Err(error @ StartError::Config(_)) => return Ok(Err(error.to_string())),
            Err(error) => return Err(RunError::Start(error)),
        }
        Ok(Ok(()))
    }

    /// Tells what runs beside the collector.
    fn follow(&mut self, config: Arc<Config>) {
        self.config.send_replace(Some(Arc::clone(&config)));
        match (&self.pod_logs, &self.running) {
            (Some(pod_logs), _) => drop(pod_logs.config.send_replace(config)),
            (None, Some(running)) => {
                let intake = running.intake();
                self.pod_logs = self.tail(intake, config);
            }
            (None, None) => (),
        }
    }

    fn tail(&self, intake: Intake, config: Arc<Config>) -> Option<PodLogs> {
        let (logs_folder, pods) = (self.arguments.pod_logs.clone()?, self.pods.clone()?);
        let settings = pod_logs::Settings {
            logs_folder,
            data_folder: self.arguments.data_folder.clone(),
            node: self.arguments.node.clone().unwrap_or_default(),
        };
        let counts = Arc::<pod_logs::Counts>::default();
        if let Some(monitor) = &self.settings.monitor {
            monitor.show_pod_logs(Arc::clone(&counts));
        }
        let find = Arc::new(move |folder: &sluice_engine::pod_logs::path::PodFolder| {
            pods.by_uid(&folder.uid)
        });
        let (config, seen) = watch::channel(config);
        let submit =
            move |lane: &mut _, body, ack| intake.submit(lane, Signal::Logs, body, Some(ack));
        let task = tokio::spawn(pod_logs::run(settings, seen, find, submit, counts));
        Some(PodLogs { config, task })
    }

    /// What runs is there after a restart without the operator.
    fn keep(&self, bytes: &[u8]) {
        if let Err(error) = boot::keep(&self.arguments.data_folder, bytes) {
            tracing::warn!(%error, "the config cannot be kept in the data folder");
        }
    }

    fn report(&mut self, sequence: u64) -> Report {
        let mut report = match &self.running {
            Some(running) => report::report(running, &self.settings.secrets),
            None => Report::default(),
        };
        if let (Some(running), Some(config)) = (&self.running, &*self.config.borrow())
            && self.arguments.role == RoleName::Gateway
        {
            report.load = Some(self.load.measure(running, config));
        }
        report.sequence = sequence;
        report.config_hash.clone_from(&self.hash);
        report.adoption = self.adoption.into();
        report.adoption_error.clone_from(&self.problem);
        report.unknown_peers_total = self.pods.as_ref().map_or(0, PodTable::unknown_peers);
        report
    }

    /// A gateway whose open traces others can take: the operator sees that it ends, and makes a ring
    /// without it.
    fn can_hand_over(&self) -> bool {
        let (Some(running), Some(config)) = (&self.running, &*self.config.borrow()) else {
            return false;
        };
        let is_needed = config.gateway.needed && self.arguments.operator.is_some();
        let can = self.arguments.role == RoleName::Gateway && is_needed;
        if can {
            running.set_unready();
        }
        can
    }

    /// Ends once everything is handed over, or it takes too long; never while it is not leaving.
    async fn has_left(&self, leaving: Option<Instant>) {
        let (Some(since), Some(running)) = (leaving, &self.running) else {
            return std::future::pending().await;
        };
        let patience = self.config.borrow().as_ref().map_or(0, |c| c.gateway.handoff.timeout_ms);
        let until = since + Duration::from_millis(patience);
        if tokio::time::timeout_at(until, running.has_left()).await.is_err() {
            tracing::warn!("no ring came without this gateway: it decides what it has");
        }
    }

    /// Pod logs write their checkpoints once the queues have sent what came from them.
    async fn stop(self, since: Instant) {
        let end = since + Duration::from_secs(self.arguments.shutdown_seconds);
        let deadline = end.saturating_duration_since(Instant::now());
        tracing::info!("stopping");
        let tailed = self.pod_logs.map(|PodLogs { config, task }| {
            drop(config);
            task
        });
        let tailed = async {
            if let Some(task) = tailed
                && tokio::time::timeout(deadline, task).await.is_err()
            {
                tracing::warn!("pod logs did not finish");
            }
        };
        let stopped = async {
            let Some(running) = self.running else { return };
            match running.stop(deadline).await.check() {
                Ok(()) => tracing::info!("stopped, the books balance"),
                Err(imbalance) => tracing::error!(%imbalance, "stopped, the books do not balance"),
            }
        };
        tokio::join!(tailed, stopped);
    }
}

/// The API server's client, where there is a cluster.
async fn cluster(arguments: &RunArguments) -> Result<Option<kube::Client>, RunError> {
    if arguments.node.is_none() {
        return Ok(None);
    }
    let client = kube::Client::try_default().await;
    client.map(Some).map_err(|error| RunError::Kubernetes(Box::new(error)))
}

/// A gateway's, where agents have to be shown one.
fn identity(arguments: &RunArguments, guard: &Guard) -> Result<Option<Identity>, RunError> {
    if arguments.role == RoleName::Agent || arguments.operator_ca.is_none() {
        return Ok(None);
    }
    Identity::new(guard.clone()).map(Some).map_err(RunError::Key)
}

/// Dual-stack where the pod has an IPv6 address.
fn unspecified(pod: Option<IpAddr>) -> IpAddr {
    match pod {
        Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

type Signals = (tokio::signal::unix::Signal, tokio::signal::unix::Signal);

fn signals() -> io::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

async fn terminated((terminate, interrupt): &mut Signals) {
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataFolder(error) => write!(out, "cannot make the data folder: {error}"),
            Self::Monitor(error) => write!(out, "cannot listen on the metrics port: {error}"),
            Self::Kubernetes(error) => write!(out, "cannot reach Kubernetes: {error}"),
            Self::Key(error) => write!(out, "cannot make a key: {error}"),
            Self::Start(error) => write!(out, "{error}"),
            Self::Signals(error) => write!(out, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for RunError {}
