//! The last ring: the real cluster comes up, Sluice's image and those of the tests' own pods are
//! put on its node, and the claims of `e2e` are checked inside its network.

use crate::cluster::{self, Cluster};
use crate::{commands, image, programs};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the claims said: how many hold and how many do not.
pub(crate) struct Verdict {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// `claim NAME ... ok (1.0 s)`
    pub(crate) lines: Vec<String>,
}

/// Checks the claims that these flags of the claims' program select.
pub(crate) fn check(flags: &[&str], keep: bool) -> Result<Verdict> {
    let claims = images_and_claims()?;
    let verdict = play(&claims, flags);
    if !keep {
        cluster::down()?;
    }
    verdict
}

/// Brings the cluster up with Sluice and an idle fleet on it.
pub(crate) fn install() -> Result<()> {
    let built = images_and_claims()?;
    let cluster = put_on_node(&built)?;
    commands::run(claims(&cluster, &built)?.arg("--install"))
}

struct Built {
    archives: Vec<PathBuf>,
    claims: PathBuf,
}

/// Everything is built before the cluster takes its share of the cores.
fn images_and_claims() -> Result<Built> {
    let sluice = image::build()?;
    let programs = image::release_programs(&["sluice-e2e"])?;
    let named = |name: &str| {
        let found = programs.iter().find(|path| path.file_name().is_some_and(|own| own == name));
        found.cloned().with_context(|| format!("the build made no {name}"))
    };
    let (claims, load) = (named("sluice-e2e")?, named("sluice-e2e-load")?);
    let folder = sluice.parent().unwrap_or(Path::new(".")).to_owned();
    let load_archive = folder.join("e2e-load-image.tar");
    image::write("sluice.dev/e2e-load:test", &[load], "/usr/bin/sluice-e2e-load", &load_archive)?;
    let mut archives = vec![sluice, load_archive];
    for set in ["otelcol", "sdk"] {
        archives.push(go_image(set, &folder)?);
    }
    programs::ensure("helm")?;
    programs::ensure("kstatus")?;
    Ok(Built { archives, claims })
}

/// The image of a Go set that is one program of its name.
fn go_image(set: &str, folder: &Path) -> Result<PathBuf> {
    let program = programs::ensure(set)?.join(set);
    let archive = folder.join(format!("{set}-image.tar"));
    let (name, entrypoint) = (format!("sluice.dev/{set}:test"), format!("/usr/bin/{set}"));
    image::write(&name, &[program], &entrypoint, &archive)?;
    Ok(archive)
}

fn put_on_node(built: &Built) -> Result<Cluster> {
    let cluster = cluster::up()?;
    for archive in &built.archives {
        cluster.import(archive)?;
    }
    Ok(cluster)
}

/// The claims' program, in the cluster's network.
fn claims(cluster: &Cluster, built: &Built) -> Result<Command> {
    let program = built.claims.to_str().context("the build folder's path is not UTF-8")?;
    let mut command = cluster.command(program)?;
    command.current_dir(crate::root()).env("SLUICE_AUDIT_LOG", cluster.audit_log());
    Ok(command)
}

fn play(built: &Built, flags: &[&str]) -> Result<Verdict> {
    let cluster = put_on_node(built)?;
    let mut command = claims(&cluster, built)?;
    let mut child =
        command.args(flags).stdout(Stdio::piped()).spawn().context("start the claims")?;
    let output = child.stdout.take().context("read the claims' output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("read the claims' output")?;
        println!("{line}");
        lines.push(line);
    }
    child.wait().context("wait for the claims")?;
    verdict(lines)
}

/// The last line is `N passed, N failed`.
fn verdict(mut lines: Vec<String>) -> Result<Verdict> {
    let last = lines.pop().unwrap_or_default();
    let count = |word: &str| {
        last.split(", ").find_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok())
    };
    match (count("passed"), count("failed")) {
        (Some(passed), Some(failed)) => Ok(Verdict { passed, failed, lines }),
        _ => bail!("the claims ended without a count"),
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn claims_that_ended_early_are_no_verdict() {
        assert!(verdict(vec!["Error: helm failed".into()]).is_err());
        let verdict = verdict(vec!["claim a ... ok".into(), "4 passed, 1 failed".into()]).unwrap();
        assert_eq!(verdict.lines, ["claim a ... ok"]);
        assert_eq!((verdict.passed, verdict.failed), (4, 1));
    }
}
