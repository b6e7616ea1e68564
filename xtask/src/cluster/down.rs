//! Ends what the cluster started, and only that: by recorded pid, by the cluster's own cgroup, by
//! the socket that a shim was started for. Then removes what is left of it on the host.

use super::processes::{self, Recorded};
use super::{Cluster, cgroups, host, network};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

const END_LIMIT: Duration = Duration::from_secs(10);

pub(super) fn end(cluster: &Cluster) -> Result<()> {
    if !host::is_noted(cluster) {
        bail!("{} is no cluster's folder; it is left alone", cluster.folder.display());
    }
    let mut recorded = processes::recorded(cluster);
    let containerd = take(&mut recorded, "containerd");
    // First what would start containers anew, then the containers, then their runtime. There is
    // no state to save: everything that the programs wrote goes with the folder.
    kill_all(&recorded)?;
    cgroups::end()?;
    end_shims(cluster);
    kill_all(&containerd)?;
    network::unmount(cluster)?;
    host::remove_made(cluster)?;
    fs::remove_dir_all(&cluster.folder)
        .with_context(|| format!("remove {}", cluster.folder.display()))
}

fn take(recorded: &mut Vec<Recorded>, name: &str) -> Vec<Recorded> {
    recorded.extract_if(.., |process| process.name == name).collect()
}

fn kill_all(processes: &[Recorded]) -> Result<()> {
    for process in processes {
        process.signal(Signal::SIGKILL);
    }
    if !processes::ended(processes, END_LIMIT) {
        let names: Vec<&str> = processes.iter().map(|process| process.name.as_str()).collect();
        bail!("still running: {}", names.join(", "));
    }
    Ok(())
}

/// A shim outlives containerd by design; it names containerd's socket in its arguments.
fn end_shims(cluster: &Cluster) {
    let socket = cluster.path("containerd.sock").display().to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if is_shim_of(&line, &socket) {
            // Gone in the meantime: what was wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn is_shim_of(command_line: &str, socket: &str) -> bool {
    let words: Vec<&str> = command_line.split('\0').collect();
    words.first().is_some_and(|program| program.ends_with("containerd-shim-runc-v2"))
        && words.windows(2).any(|pair| pair == ["-address", socket])
}

#[cfg(test)]
mod tests {
    use super::is_shim_of;

    #[test]
    fn a_shim_of_another_containerd_is_not_ours() {
        let line = "/b/containerd-shim-runc-v2\0-namespace\0k8s.io\0-address\0/run/ours.sock\0";
        assert!(is_shim_of(line, "/run/ours.sock"));
        assert!(!is_shim_of(line, "/run/other.sock"));
        assert!(!is_shim_of("/bin/cat\0-address\0/run/ours.sock\0", "/run/ours.sock"));
    }
}
