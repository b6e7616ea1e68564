//! The gateway: one process with the limits that its container's memory gives it.

use super::cgroup::Cgroup;
use crate::contest::process::Process;
use crate::contest::programs::Place;
use anyhow::{Context, Result};
use serde_json::json;
use sluice_crds::CollectorSpec;
use sluice_engine::config::gateway::Gateway as Gateways;
use sluice_engine::config::sampling::{ALL_PPM, Floor, Match, Mode, Policy, SpanStatus};
use sluice_engine::config::sampling::{Sampling, Scope, Tail};
use sluice_engine::config::{
    Auth, Batch, Cluster, Compression, Config, Delivery, Destination, DestinationKind, Enrich,
    EnrichKubernetes, FORMAT, Limiter, Namespaces, OnFull, Pipeline, Protocol, Receivers, Selector,
    Tls, TlsMode,
};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

/// Of the container.
pub(super) const MEMORY_BYTES: u64 = 256 << 20;
pub(super) const DECISION_WAIT_MS: u64 = 10_000;
/// Kept of what has no error.
pub(super) const DEFAULT_PPM: u32 = 100_000;
/// Of the pipeline, the destination and the policy.
const NAME: &str = "shop/shop";

pub(super) struct Gateway {
    // Ends before its cgroup is removed.
    pub(super) process: Process,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) address: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) limiter: Limiter,
    /// Its configuration and its log.
    _place: Place,
}

impl Gateway {
    /// Returns once it listens.
    pub(super) async fn start(agent: &Path, place: Place) -> Result<Self> {
        let folder = place.folder.path();
        let limiter = limiter()?;
        let config = config(&place, limiter.clone());
        fs::write(folder.join("config.json"), config.to_bytes()).context("write the config")?;
        let mut command = Command::new(agent);
        command
            .args(["run", "--role=gateway", "--pod-name=g0", "--bind=127.0.0.1", "--log=warn"])
            .arg(format!("--data-folder={}", folder.display()))
            .arg(format!("--metrics-port={}", place.metrics));
        let mut process = Process::start(&mut command, folder)?;
        let cgroup = Cgroup::new(MEMORY_BYTES).filter(|cgroup| cgroup.enclose(process.id()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.grpc));
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, place.metrics));
        process.listens(address).await?;
        Ok(Self { process, cgroup, address, metrics, limiter, _place: place })
    }
}

/// What a Collector gets that says nothing but how much memory its gateways have.
fn limiter() -> Result<Limiter> {
    let memory = json!({"limits": {"memory": MEMORY_BYTES.to_string()}});
    let spec = json!({"gateway": {"resources": memory}});
    let spec: CollectorSpec = serde_json::from_value(spec).context("read a Collector")?;
    let gateway = spec.gateway();
    let limit = "a limit follows from the container's";
    Ok(Limiter {
        soft_bytes: gateway.soft_limit().context(limit)?.bytes(),
        hard_bytes: gateway.hard_limit().context(limit)?.bytes(),
        check_interval_ms: gateway.memory_limiter().check_interval.millis(),
    })
}

fn config(place: &Place, limiter: Limiter) -> Config {
    Config {
        format: FORMAT,
        cluster: Cluster::default(),
        receivers: Receivers {
            grpc_port: place.grpc,
            grpc_message_bytes_max: 16 << 20,
            grpc_connection_age_max_ms: 3_600_000,
            http_port: place.http,
            http_body_bytes_max: 16 << 20,
            jaeger_remote_sampling: None,
        },
        batch: Batch { timeout_ms: 5000, items: 8192, bytes_max: 4 << 20 },
        limiter: limiter.clone(),
        metrics_port: place.metrics,
        destinations: BTreeMap::from([(NAME.to_owned(), destination(place.destination))]),
        pipelines: BTreeMap::from([(NAME.to_owned(), pipeline())]),
        sampling: Sampling {
            policies: BTreeMap::from([(NAME.to_owned(), policy())]),
            tail: Tail { decision_wait_ms: DECISION_WAIT_MS, ..Tail::default() },
        },
        gateway: Gateways {
            needed: true,
            port: place.grpc,
            limiter,
            protect_errors: true,
            cpu_millis: 1000,
            ..Gateways::default()
        },
    }
}

fn policy() -> Policy {
    let errors = Match { status: Some(SpanStatus::Error), ..Match::default() };
    Policy {
        generation: 1,
        mode: Mode::Enforce,
        scope: Scope::default(),
        keep: vec![Floor { name: "errors".to_owned(), matches: errors, at_least_ppm: ALL_PPM }],
        limit: Vec::new(),
        default_ppm: Some(DEFAULT_PPM),
        head: None,
        adaptive: None,
        tag_decision: false,
    }
}

fn pipeline() -> Pipeline {
    Pipeline {
        generation: 1,
        namespaces: Namespaces::AllExcept([].into()),
        workload: Selector::default(),
        otlp: true,
        pod_logs: None,
        enrich: Enrich {
            kubernetes: EnrichKubernetes::Standard,
            pod_labels: Vec::new(),
            resource_attributes: BTreeMap::new(),
        },
        traces: vec![NAME.to_owned()],
        metrics: Vec::new(),
        logs: Vec::new(),
        delivery: Delivery {
            queue_bytes_max: 64 << 20,
            age_max_ms: 3_600_000,
            retry_initial_ms: 1000,
            retry_max_ms: 30_000,
            retry_elapsed_max_ms: 300_000,
            on_full: OnFull::DropOldest,
        },
    }
}

fn destination(address: SocketAddr) -> Destination {
    let (protocol, tenant) = (Protocol::Grpc, String::new());
    Destination {
        kind: DestinationKind::Otlp { endpoint: address.to_string(), protocol, tenant },
        tls: Tls { mode: TlsMode::Plaintext, ca: None, client: None, server_name: String::new() },
        auth: Auth::None,
        headers: BTreeMap::new(),
        compression: Compression::Zstd,
        timeout_ms: 10_000,
    }
}
