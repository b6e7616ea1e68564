//! A program under measurement: started, watched through `/proc`, and ended with its owner.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Both streams of the program go to a file in `folder`.
    pub(crate) fn start(command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join("log");
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let copy = file.try_clone().context("share the log")?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the program has ended, with what it said.
    pub(crate) fn runs(&mut self) -> Result<()> {
        if let Some(ended) = self.child.try_wait().context("watch the program")? {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("the program ended ({ended}); it said:\n{said}");
        }
        Ok(())
    }

    /// Waits until the program listens.
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let ended = self.child.try_wait().context("watch the program")?;
            if ended.is_some() || START_MAX < started.elapsed() {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the program does not listen on {address} ({ended:?}); it said:\n{said}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// User and system time of all its threads since the start.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = self.read("stat")?;
        let ticks = cpu_ticks(&stat).context("read the CPU time in /proc")?;
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        Ok(ticks as f64 / per_second as f64)
    }

    /// Resident memory now, in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        memory_bytes_of(&PathBuf::from(format!("/proc/{}", self.child.id())))
    }

    /// The most resident memory it ever had, in bytes.
    pub(crate) fn memory_bytes_peak(&self) -> Result<u64> {
        kibibytes(&self.read("status")?, "VmHWM:").context("read VmHWM in /proc")
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }

    /// Asks it to end and waits for that.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let started = Instant::now();
        let id = i32::try_from(self.child.id()).context("a process id")?;
        kill(Pid::from_raw(id), Signal::SIGTERM).context("ask the program to end")?;
        while self.child.try_wait().context("watch the program")?.is_none() {
            if STOP_MAX < started.elapsed() {
                bail!("the program did not end within {STOP_MAX:?}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of the process with this folder in `/proc`, in bytes.
pub(crate) fn memory_bytes_of(folder: &Path) -> Result<u64> {
    let path = folder.join("status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    kibibytes(&status, "VmRSS:").with_context(|| format!("read VmRSS in {}", path.display()))
}

/// Fields 14 and 15 of proc(5); the name before them may hold spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// A line of `/proc/PID/status`, in bytes.
fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("42 (a)"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(1024 * 1024));
        assert_eq!(kibibytes(status, "VmHWM:"), Some(2048 * 1024));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }

    #[tokio::test]
    async fn a_program_that_ends_early_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let mut process =
            Process::start(command.args(["-c", "echo no config"]), folder.path()).unwrap();
        let error = process.listens(([127, 0, 0, 1], 1).into()).await.unwrap_err();
        assert!(error.to_string().ends_with("no config\n"), "{error}");
    }
}
