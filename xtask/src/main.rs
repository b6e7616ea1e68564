//! Generation, checks of the code itself, the tests in one command, and the test cluster.

#![expect(clippy::print_stdout, reason = "it talks to the person who runs it")]

mod bench;
mod cluster;
mod commands;
mod contest;
mod generate;
mod image;
mod jaeger;
#[cfg(test)]
mod layers;
mod oracle;
mod programs;
mod ring;
mod soak;
mod test;

use clap::{Parser, Subcommand};
use std::path::Path;

/// What people and CI run alike.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test; the last line is `N passed, N failed`.
    Test(test::Arguments),
    /// Checks the claims that take minutes, and writes `docs/soak.md`.
    Soak,
    /// A real Kubernetes for the tests, on this machine.
    #[command(subcommand)]
    Cluster(cluster::Action),
    /// Measures Sluice beside its peers.
    #[command(subcommand)]
    Bench(bench::Action),
    /// Holds tail sampling against the OpenTelemetry Collector's: the same traces must be kept.
    Oracle(oracle::Arguments),
    /// Scales, rolls and kills gateways under load, as programs: no planned change tears a trace.
    Ring(ring::Arguments),
    /// Has Go's SDK take its rate from Sluice: its spans must count right, and pass but once.
    Jaeger(jaeger::Arguments),
    /// Builds Sluice's container image; puts it on the cluster's node when that is up.
    Image(image::Arguments),
    /// Writes the files that are made from the code (CRDs, reference pages, chart copies).
    Generate,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Soak => soak::run(),
        Command::Cluster(action) => cluster::run(&action),
        Command::Bench(action) => bench::run(&action),
        Command::Oracle(arguments) => oracle::run(&arguments),
        Command::Ring(arguments) => ring::run(&arguments),
        Command::Jaeger(arguments) => jaeger::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Generate => generate::run(),
    }
}

/// The root of the work tree.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
