//! The cluster's one node: containerd, the kubelet, kube-proxy, and the DNS of its pods.

use super::{Cluster, NODE, NODE_ADDRESS, Programs, configuration, processes};
use crate::{commands, image};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const READY_LIMIT: Duration = Duration::from_secs(90);

/// Starts containerd, which needs nothing of the control plane.
pub(super) fn start_containerd(cluster: &Cluster, programs: &Programs) -> Result<()> {
    for folder in ["pod-network", "registries", "static-pods", "kubelet"] {
        let path = cluster.path(folder);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    let network = configuration::pod_network(cluster).to_string();
    cluster.write("pod-network/10-sluice.conflist", &network)?;
    let runc = commands::find("runc").context("find runc")?;
    let settings = configuration::containerd(cluster, &programs.node, &runc);
    cluster.write("containerd.toml", &settings)?;
    let config = format!("--config={}", cluster.path("containerd.toml").display());
    processes::start(cluster, "containerd", &programs.node.join("containerd"), &[config])
}

/// Starts the rest of the node; it registers itself at the API server.
pub(super) fn start(cluster: &Cluster, programs: &Programs) -> Result<()> {
    cluster.write("Corefile", &configuration::corefile(cluster))?;
    let corefile = format!("-conf={}", cluster.path("Corefile").display());
    processes::start(cluster, "coredns", &programs.coredns.join("coredns"), &[corefile])?;

    processes::wait(cluster, "containerd answers", READY_LIMIT, || {
        commands::output(ctr(cluster, programs).arg("version")).is_ok()
    })?;
    let pause = cluster.path("pause.tar");
    image::pause(&pause)?;
    import_with(cluster, programs, &pause)?;

    // Empty: what a pod asks of the host's resolver must not leave the cluster.
    cluster.write("resolv.conf", "")?;
    cluster.write("kubelet.json", &configuration::kubelet(cluster).to_string())?;
    processes::start(cluster, "kubelet", &programs.kube.join("kubelet"), &kubelet_flags(cluster))?;
    cluster.write("kube-proxy.json", &configuration::kube_proxy(cluster).to_string())?;
    let config = format!("--config={}", cluster.path("kube-proxy.json").display());
    processes::start(cluster, "kube-proxy", &programs.kube.join("kube-proxy"), &[config])
}

/// Waits until pods can run, reach Services and resolve names.
pub(super) fn wait_until_ready(cluster: &Cluster) -> Result<()> {
    let answers = |server: &str, path: &str| {
        let server = format!("--server=http://{server}");
        cluster.kubectl(&[&server, "get", "--raw", path]).is_ok()
    };
    processes::wait(cluster, "node ready", READY_LIMIT, || {
        let node = format!("node/{NODE}");
        cluster.kubectl(&["wait", "--for=condition=Ready", &node, "--timeout=1s"]).is_ok()
    })?;
    processes::wait(cluster, "kube-proxy ready", READY_LIMIT, || {
        answers("127.0.0.1:10256", "/healthz")
    })?;
    processes::wait(cluster, "DNS ready", READY_LIMIT, || {
        answers(&format!("{NODE_ADDRESS}:8181"), "/ready")
    })
}

/// Puts an image archive on the node.
pub(super) fn import_with(cluster: &Cluster, programs: &Programs, archive: &Path) -> Result<()> {
    let mut command = ctr(cluster, programs);
    command.args(["--namespace", "k8s.io", "images", "import"]).arg(archive);
    commands::output(&mut command).map(drop)
}

fn ctr(cluster: &Cluster, programs: &Programs) -> Command {
    let mut command = Command::new(programs.node.join("ctr"));
    command.arg("--address").arg(cluster.path("containerd.sock"));
    command
}

fn kubelet_flags(cluster: &Cluster) -> Vec<String> {
    vec![
        format!("--config={}", cluster.path("kubelet.json").display()),
        format!("--kubeconfig={}", cluster.kubeconfig("kubelet").display()),
        format!("--root-dir={}", cluster.path("kubelet").display()),
        format!("--cert-dir={}", cluster.path("kubelet/pki").display()),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={NODE_ADDRESS}"),
    ]
}
