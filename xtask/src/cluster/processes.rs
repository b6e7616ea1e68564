//! The cluster's programs as processes: each with a session of its own, a log, and a record (pid
//! and start time) by which a later call finds exactly it again.

use super::Cluster;
use crate::commands;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A process that an earlier call, or this one, started.
pub(super) struct Recorded {
    pub(super) name: String,
    pub(super) pid: i32,
    /// Clock ticks between boot and its start: tells it from a later process with the same pid.
    started: u64,
}

impl Recorded {
    pub(super) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Signals the process if it is still the one that was started.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // Gone in the meantime: what was wanted.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Resident memory in bytes, 0 when it has ended.
    pub(super) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        kilobytes.unwrap_or(0) * 1024
    }
}

/// Starts a program inside the cluster's network and records it.
pub(super) fn start(
    cluster: &Cluster,
    name: &str,
    program: &Path,
    arguments: &[String],
) -> Result<()> {
    let log = cluster.log(name);
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let errors = output.try_clone().with_context(|| format!("open {}", log.display()))?;
    // A shim and the CNI plugins are found on the PATH of who starts them.
    let beside = program.parent().unwrap_or(Path::new("/"));
    let child = Command::new("setsid")
        .arg("nsenter")
        .arg(cluster.network_argument())
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", format!("{}:{}", beside.display(), commands::search_path()))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let pid = i32::try_from(child.id()).context("read a pid")?;
    let started = start_time(pid).with_context(|| format!("{name} ended at once"))?;
    let record = cluster.path("processes").join(name);
    fs::write(&record, format!("{pid} {started}"))
        .with_context(|| format!("write {}", record.display()))
}

/// All recorded processes, sorted by name.
pub(super) fn recorded(cluster: &Cluster) -> Vec<Recorded> {
    let entries = fs::read_dir(cluster.path("processes")).into_iter().flatten().flatten();
    let mut found: Vec<Recorded> = entries
        .filter_map(|entry| {
            let record = fs::read_to_string(entry.path()).ok()?;
            let (pid, started) = record.split_once(' ')?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Some(Recorded { name, pid: pid.parse().ok()?, started: started.parse().ok()? })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Waits until `ready` holds; fails when the limit passes or any process of the cluster ends.
pub(super) fn wait(
    cluster: &Cluster,
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> bool,
) -> Result<()> {
    let started = Instant::now();
    while !ready() {
        if let Some(ended) = recorded(cluster).iter().find(|process| !process.is_alive()) {
            bail!("{} has ended:\n{}", ended.name, log_end(&cluster.log(&ended.name)));
        }
        if started.elapsed() > limit {
            bail!("{what} did not come within {limit:?}; logs: {}", cluster.path("logs").display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("  {what} ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(())
}

/// Waits until none of the processes is alive; false when the limit passes first.
pub(super) fn ended(processes: &[Recorded], limit: Duration) -> bool {
    let started = Instant::now();
    while processes.iter().any(Recorded::is_alive) {
        if started.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The start time of a process that runs; `None` for one that has ended, a zombie included.
fn start_time(pid: i32) -> Option<u64> {
    start_time_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): after the name in parentheses, field 3 is the state and field 22 the start time.
fn start_time_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// The last lines of a log, for an error.
fn log_end(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_read_past_a_name_with_parentheses() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 100 200";
        assert_eq!(start_time_in(stat), Some(4242));
    }

    #[test]
    fn a_zombie_has_ended() {
        let stat = "7 (a) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 100 200";
        assert_eq!(start_time_in(stat), None);
    }

    #[test]
    fn a_reused_pid_is_not_ours() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let started = start_time(pid).unwrap();
        let own = Recorded { name: "own".into(), pid, started };
        let reused = Recorded { name: "reused".into(), pid, started: started + 1 };
        assert!(own.is_alive());
        assert!(!reused.is_alive());
    }
}
