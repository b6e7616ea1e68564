//! The cluster's own cgroup: all its containers, and nothing else, live below it, so that ending
//! them cannot hit a neighbour. Works with one hierarchy (v2) and with many (v1).

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The folder of the cluster in each hierarchy; the kubelet's `cgroupRoot`.
pub(super) const NAME: &str = "sluice-cluster";

const END_LIMIT: Duration = Duration::from_secs(10);

/// Makes the cluster's cgroup in each hierarchy.
pub(super) fn make() -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(NAME);
        if hierarchy.join("cgroup.subtree_control").is_file() {
            // Those already on, or not there, answer with an error of no interest.
            for controller in ["+cpu", "+cpuset", "+io", "+memory", "+pids"] {
                let _ = fs::write(hierarchy.join("cgroup.subtree_control"), controller);
            }
        }
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        inherit_cpuset(&hierarchy, &folder)?;
    }
    Ok(())
}

/// A new v1 cpuset is empty, and an empty one takes no process.
fn inherit_cpuset(parent: &Path, folder: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(name), folder.join(name));
        if from.is_file() && to.is_file() {
            let value = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
            fs::write(&to, value).with_context(|| format!("write {}", to.display()))?;
        }
    }
    Ok(())
}

/// Kills every process of the cluster's cgroup, then removes it. Without one, does nothing.
pub(super) fn end() -> Result<()> {
    let folders: Vec<PathBuf> =
        hierarchies()?.iter().map(|hierarchy| hierarchy.join(NAME)).collect();
    let started = Instant::now();
    while !folders.iter().all(|folder| removed(folder)) {
        if started.elapsed() > END_LIMIT {
            bail!("processes in the cgroup {NAME} do not end");
        }
        for pid in folders.iter().flat_map(|folder| processes(folder)) {
            // Gone in the meantime: what was wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn processes(folder: &Path) -> Vec<i32> {
    let own = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    pids.extend(children(folder).iter().flat_map(|child| processes(child)));
    pids
}

/// Removes what can be removed; true when nothing is left.
fn removed(folder: &Path) -> bool {
    children(folder).iter().for_each(|child| {
        removed(child);
    });
    let _ = fs::remove_dir(folder);
    !folder.exists()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Where the hierarchies are mounted: the one of v2, or all of v1 with, beside them, a v2 without
/// controllers, in which container runtimes keep a cgroup too.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    let found = hierarchies_in(&mounts);
    if found.is_empty() {
        bail!("no cgroup hierarchy is mounted: containers cannot run here");
    }
    Ok(found)
}

fn hierarchies_in(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| matches!(fields.get(2), Some(&"cgroup" | &"cgroup2")))
        .filter_map(|fields| fields.get(1).map(PathBuf::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchies_of_both_versions_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let expected = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        assert_eq!(hierarchies_in(mounts), expected);
    }
}
