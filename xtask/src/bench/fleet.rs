//! Memory of Sluice's programs on a real Kubernetes while nothing happens.

use super::pairs::round;
use super::results::{Figure, Goal};
use crate::cluster;
use crate::contest::process::memory_bytes_of;
use crate::test::whole;
use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// Before the memory is read.
const IDLE: Duration = Duration::from_secs(60);

/// The largest of each program's processes; the operator has one that leads and one that waits.
pub(super) fn idle(blank: &Figure) -> Result<Vec<Figure>> {
    whole::install()?;
    std::thread::sleep(IDLE);
    let figures = [("sluice-operator", "operator", 40.0), ("sluice-agent", "agent", 20.0)];
    let figures = figures.map(|(program, name, most)| {
        let figure = Figure {
            name: format!("idle {name} in a cluster"),
            figure: round(memory_bytes(program)? as f64 / 1e6),
            unit: "MB of resident memory".to_owned(),
            method: format!(
                "VmRSS of /proc/PID/status {} s after the fleet was ready, on the tests' cluster",
                IDLE.as_secs()
            ),
            ..blank.clone()
        };
        Ok(figure.with_goal(Some(Goal::FigureMax(most))))
    });
    let figures = figures.into_iter().collect();
    cluster::down()?;
    figures
}

fn memory_bytes(program: &str) -> Result<u64> {
    let mut largest = None;
    for entry in fs::read_dir("/proc").context("list the processes")? {
        let folder = entry.context("list the processes")?.path();
        // A process may end before it is read.
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        if name.trim() == program {
            largest = largest.max(Some(memory_bytes_of(&folder)?));
        }
    }
    largest.with_context(|| format!("no {program} runs"))
}
