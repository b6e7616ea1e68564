//! `cargo xtask ring`: the test of a changing ring, with release builds and a real load.

use crate::commands::cargo;
use anyhow::{Context, Result, bail};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Sent to both agents together.
    #[arg(long, default_value_t = 20_000)]
    spans_per_second: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = cargo(&["test", "--release", "-p", "sluice-agent", "--test", "ring"]);
    command.args(["--", "--nocapture"]);
    command.env("SLUICE_TEST_SPANS_PER_SECOND", arguments.spans_per_second.to_string());
    if !command.status().context("run cargo")?.success() {
        bail!("the ring did not hold");
    }
    Ok(())
}
