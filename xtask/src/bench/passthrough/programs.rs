//! How the programs are set up to pass traces through: the same batches, limits and codec.

use crate::contest::message::Codec;
use crate::contest::programs::{Contender, Place, Programs};
use anyhow::{Context, Result};
use sluice_engine::config::sampling::Sampling;
use sluice_engine::config::{
    Auth, Batch, Cluster, Compression, Config, Delivery, Destination, DestinationKind, Enrich,
    EnrichKubernetes, FORMAT, Limiter, Namespaces, OnFull, Pipeline, Protocol, Receivers, Selector,
    Tls, TlsMode,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Below the root of the work tree.
pub(super) const PEER_CONFIGURATION: &str = "xtask/bench/otelcol.yaml";

pub(super) fn command(
    programs: &Programs,
    contender: Contender,
    codec: Codec,
    place: &Place,
) -> Result<Command> {
    match contender {
        Contender::Sluice => agent(programs, codec, place),
        Contender::Otelcol => {
            Ok(crate::bench::peer::command(programs, PEER_CONFIGURATION, codec, place))
        }
    }
}

/// The agent outside a cluster, started from what the kubelet would have mounted.
fn agent(programs: &Programs, codec: Codec, place: &Place) -> Result<Command> {
    let folder = place.folder.path();
    let boot_strap = folder.join("boot-strap");
    fs::create_dir(&boot_strap).context("make the boot-strap folder")?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&config(codec, place).to_bytes()).context("pack the config")?;
    let packed = gzip.finish().context("pack the config")?;
    fs::write(boot_strap.join("config.json.gz"), packed).context("write the config")?;
    let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
    let mut command = Command::new(&programs.agent);
    command
        .args(["run", "--bind=127.0.0.1"])
        .arg(option("data-folder", &folder.join("data")))
        .arg(option("boot-strap", &boot_strap))
        .arg(format!("--metrics-port={}", place.metrics))
        // Set, they would make it look for the pods of a cluster.
        .env_remove("NODE_NAME")
        .env_remove("POD_IP");
    Ok(command)
}

/// What the planner compiles from a Collector with all defaults, one pipeline for the cluster that
/// refuses rather than drops, and one destination.
pub(in crate::bench) fn config(codec: Codec, place: &Place) -> Config {
    const MIB: u64 = 1 << 20;
    let name = "sluice-system/bench".to_owned();
    Config {
        format: FORMAT,
        cluster: Cluster { name: "bench".to_owned(), ..Cluster::default() },
        receivers: Receivers {
            grpc_port: place.grpc,
            grpc_message_bytes_max: 16 * MIB,
            grpc_connection_age_max_ms: 3_600_000,
            http_port: place.http,
            http_body_bytes_max: 16 * MIB,
            jaeger_remote_sampling: None,
        },
        batch: Batch { timeout_ms: 5000, items: 8192, bytes_max: 4 * MIB },
        limiter: Limiter { soft_bytes: 300 * MIB, hard_bytes: 400 * MIB, check_interval_ms: 1000 },
        metrics_port: place.metrics,
        destinations: BTreeMap::from([(name.clone(), otlp(codec, place))]),
        pipelines: BTreeMap::from([(name.clone(), pipeline(name))]),
        sampling: Sampling::default(),
        gateway: Default::default(),
    }
}

fn otlp(codec: Codec, place: &Place) -> Destination {
    Destination {
        kind: DestinationKind::Otlp {
            endpoint: place.destination.to_string(),
            protocol: Protocol::Grpc,
            tenant: String::new(),
        },
        tls: Tls { mode: TlsMode::Plaintext, ca: None, client: None, server_name: String::new() },
        auth: Auth::None,
        headers: BTreeMap::new(),
        compression: compression(codec),
        timeout_ms: 10_000,
    }
}

pub(in crate::bench) fn compression(codec: Codec) -> Compression {
    match codec {
        Codec::Plain => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Zstd => Compression::Zstd,
    }
}

/// Sluice stamps each resource and removes what a sender may not claim; the peer does not.
fn pipeline(destination: String) -> Pipeline {
    Pipeline {
        generation: 1,
        namespaces: Namespaces::AllExcept(BTreeSet::new()),
        workload: Selector::default(),
        otlp: true,
        pod_logs: None,
        enrich: Enrich {
            kubernetes: EnrichKubernetes::Standard,
            pod_labels: Vec::new(),
            resource_attributes: BTreeMap::new(),
        },
        traces: vec![destination],
        metrics: Vec::new(),
        logs: Vec::new(),
        delivery: Delivery {
            queue_bytes_max: 64 << 20,
            age_max_ms: 3_600_000,
            retry_initial_ms: 1000,
            retry_max_ms: 30_000,
            retry_elapsed_max_ms: 300_000,
            on_full: OnFull::Block,
        },
    }
}
