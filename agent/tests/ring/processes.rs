//! Two agents and their gateways as programs, an operator that makes their rings, a destination.

use crate::support::free_port;
use crate::support::operator::Operator;
use crate::support::oracle::Oracle;
use crate::support::sampling::*;
use crate::{DECISION_WAIT_MS, PATIENCE_MS};
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::trace::v1::Span;
use sluice_engine::config::Config;
use sluice_engine::config::sampling::Policy;
use sluice_engine::ring::{Member, Ring, SLOTS};
use sluice_wire::control::gateway;
use sluice_wire::control::{ToCollector, to_collector};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A debug build on a busy machine, with room.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Processes {
    oracle: Oracle,
    destination: SocketAddr,
    operator: SocketAddr,
    tell: watch::Sender<ToCollector>,
    agents: Vec<Process>,
    gateways: BTreeMap<String, Process>,
    pub(crate) ring: Ring,
    _operator: Operator,
}

struct Process {
    child: Child,
    grpc: SocketAddr,
    metrics: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Processes {
    pub(crate) async fn start(names: &[&str]) -> Self {
        let (oracle, destination) = Oracle::start().await;
        let (operator, tell, address) = Operator::start(ToCollector { message: None }).await;
        let gateways: BTreeMap<_, _> = names
            .iter()
            .map(|name| ((*name).to_owned(), Process::start(Some(name), destination, address)))
            .collect();
        let ring = ring(&gateways, None);
        let agents = vec![
            Process::start(None, destination, address),
            Process::start(None, destination, address),
        ];
        let fleet = Self {
            oracle,
            destination,
            operator: address,
            tell,
            agents,
            gateways,
            ring,
            _operator: operator,
        };
        for process in fleet.gateways.values().chain(&fleet.agents) {
            process.listens().await;
        }
        fleet.publish();
        fleet
    }

    pub(crate) fn agents(&self) -> Vec<SocketAddr> {
        self.agents.iter().map(|agent| agent.grpc).collect()
    }

    /// New gateways, in the ring as soon as they listen.
    pub(crate) async fn add(&mut self, names: &[&str]) {
        for name in names {
            let process = Process::start(Some(name), self.destination, self.operator);
            process.listens().await;
            self.gateways.insert((*name).to_owned(), process);
        }
        self.turn(None);
    }

    /// Out of the ring, and waits until it has handed over.
    pub(crate) async fn leave(&mut self, name: &str) {
        self.turn(Some(name));
        let metrics = self.gateways[name].metrics;
        wait("a gateway hands over", || async move {
            // One that was told to end is gone when it has.
            measure(metrics, "sluice_tail_open_traces").await.is_none_or(|open| open == 0)
        })
        .await;
    }

    /// SIGTERM. A second one would cut the hand-over short.
    pub(crate) fn terminate(&self, name: &str) {
        self.gateways[name].signal("TERM");
    }

    pub(crate) async fn ends(&mut self, name: &str) {
        self.gateways.remove(name).unwrap().ended().await;
    }

    /// SIGKILL; then the operator sees that it is gone.
    pub(crate) async fn kill(&mut self, name: &str) {
        let mut process = self.gateways.remove(name).unwrap();
        process.signal("KILL");
        process.ended().await;
        self.turn(None);
    }

    /// These have open traces.
    pub(crate) async fn hold_traces(&self, names: &[&str]) {
        for name in names {
            let metrics = self.gateways[*name].metrics;
            wait("a gateway holds traces", || async move {
                measure(metrics, "sluice_tail_open_traces").await.is_some_and(|open| 0 < open)
            })
            .await;
        }
    }

    /// It waits no longer for a gateway that was lost.
    pub(crate) async fn gives_up(&self, name: &str) {
        let metrics = self.gateways[name].metrics;
        wait("a lost gateway is given up", || async move {
            measure(metrics, "sluice_tail_incomplete_traces_total").await.is_some_and(|n| 0 < n)
        })
        .await;
    }

    pub(crate) async fn incomplete(&self, name: &str) -> u64 {
        let metrics = self.gateways[name].metrics;
        measure(metrics, "sluice_tail_incomplete_traces_total").await.unwrap()
    }

    /// Agents first; then nothing is on its way any more. All that arrived.
    pub(crate) async fn stop(mut self) -> Vec<Span> {
        for process in self.agents.iter_mut().chain(self.gateways.values_mut()) {
            process.signal("TERM");
            process.ended().await;
        }
        self.oracle.spans()
    }

    fn turn(&mut self, without: Option<&str>) {
        let names = self.gateways.iter().filter(|(name, _)| Some(name.as_str()) != without);
        let stay: BTreeMap<_, _> = names.collect();
        self.ring = ring(stay, Some(&self.ring));
        self.publish();
    }

    fn publish(&self) {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&serde_json::to_vec(&self.ring).unwrap()).unwrap();
        let ring = gateway::Ring { leader_epoch: 1, ring: encoder.finish().unwrap() };
        self.tell.send_replace(ToCollector { message: Some(to_collector::Message::Ring(ring)) });
    }
}

fn ring<'p>(
    members: impl IntoIterator<Item = (&'p String, &'p Process)>,
    last: Option<&Ring>,
) -> Ring {
    let member = |(name, process): (&String, &Process)| Member {
        name: name.clone(),
        address: process.grpc.to_string(),
    };
    let members: Vec<Member> = members.into_iter().map(member).collect();
    let count = members.len();
    let slots = (0..SLOTS).map(|slot| u16::try_from(slot % count).unwrap()).collect();
    let ring = Ring::new(last.map_or(1, |last| last.epoch() + 1), members, slots).unwrap();
    match last {
        Some(last) => ring.after(last),
        None => ring,
    }
}

impl Process {
    /// An agent where it has no name.
    fn start(gateway: Option<&str>, destination: SocketAddr, operator: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (grpc, metrics) = (free_address(), free_address());
        let config = config(destination, grpc.port());
        std::fs::write(folder.path().join("config.json"), config.to_bytes()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-agent"));
        command
            .arg("run")
            .arg(format!("--data-folder={}", folder.path().display()))
            .arg(format!("--operator={operator}"))
            .arg(format!("--metrics-port={}", metrics.port()))
            .args(["--bind=127.0.0.1", "--workers=2", "--log=warn", "--log-format=text"])
            .stdin(Stdio::null());
        if let Some(name) = gateway {
            command.arg("--role=gateway").arg(format!("--pod-name={name}"));
        }
        Self { child: command.spawn().unwrap(), grpc, metrics, _folder: folder }
    }

    async fn listens(&self) {
        let grpc = self.grpc;
        wait("a collector listens", || async move { TcpStream::connect(grpc).await.is_ok() }).await;
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        // Fails when it has ended, which may be.
        let _ = Command::new("kill").arg(format!("-{name}")).arg(id).status();
    }

    async fn ended(&mut self) {
        let started = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < WAIT_MAX, "a collector does not end");
            looks.tick().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(destination: SocketAddr, port: u16) -> Config {
    let policy = Policy { limit: vec![], ..policy() };
    let mut config = config_with(destination, sampling(policy, DECISION_WAIT_MS));
    config.receivers.grpc_port = port;
    config.gateway.needed = true;
    config.gateway.port = port;
    config.gateway.limiter = config.limiter.clone();
    config.gateway.handoff.timeout_ms = PATIENCE_MS;
    config
}

fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

/// A metric without labels; `None` when nobody answers, or has it.
async fn measure(address: SocketAddr, name: &str) -> Option<u64> {
    let stream = TcpStream::connect(address).await.ok()?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
    tokio::spawn(connection);
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let request = http::Request::get("/metrics").header("host", "collector").body(body).ok()?;
    let response = sender.send_request(request).await.ok()?;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.ok()?.to_bytes();
    let text = std::str::from_utf8(&body).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse::<f64>().ok().map(|value| value as u64)
}

async fn wait<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let started = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    while !done().await {
        assert!(started.elapsed() < WAIT_MAX, "{what}: not within {WAIT_MAX:?}");
        looks.tick().await;
    }
}
