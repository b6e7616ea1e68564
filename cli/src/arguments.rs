//! What may be said on the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Environment: NO_COLOR for text without colours, SLUICE_LOG for more of the log (info, debug).

Exit codes:
  0  all is well: the books balance, the objects are valid, the answer is there
  1  it is not: the books do not balance, an object would be refused, no answer
  2  wrong use: an unknown flag, a file that cannot be read
  3  something outside failed: a port is taken, a folder cannot be written";

/// Telemetry pipelines on a laptop: the same planner and engine that run in a cluster, on the same
/// YAML files.
#[derive(Parser)]
#[command(name = "sluice", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the collector of these files in this process, on 127.0.0.1.
    ///
    /// What arrives by OTLP is routed by its resource attribute k8s.namespace.name, which is
    /// believed here; in a cluster the sending pod decides. Pod logs are not read.
    #[command(after_help = EXIT_CODES)]
    Run(Run),
    /// Says what the API server and the operator would say to these files, without either.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Prints the objects that the operator would apply for these files.
    #[command(after_help = EXIT_CODES)]
    Render(Render),
    /// Says what became of something, and why.
    #[command(after_help = EXIT_CODES)]
    Explain(Explain),
    /// Waits until an http:// address answers with 200.
    #[command(after_help = EXIT_CODES)]
    Probe(Probe),
    /// Prints the version.
    Version,
}

#[derive(Args)]
pub(crate) struct Run {
    /// Files or folders to read; - is stdin. A folder's kustomization.yaml, if there is one, says
    /// which of its files count.
    #[arg(default_value = ".", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Feeds a small shop's traces, metrics and logs to the OTLP port.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Requests a second that the demo's shop serves.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub(crate) rate: u32,
    /// The demo's ids and decisions follow from it; without it, each run has its own.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Ends after this time, e.g. 20s; without it, on Ctrl-C.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(crate) time: Option<Duration>,
    /// Sends to files below this folder instead of the real destinations:
    /// DIR/<namespace>/<destination>/<signal>.jsonl.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// The collector's data folder: where destinations of type File write.
    #[arg(long, default_value = "sluice-data", value_name = "DIR", conflicts_with = "to")]
    pub(crate) data: PathBuf,
    /// The Collector to run, when there are several.
    #[arg(long, value_name = "NAME")]
    pub(crate) collector: Option<String>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) bind: IpAddr,
    /// The port for OTLP over gRPC; 0 takes any; without it, the Collector's (4317).
    #[arg(long, value_name = "PORT")]
    pub(crate) grpc_port: Option<u16>,
    /// The port for OTLP over HTTP; 0 takes any; without it, the Collector's (4318).
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<u16>,
    /// The port for /metrics, /healthz and /readyz; 0 takes any.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) metrics_port: u16,
    /// Where the Secrets are that Destinations name: DIR/<namespace>/<secret>/<key>.
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
    /// How long the queues may take to empty at the end.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) drain: Duration,
    /// Prints JSON, an object a line: second, condition, summary.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

#[derive(Args)]
pub(crate) struct Check {
    /// Files or folders to read; - is stdin.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// A reference to an object that is not in these files is an error, not a warning.
    #[arg(long)]
    pub(crate) strict: bool,
    /// For people or for programs.
    #[arg(short, long, value_enum, default_value_t = CheckFormat::Text)]
    pub(crate) output: CheckFormat,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    Text,
    Json,
}

#[derive(Args)]
pub(crate) struct Render {
    /// Files or folders to read; - is stdin.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Prints, instead, the Roles that let the collectors read the Secrets which the Destinations
    /// name. Who owns the Secrets applies them.
    #[arg(long)]
    pub(crate) rbac: bool,
    /// YAML documents, or one JSON List.
    #[arg(short, long, value_enum, default_value_t = RenderFormat::Yaml)]
    pub(crate) output: RenderFormat,
    /// The image where a Collector names none.
    #[arg(long, default_value = concat!("sluice:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderFormat {
    Yaml,
    Json,
}

#[derive(Args)]
pub(crate) struct Explain {
    #[command(subcommand)]
    pub(crate) subject: Subject,
}

#[derive(Subcommand)]
pub(crate) enum Subject {
    /// Whether a trace was kept: by which rule, with which probability, when.
    ///
    /// Collectors remember their last decisions, some ten thousand each. With --cluster the operator
    /// asks all gateways; without it one collector is asked, such as a running `sluice run`.
    #[command(after_help = EXIT_CODES)]
    Trace(ExplainTrace),
}

#[derive(Args)]
pub(crate) struct ExplainTrace {
    /// The trace's id: 32 hexadecimal digits.
    #[arg(value_parser = sluice_agent::decisions::parse_trace_id, value_name = "ID")]
    pub(crate) id: u128,
    /// Where the collector has its metrics, on this machine.
    #[arg(long, default_value = "127.0.0.1:8888", value_name = "HOST:PORT")]
    pub(crate) at: String,
    /// Asks the cluster that kubectl is set to, by way of its operator.
    #[arg(long, conflicts_with = "at")]
    pub(crate) cluster: bool,
    /// Where the operator runs.
    #[arg(long, default_value = "sluice-system", value_name = "NAMESPACE")]
    pub(crate) system_namespace: String,
    /// For people or for programs.
    #[arg(short, long, value_enum, default_value_t = ExplainFormat::Text)]
    pub(crate) output: ExplainFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    Text,
    Json,
}

#[derive(Args)]
pub(crate) struct Cluster {
    /// The operator's own namespace, whose objects may act on the whole cluster.
    #[arg(long, default_value = "sluice-system", value_name = "NAMESPACE")]
    pub(crate) system_namespace: String,
}

#[derive(Args)]
pub(crate) struct Probe {
    /// http://host:port/path
    pub(crate) address: String,
    /// How long to try.
    #[arg(long = "for", default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) time: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<sluice_crds::Duration>().map_err(|error| error.to_string())?;
    Ok(duration.std())
}
