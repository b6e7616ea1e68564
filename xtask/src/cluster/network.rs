//! The cluster's network: a namespace without a way out, in which an empty bridge holds the
//! node's address and the route to Services.

use super::{Cluster, NODE_ADDRESS, SERVICE_RANGE};
use crate::commands;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use std::fs::{self, File};
use std::process::Command;

pub(super) fn make(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.path("network");
    File::create(&namespace).with_context(|| format!("create {}", namespace.display()))?;
    let hold = format!("--net={}", namespace.display());
    commands::output(Command::new("unshare").arg(hold).arg("true"))?;

    let address = format!("{NODE_ADDRESS}/24");
    let steps: &[&[&str]] = &[
        &["link", "set", "lo", "up"],
        &["link", "add", "node0", "type", "bridge"],
        &["address", "add", &address, "dev", "node0"],
        &["link", "set", "node0", "up"],
        &["route", "add", SERVICE_RANGE, "dev", "node0"],
        // What is not here fails at once instead of waiting for an answer that never comes.
        &["route", "add", "unreachable", "default"],
    ];
    for step in steps {
        commands::output(cluster.inside("ip").args(*step))?;
    }
    for setting in ["ipv4/ip_forward", "bridge/bridge-nf-call-iptables"] {
        let line = format!("echo 1 > /proc/sys/net/{setting}");
        commands::output(cluster.inside("sh").args(["-c", &line]))?;
    }
    Ok(())
}

/// Unmounts everything below the cluster's folder, innermost first: the network namespace, those
/// of pods, root file systems and volumes.
pub(super) fn unmount(cluster: &Cluster) -> Result<()> {
    for path in mounted(cluster)?.iter().rev() {
        match umount2(path.as_str(), MntFlags::MNT_DETACH) {
            // Whoever cleans up after a shim was faster.
            Err(Errno::EINVAL | Errno::ENOENT) if !mounted(cluster)?.contains(path) => {}
            unmounted => unmounted.with_context(|| format!("unmount {path}"))?,
        }
    }
    Ok(())
}

/// What is mounted below the cluster's folder, outermost first.
fn mounted(cluster: &Cluster) -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    let below = format!("{}/", cluster.folder.display());
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut paths: Vec<_> =
        paths.filter(|path| path.starts_with(&below)).map(str::to_owned).collect();
    paths.sort_unstable();
    Ok(paths)
}
