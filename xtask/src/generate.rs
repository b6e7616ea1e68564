//! Writes the files that are made from the code, or from recorded results. Their drift is tested
//! beside what makes them.

use crate::bench;
use anyhow::{Context, Result};
use std::fs;

pub(crate) fn run() -> Result<()> {
    for (path, text) in sluice_crds::generated() {
        write(&path, &text)?;
        // Helm reads no file outside the chart.
        if let Some(definition) = path.strip_prefix("crds/yaml/") {
            write(&format!("charts/sluice/files/crds/{definition}"), &text)?;
        }
    }
    bench::write_page()
}

fn write(path: &str, text: &str) -> Result<()> {
    let target = crate::root().join(path);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(&target, text).with_context(|| format!("write {path}"))
}
