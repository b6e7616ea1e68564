//! The two programs that are compared, and how each is set up: the same batches, limits and codec.

use super::corpus::Codec;
use super::process::Process;
use crate::{commands, image, programs};
use anyhow::{Context, Result};
use sluice_engine::config::{
    Auth, Batch, Cluster, Compression, Config, Delivery, Destination, DestinationKind, Enrich,
    EnrichKubernetes, FORMAT, Limiter, Namespaces, OnFull, Pipeline, Protocol, Receivers, Selector,
    Tls, TlsMode,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Below the root of the work tree.
pub(super) const PEER_CONFIGURATION: &str = "xtask/bench/otelcol.yaml";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    Sluice,
    Otelcol,
}

impl Contender {
    pub(super) const BOTH: [Self; 2] = [Self::Sluice, Self::Otelcol];
}

/// What is run, built before anything is measured.
pub(super) struct Programs {
    pub(super) sluice: PathBuf,
    pub(super) otelcol: PathBuf,
}

/// Runs until it is stopped or dropped.
pub(super) struct Running {
    pub(super) process: Process,
    /// Where it takes OTLP/gRPC.
    pub(super) address: SocketAddr,
    /// Its configuration and its state.
    _folder: TempDir,
}

impl Programs {
    pub(super) fn build() -> Result<Self> {
        // The image's own programs: what is measured is what is shipped.
        let built = image::release_programs(image::PACKAGES)?;
        let sluice = built.into_iter().find(|program| program.ends_with("sluice-agent"));
        let sluice = sluice.context("the release build made no sluice-agent")?;
        Ok(Self { sluice, otelcol: programs::ensure("otelcol")?.join("otelcol") })
    }

    pub(super) fn path(&self, contender: Contender) -> &Path {
        match contender {
            Contender::Sluice => &self.sluice,
            Contender::Otelcol => &self.otelcol,
        }
    }

    /// As the program says it: `name version number`.
    pub(super) fn version(&self, contender: Contender) -> Result<String> {
        let said = commands::output(Command::new(self.path(contender)).arg("--version"))?;
        Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
    }

    /// Returns once it listens.
    pub(super) async fn start(
        &self,
        contender: Contender,
        codec: Codec,
        destination: SocketAddr,
    ) -> Result<Running> {
        let folder = tempfile::tempdir().context("make a folder for the program")?;
        let ports = Ports { grpc: free_port()?, http: free_port()?, metrics: free_port()? };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.grpc));
        let mut command = Command::new(self.path(contender));
        match contender {
            Contender::Sluice => {
                set_up_sluice(&mut command, folder.path(), &ports, codec, destination)?
            }
            Contender::Otelcol => set_up_otelcol(&mut command, &ports, codec, destination),
        }
        let mut process = Process::start(&mut command, folder.path())?;
        process.listens(address).await?;
        Ok(Running { process, address, _folder: folder })
    }
}

struct Ports {
    grpc: u16,
    http: u16,
    metrics: u16,
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}

fn set_up_otelcol(command: &mut Command, ports: &Ports, codec: Codec, destination: SocketAddr) {
    let compression = match codec {
        Codec::Plain => "none",
        Codec::Gzip => "gzip",
        Codec::Zstd => "zstd",
    };
    command
        .arg("--config")
        .arg(crate::root().join(PEER_CONFIGURATION))
        .env("BENCH_GRPC_PORT", ports.grpc.to_string())
        .env("BENCH_METRICS_PORT", ports.metrics.to_string())
        .env("BENCH_DESTINATION_PORT", destination.port().to_string())
        .env("BENCH_COMPRESSION", compression);
}

/// The agent outside a cluster, started from what the kubelet would have mounted.
fn set_up_sluice(
    command: &mut Command,
    folder: &Path,
    ports: &Ports,
    codec: Codec,
    destination: SocketAddr,
) -> Result<()> {
    let config = config(ports, codec, destination);
    let boot_strap = folder.join("boot-strap");
    fs::create_dir(&boot_strap).context("make the boot-strap folder")?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&config.to_bytes()).context("pack the config")?;
    let packed = gzip.finish().context("pack the config")?;
    fs::write(boot_strap.join("config.json.gz"), packed).context("write the config")?;
    let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
    command
        .args(["run", "--bind=127.0.0.1"])
        .arg(option("data-folder", &folder.join("data")))
        .arg(option("boot-strap", &boot_strap))
        .arg(format!("--metrics-port={}", ports.metrics))
        // Set, they would make it look for the pods of a cluster.
        .env_remove("NODE_NAME")
        .env_remove("POD_IP");
    Ok(())
}

/// What the planner compiles from a Collector with all defaults, one pipeline for the cluster that
/// refuses rather than drops, and one destination.
fn config(ports: &Ports, codec: Codec, destination: SocketAddr) -> Config {
    const MIB: u64 = 1 << 20;
    let name = "sluice-system/bench".to_owned();
    Config {
        format: FORMAT,
        cluster: Cluster { name: "bench".to_owned(), ..Cluster::default() },
        receivers: Receivers {
            grpc_port: ports.grpc,
            grpc_message_bytes_max: 16 * MIB,
            grpc_connection_age_max_ms: 3_600_000,
            http_port: ports.http,
            http_body_bytes_max: 16 * MIB,
        },
        batch: Batch { timeout_ms: 5000, items: 8192, bytes_max: 4 * MIB },
        limiter: Limiter { soft_bytes: 300 * MIB, hard_bytes: 400 * MIB, check_interval_ms: 1000 },
        metrics_port: ports.metrics,
        destinations: BTreeMap::from([(name.clone(), otlp(codec, destination))]),
        pipelines: BTreeMap::from([(name.clone(), pipeline(name))]),
    }
}

fn otlp(codec: Codec, destination: SocketAddr) -> Destination {
    Destination {
        kind: DestinationKind::Otlp {
            endpoint: destination.to_string(),
            protocol: Protocol::Grpc,
            tenant: String::new(),
        },
        tls: Tls { mode: TlsMode::Plaintext, ca: None, client: None, server_name: String::new() },
        auth: Auth::None,
        headers: BTreeMap::new(),
        compression: match codec {
            Codec::Plain => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Zstd => Compression::Zstd,
        },
        timeout_ms: 10_000,
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
