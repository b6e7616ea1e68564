//! What a result depends on: the machine and the versions of the programs.

use crate::contest::programs::version;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// By the programs' names.
pub(super) fn versions(programs: &[(&str, &Path)]) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::from([("machine".to_owned(), machine())]);
    for (name, program) in programs {
        versions.insert((*name).to_owned(), version(program)?);
    }
    Ok(versions)
}

/// Cores, processor, kernel, and how busy the machine was before the run.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let (model, kernel) =
        (model.map_or("unknown", |(_, model)| model), read("/proc/sys/kernel/osrelease"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{cores} cores of {model}, Linux {}, load {load} before the run", kernel.trim())
}
