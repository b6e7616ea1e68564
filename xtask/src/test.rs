//! `cargo xtask test`: every ring in one command, counted at the end. People and CI run the same.

mod step;
pub(crate) mod whole;

use crate::cluster;
use crate::commands::cargo;
use anyhow::{Result, bail};
use std::process::{Command, Stdio};
use std::time::Instant;

const ROOMS: &[&str] = &["crds", "wire", "engine", "plan", "operator", "agent", "cli", "e2e"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leaves out what needs the test cluster.
    #[arg(long, conflicts_with = "only")]
    fast: bool,
    /// Checks nothing but the claims on the cluster whose name contains this.
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Leaves the cluster up at the end.
    #[arg(long)]
    keep: bool,
}

/// What ran so far. A step that counts its own tests (cargo) adds them; any other step is one.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    if arguments.only.is_none() {
        tally.code();
    }
    if arguments.fast {
        println!("left out by --fast: the cluster");
    } else {
        tally.whole(arguments)?;
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        bail!("{} failed", tally.failed);
    }
    Ok(())
}

impl Tally {
    /// All rings that need no cluster.
    fn code(&mut self) {
        self.step("fmt", cargo(&["fmt", "--all", "--check"]));
        for room in ROOMS {
            self.step(&format!("check {room}"), cargo(&["check", "-p", &format!("sluice-{room}")]));
        }
        self.step(
            "clippy",
            cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        );
        self.cargo_test();
        self.step("first command", first_command());
    }

    fn step(&mut self, name: &str, mut command: Command) {
        let started = Instant::now();
        let passed = step::run(&mut command).is_ok_and(|(status, _)| status.success());
        self.count(name, passed, started);
    }

    fn count(&mut self, name: &str, passed: bool, started: Instant) {
        let verdict = if passed { "ok" } else { "FAILED" };
        println!("==> {name}: {verdict} ({:.1} s)", started.elapsed().as_secs_f64());
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Runs all unit and integration tests; their own counts are added.
    fn cargo_test(&mut self) {
        let started = Instant::now();
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
        let Ok((status, text)) = step::run(command.stdout(Stdio::piped())) else {
            return self.count("cargo test", false, started);
        };
        print!("{text}");
        let (passed, failed) = totals(&text);
        self.passed += passed;
        self.failed += failed;
        let built = status.success() || failed > 0;
        self.count("cargo test", built, started);
    }

    fn whole(&mut self, arguments: &Arguments) -> Result<()> {
        if let Some(obstacle) = cluster::obstacle() {
            if std::env::var_os("CI").is_some() {
                bail!("the claims cannot be checked: {obstacle}");
            }
            println!("left out, the claims on a cluster: {obstacle}");
            return Ok(());
        }
        if arguments.only.is_none() {
            self.step("oracle", oracle());
            self.step("jaeger", jaeger());
        }
        let started = Instant::now();
        let flags = arguments.only.as_deref().map_or(vec![], |only| vec!["--only", only]);
        let verdict = whole::check(&flags, arguments.keep);
        if let Ok(verdict) = &verdict {
            self.passed += verdict.passed;
            self.failed += verdict.failed;
        }
        if let Err(error) = &verdict {
            println!("{error:#}");
        }
        self.count("claims on a cluster", verdict.is_ok(), started);
        Ok(())
    }
}

/// Sums cargo's `test result:` lines.
fn totals(output: &str) -> (u64, u64) {
    let number = |line: &str, word: &str| -> u64 {
        line.split([';', '.'])
            .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
            .unwrap_or(0)
    };
    output
        .lines()
        .filter(|line| line.starts_with("test result:"))
        .fold((0, 0), |sum, line| (sum.0 + number(line, "passed"), sum.1 + number(line, "failed")))
}

/// Against the OpenTelemetry Collector's samplers; fewer traces than by itself, all cases.
fn oracle() -> Command {
    cargo(&["run", "--release", "-p", "xtask", "--", "oracle", "--traces", "20000"])
}

/// Go's SDK, with its rate from Sluice.
fn jaeger() -> Command {
    cargo(&["run", "--release", "-p", "xtask", "--", "jaeger"])
}

/// The README's first command, for 20 seconds; its data goes to a folder of this run.
fn first_command() -> Command {
    let data = std::env::temp_dir().join(format!("sluice-first-command-{}", std::process::id()));
    let mut command = cargo(&["run", "--release", "--", "run", "--demo", "manifests/quickstart"]);
    command.args(["--for", "20s", "--data"]).arg(data);
    command
}

#[cfg(test)]
mod tests {
    use super::totals;

    #[test]
    fn results_of_all_test_binaries_are_summed() {
        let output = "test result: ok. 3 passed; 0 failed; 0 ignored\n\
                      test result: FAILED. 4 passed; 2 failed; 0 ignored\n";
        assert_eq!(totals(output), (7, 2));
    }
}
