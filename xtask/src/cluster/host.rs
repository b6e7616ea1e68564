//! What the host must have before a cluster can run, and what the cluster leaves on it outside
//! its own folder.

use super::Cluster;
use crate::{commands, programs};
use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that the cluster calls, and the Debian package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("gcc", "gcc libc6-dev"),
];

/// Folders that the kubelet, containerd and the tests' own pods make at fixed places.
const MADE: &[&str] = &[
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/lib/sluice",
    "/var/log/containers",
    "/var/log/pods",
];

/// Why no cluster can run here, if so. What can be installed is no reason.
pub(super) fn obstacle() -> Option<&'static str> {
    if !geteuid().is_root() {
        return Some("the test cluster needs root (network namespaces, mounts, containers)");
    }
    if programs::found_go().is_none() {
        return Some(
            "the test cluster needs Go 1.26 or newer: its programs are built from modules",
        );
    }
    None
}

/// Makes sure that the host can run a cluster; installs missing Debian packages.
pub(super) fn prepare() -> Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        install(&missing)?;
    }
    bridge_filter()
}

fn missing() -> Vec<&'static str> {
    let absent = NEEDED.iter().filter(|(program, _)| commands::find(program).is_none());
    absent.map(|(_, package)| *package).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    let packages = packages.join(" ");
    if commands::find("apt-get").is_none() {
        bail!("missing on this host: {packages} (names of Debian packages)");
    }
    let line =
        format!("apt-get update && apt-get install --yes --no-install-recommends {packages}");
    println!("{line}");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env("DEBIAN_FRONTEND", "noninteractive");
    commands::run(&mut command)?;
    match missing().as_slice() {
        [] => Ok(()),
        still => bail!("still missing after the installation: {}", still.join(" ")),
    }
}

/// Packets between pods of the bridge must pass kube-proxy's rules.
fn bridge_filter() -> Result<()> {
    let setting = Path::new("/proc/sys/net/bridge");
    if !setting.exists() && commands::run(Command::new("modprobe").arg("br_netfilter")).is_err() {
        bail!("this kernel has no br_netfilter: Services cannot work on a bridge");
    }
    Ok(())
}

/// Remembers which of the fixed places are not there yet, so that `remove_made` knows its own.
pub(super) fn note_absent(cluster: &Cluster) -> Result<()> {
    let absent: Vec<&str> = MADE.iter().filter(|path| !Path::new(path).exists()).copied().collect();
    let note = cluster.path("absent-before");
    fs::write(&note, absent.join("\n")).with_context(|| format!("write {}", note.display()))
}

/// Whether a cluster was started in this folder: the note is the first file in it.
pub(super) fn is_noted(cluster: &Cluster) -> bool {
    cluster.path("absent-before").is_file()
}

/// Removes the fixed places that were not there before the cluster.
pub(super) fn remove_made(cluster: &Cluster) -> Result<()> {
    let note = fs::read_to_string(cluster.path("absent-before")).unwrap_or_default();
    for path in note.lines().map(PathBuf::from).filter(|path| path.exists()) {
        fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}
