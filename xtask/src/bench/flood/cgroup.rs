//! A cgroup of the gateway's own with a container's limit of memory: the kernel kills what exceeds
//! it. Works with one hierarchy (v2) and with many (v1).

use std::fs;
use std::path::PathBuf;

const NAME: &str = "sluice-flood";

/// Removed when dropped; the process must have ended by then.
pub(super) struct Cgroup {
    folder: PathBuf,
    files: &'static Files,
}

struct Files {
    root: &'static str,
    /// There only in this version's root.
    shows: &'static str,
    limit: &'static str,
    peak: &'static str,
    /// Has a line with how often the kernel killed.
    events: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        root: "/sys/fs/cgroup",
        shows: "cgroup.subtree_control",
        limit: "memory.max",
        peak: "memory.peak",
        events: "memory.events",
    },
    Files {
        root: "/sys/fs/cgroup/memory",
        shows: "memory.limit_in_bytes",
        limit: "memory.limit_in_bytes",
        peak: "memory.max_usage_in_bytes",
        events: "memory.oom_control",
    },
];

impl Cgroup {
    /// `None` where this user may make none.
    pub(super) fn new(limit_bytes: u64) -> Option<Self> {
        let files = VERSIONS.iter().find(|own| PathBuf::from(own.root).join(own.shows).exists())?;
        let cgroup = Self { folder: PathBuf::from(files.root).join(NAME), files };
        // One that an ended run left has no processes; a new one is to count from zero.
        let _ = fs::remove_dir(&cgroup.folder);
        fs::create_dir(&cgroup.folder).ok()?;
        fs::write(cgroup.folder.join(files.limit), limit_bytes.to_string()).ok()?;
        Some(cgroup)
    }

    /// Whether the process is in it from now on.
    pub(super) fn enclose(&self, process: u32) -> bool {
        fs::write(self.folder.join("cgroup.procs"), process.to_string()).is_ok()
    }

    /// The most that was charged to it: with the kernel's buffers, and files that were read.
    pub(super) fn bytes_peak(&self) -> Option<u64> {
        self.read(self.files.peak)?.trim().parse().ok()
    }

    /// How often the kernel killed a process in it.
    pub(super) fn kills(&self) -> Option<u64> {
        let events = self.read(self.files.events)?;
        events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails where the process has not ended: the next run takes it.
        let _ = fs::remove_dir(&self.folder);
    }
}
