//! A real Kubernetes for the tests: one node in a network namespace, all below one folder.
//! `up`, `down`, and commands that run inside its network.

mod certificates;
mod cgroups;
mod configuration;
mod control_plane;
mod down;
mod host;
mod network;
mod node;
mod processes;

use crate::{commands, programs};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub(crate) use configuration::PAUSE_IMAGE;

const NODE: &str = "node1";
/// Also the address of the cluster's DNS.
const NODE_ADDRESS: &str = "10.99.0.1";
const API_SERVICE_ADDRESS: &str = "10.96.0.1";
const SERVICE_RANGE: &str = "10.96.0.0/16";
const POD_RANGE: &str = "10.244.0.0/16";
const POD_RANGE_NODE: &str = "10.244.0.0/24";

#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Starts the cluster; does nothing when it is up.
    Up,
    /// Ends the cluster and removes everything that it made.
    Down,
    /// Tells which of its programs run, and its nodes and pods.
    Status,
    /// Runs kubectl as the cluster's admin.
    Kubectl {
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Runs a command inside the cluster's network, with KUBECONFIG and PATH set.
    Exec {
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

pub(crate) fn run(action: &Action) -> Result<()> {
    match action {
        Action::Up => up().map(drop),
        Action::Down => down(),
        Action::Status => status(),
        Action::Kubectl { arguments } => running()?.become_command("kubectl", arguments),
        Action::Exec { command } => match command.split_first() {
            Some((program, arguments)) => {
                running()?.become_command(&program.to_string_lossy(), arguments)
            }
            None => bail!("no command is given"),
        },
    }
}

/// A cluster's folder and what stands where in it.
pub(crate) struct Cluster {
    folder: PathBuf,
}

/// The folders of the programs that make up a cluster.
struct Programs {
    kube: PathBuf,
    node: PathBuf,
    coredns: PathBuf,
}

impl Programs {
    fn ensure() -> Result<Self> {
        Ok(Self {
            kube: programs::ensure("kube")?,
            node: programs::ensure("node")?,
            coredns: programs::ensure("coredns")?,
        })
    }
}

impl Cluster {
    /// The folder is `$SLUICE_CLUSTER`, or `/run/sluice-cluster`.
    fn at_its_place() -> Self {
        let setting = std::env::var_os("SLUICE_CLUSTER").filter(|folder| !folder.is_empty());
        Self { folder: setting.map_or_else(|| "/run/sluice-cluster".into(), PathBuf::from) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn certificate(&self, name: &str) -> PathBuf {
        self.path("certificates").join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(format!("{name}.log"))
    }

    /// The client configuration of a user; tests are `admin`.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path("kubeconfigs").join(user)
    }

    /// Every request to the API server, one JSON object a line.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.log("audit")
    }

    fn network_argument(&self) -> String {
        format!("--net={}", self.path("network").display())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// A command that will run inside the cluster's network.
    fn inside(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.network_argument()).arg(program.as_ref());
        command
    }

    /// A command inside the cluster's network that finds the cluster and all built programs.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        if programs::sets()?.iter().any(|set| set == program) {
            programs::ensure(program)?;
        }
        let mut folders = programs::present()?;
        folders.extend(std::env::split_paths(&commands::search_path()));
        let path = std::env::join_paths(folders).context("join PATH")?;
        let mut command = self.inside(program);
        command.env("PATH", path).env("KUBECONFIG", self.kubeconfig("admin"));
        Ok(command)
    }

    /// Runs kubectl as admin and gives its output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        commands::output(self.command("kubectl")?.args(arguments))
    }

    /// Becomes the command; returns only when that fails.
    fn become_command(&self, program: &str, arguments: &[OsString]) -> Result<()> {
        let error = self.command(program)?.args(arguments).exec();
        Err(error).with_context(|| format!("start {program}"))
    }

    /// Puts an image archive on the node.
    pub(crate) fn import(&self, archive: &Path) -> Result<()> {
        node::import_with(self, &Programs::ensure()?, archive)
    }

    fn is_up(&self) -> bool {
        self.path("up").is_file()
            && processes::recorded(self).iter().all(processes::Recorded::is_alive)
    }
}

/// Why no cluster can run on this machine, if so; a person can read it.
pub(crate) fn obstacle() -> Option<&'static str> {
    host::obstacle()
}

/// The cluster, if it is up.
pub(crate) fn running() -> Result<Cluster> {
    let cluster = Cluster::at_its_place();
    if !cluster.is_up() {
        bail!("the cluster is not up: run `cargo xtask cluster up`");
    }
    Ok(cluster)
}

/// Starts the cluster, unless it is up; what is left of an earlier one goes first.
pub(crate) fn up() -> Result<Cluster> {
    let cluster = Cluster::at_its_place();
    if cluster.is_up() {
        println!("the cluster is already up in {}", cluster.folder.display());
        return Ok(cluster);
    }
    if let Some(obstacle) = obstacle() {
        bail!("{obstacle}");
    }
    host::prepare()?;
    let programs = Programs::ensure()?;
    if cluster.folder.exists() {
        println!("removing what is left of an earlier cluster");
        down::end(&cluster)?;
    }
    println!("starting the cluster in {}", cluster.folder.display());
    let started = Instant::now();
    make_folders(&cluster)?;
    network::make(&cluster)?;
    node::start_containerd(&cluster, &programs)?;
    control_plane::start(&cluster, &programs)?;
    node::start(&cluster, &programs)?;
    control_plane::wait_for_defaults(&cluster)?;
    node::wait_until_ready(&cluster)?;
    cluster.write("up", "")?;
    println!("the cluster is up after {:.1} s", started.elapsed().as_secs_f64());
    println!("  kubeconfig  {} (inside its network)", cluster.kubeconfig("admin").display());
    println!("  kubectl     cargo xtask cluster kubectl -- get pods --all-namespaces");
    println!("  anything    cargo xtask cluster exec -- COMMAND");
    Ok(cluster)
}

fn make_folders(cluster: &Cluster) -> Result<()> {
    let create = |path: &Path| {
        fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))
    };
    create(&cluster.folder)?;
    host::note_absent(cluster)?;
    for name in ["certificates", "kubeconfigs", "logs", "processes"] {
        create(&cluster.path(name))?;
    }
    cgroups::make()?;
    certificates::write(&cluster.path("certificates"))?;
    for user in ["admin", "controller-manager", "coredns", "kube-proxy", "kubelet", "scheduler"] {
        let config = configuration::kubeconfig(cluster, user).to_string();
        cluster.write(&format!("kubeconfigs/{user}"), &config)?;
    }
    Ok(())
}

/// Ends the cluster and removes everything that it made. Without one, says so.
pub(crate) fn down() -> Result<()> {
    let cluster = Cluster::at_its_place();
    if !cluster.folder.exists() {
        println!("no cluster in {}", cluster.folder.display());
        return Ok(());
    }
    let started = Instant::now();
    down::end(&cluster)?;
    println!("the cluster is gone after {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn status() -> Result<()> {
    let cluster = Cluster::at_its_place();
    for process in processes::recorded(&cluster) {
        let state = if process.is_alive() { "running" } else { "ended" };
        let megabytes = process.memory() / 1_000_000;
        println!("{:20} {state:8} pid {:7} {megabytes:5} MB", process.name, process.pid);
    }
    let cluster = running()?;
    print!("{}", cluster.kubectl(&["get", "nodes,pods", "--all-namespaces"])?);
    Ok(())
}
