//! The flags of `sluice-agent`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// Sluice's collector on a node: takes OTLP and container logs, routes, enriches and delivers.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Without --node it runs outside a cluster: senders are believed, and no pod logs are read.
  sluice-agent run --boot-strap ./config --data-folder ./data --bind 127.0.0.1"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
    /// What is logged, such as `info` or `sluice_agent=debug`.
    #[arg(long, global = true, default_value = "info", env = "SLUICE_LOG")]
    pub log: String,
    #[arg(long, global = true, value_enum, default_value = "json", env = "SLUICE_LOG_FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Takes OTLP and container logs of its node.
    Agent,
    /// Holds the traces that agents send it, and decides them.
    Gateway,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Collects until it is told to stop (SIGTERM), then sends what it holds.
    Run(Box<RunArguments>),
    /// Makes the state folder writable for group 0; for an init container.
    PrepareState {
        /// The folder.
        #[arg(long)]
        path: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Which part of the fleet this is.
    #[arg(long, value_enum, default_value = "agent")]
    pub role: RoleName,
    /// Name of the Collector object that this agent belongs to.
    #[arg(long, default_value = "default")]
    pub fleet: String,
    /// Checkpoints of pod logs, the last good config, and `File` destinations.
    #[arg(long, default_value = "/var/lib/sluice")]
    pub data_folder: PathBuf,
    /// Folder with `config.json.gz` (and its further parts), read while the operator is away.
    #[arg(long)]
    pub boot_strap: Option<PathBuf>,
    /// `host:port` of the operator's control stream; without it the config never changes.
    #[arg(long)]
    pub operator: Option<String>,
    /// PEM file of the authority that signed the operator's certificate.
    #[arg(long, requires = "operator")]
    pub operator_ca: Option<PathBuf>,
    /// File with this pod's token for the operator.
    #[arg(long, requires = "operator")]
    pub operator_token: Option<PathBuf>,
    /// File with this pod's token for gateways.
    #[arg(long, requires = "operator")]
    pub gateway_token: Option<PathBuf>,
    /// Users that may send to this gateway, as the API server names them; repeatable.
    #[arg(long = "peer")]
    pub peers: Vec<String>,
    /// The kubelet's folder of container logs; without it none are read.
    #[arg(long)]
    pub pod_logs: Option<PathBuf>,
    /// Port of `/metrics`, `/healthz` and `/readyz`.
    #[arg(long, default_value_t = 8888)]
    pub metrics_port: u16,
    /// Address to listen on; all of them by default.
    #[arg(long)]
    pub bind: Option<IpAddr>,
    /// Name of the node whose pods are known by their addresses.
    #[arg(long, env = "NODE_NAME")]
    pub node: Option<String>,
    /// This pod's name; a gateway finds itself in the ring by it.
    #[arg(long, env = "POD_NAME", required_if_eq("role", "gateway"))]
    pub pod_name: Option<String>,
    /// This pod's address.
    #[arg(long, env = "POD_IP")]
    pub pod_ip: Option<IpAddr>,
    /// Outside a cluster: Secrets as files `<namespace>/<name>/<key>`.
    #[arg(long, conflicts_with = "node")]
    pub secrets_folder: Option<PathBuf>,
    /// Threads; by default one a core, at most four.
    #[arg(long)]
    pub workers: Option<usize>,
    /// Between two reports to the operator, when nothing changes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub report_seconds: u64,
    /// For the shutdown; below the pod's grace period.
    #[arg(long, default_value_t = 25)]
    pub shutdown_seconds: u64,
}
