//! Claims about the whole: each is a function named as the claim, run against a real Kubernetes
//! in a namespace of its own. `cargo xtask test` brings the cluster up and calls this.

mod claims;
mod destination;
mod gateways;
mod http;
mod kubectl;
mod pod;
mod sdk;
mod sender;
mod stage;

use anyhow::{Result, bail};
use clap::Parser;
use std::path::PathBuf;
use std::time::Instant;

/// Installs Sluice by its chart and checks every claim. Needs kubectl and helm on the PATH, and KUBECONFIG.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// Only the claims whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Installs Sluice and a fleet, and checks nothing.
    #[arg(long, conflicts_with_all = ["only", "soak"])]
    install: bool,
    /// The claims that take longer, instead of all others.
    #[arg(long)]
    soak: bool,
    /// The chart to install.
    #[arg(long, default_value = "charts/sluice")]
    chart: PathBuf,
    /// Where the destinations of the claims keep what arrived; on the node.
    #[arg(long, default_value = "/var/lib/sluice-e2e")]
    arrivals: PathBuf,
    /// Where the state of a failed claim is written.
    #[arg(long, default_value = "target/e2e")]
    dumps: PathBuf,
}

#[expect(clippy::print_stdout, reason = "the verdicts are the output")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    stage::install(&arguments)?;
    if arguments.install {
        return Ok(());
    }
    let (mut passed, mut failed) = (0, 0);
    let claims = if arguments.soak { claims::SOAK } else { claims::ALL };
    for (name, claim) in claims {
        if !name.contains(&arguments.only) {
            continue;
        }
        let started = Instant::now();
        let verdict = stage::play(&arguments, name, *claim);
        let seconds = started.elapsed().as_secs_f64();
        match verdict {
            Ok(()) => {
                passed += 1;
                println!("claim {name} ... ok ({seconds:.1} s)");
            }
            Err(error) => {
                failed += 1;
                println!("claim {name} ... FAILED ({seconds:.1} s)\n  {error:#}");
            }
        }
    }
    if passed + failed == 0 {
        bail!("no claim's name contains \"{}\"", arguments.only);
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} claims do not hold");
    }
    stage::clear(&arguments.arrivals)
}
