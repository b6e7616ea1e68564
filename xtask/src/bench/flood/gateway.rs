//! The gateway: one process with the limits that its container's memory gives it.

use super::cgroup::Cgroup;
use crate::bench::passthrough::programs;
use crate::contest::message::Codec;
use crate::contest::process::Process;
use crate::contest::programs::Place;
use anyhow::{Context, Result};
use serde_json::json;
use sluice_crds::CollectorSpec;
use sluice_engine::config::gateway::Gateway as Gateways;
use sluice_engine::config::sampling::{ALL_PPM, Floor, Match, Mode, Policy, SpanStatus};
use sluice_engine::config::sampling::{Sampling, Scope, Tail};
use sluice_engine::config::{Config, Limiter, OnFull};
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
/// Of the policy.
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

/// The usual one, but that what is too much for the destination makes the oldest go.
fn config(place: &Place, limiter: Limiter) -> Config {
    let mut config = programs::config(Codec::Zstd, place);
    config.pipelines.values_mut().for_each(|own| own.delivery.on_full = OnFull::DropOldest);
    Config {
        limiter: limiter.clone(),
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
        ..config
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
