//! What `sluice check` says of an object is what the API server says.

use crate::kubectl::{attempt, get};
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A file an object; each bad one begins with the field that is wrong.
const BAD: &str = "e2e/objects/bad";
const GOOD: &str = "e2e/objects/good";

pub(crate) fn sixty_bad_objects_get_the_same_verdict_from_check_and_the_api_server(
    stage: &Stage,
) -> Result<()> {
    let mut wrong = Vec::new();
    for (folder, count) in [(BAD, 60), (GOOD, 10)] {
        let files = files(folder)?;
        ensure!(count <= files.len(), "{folder} has {} files, not {count}", files.len());
        let by_server = refused_by_server(folder, &files, &stage.namespace)?;
        let findings = check(folder)?;
        for file in &files {
            let wanted = folder == BAD;
            let refusals = refusals(&findings, file);
            let (check, server) = (!refusals.is_empty(), by_server.contains(file));
            if (check, server) != (wanted, wanted) {
                wrong.push(format!("{file}: refused by check: {check}, by the server: {server}"));
            } else if wanted && !names_field(folder, file, &refusals)? {
                wrong.push(format!("{file}: check does not name the field: {refusals:?}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    let left = get(&["-n", &stage.namespace, "telemetrypipelines,destinations"])?;
    ensure!(left["items"].as_array().is_some_and(Vec::is_empty), "a dry run left something");
    Ok(())
}

fn files(folder: &str) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {folder}"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The files that the API server refuses; it must accept all others.
fn refused_by_server(
    folder: &str,
    files: &BTreeSet<String>,
    namespace: &str,
) -> Result<BTreeSet<String>> {
    let flags = ["apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", folder];
    let outcome = attempt("kubectl", &flags, "")?;
    let refused: BTreeSet<String> = files
        .iter()
        .filter(|file| outcome.stderr.contains(&format!("\"{folder}/{file}\"")))
        .cloned()
        .collect();
    let accepted = outcome.stdout.lines().filter(|line| line.contains("(server dry run)")).count();
    ensure!(
        accepted + refused.len() == files.len(),
        "{accepted} accepted and {} refused of {}: {}",
        refused.len(),
        files.len(),
        outcome.stderr
    );
    Ok(refused)
}

/// What `sluice check`, built beside this program, finds.
fn check(folder: &str) -> Result<Vec<Value>> {
    let own = std::env::current_exe()?;
    let program = own.parent().context("this program has no folder")?.join("sluice");
    let outcome = attempt(&program.to_string_lossy(), &["check", "-o", "json", folder], "")?;
    let report: Value = serde_json::from_str(&outcome.stdout)
        .with_context(|| format!("sluice check: {}", outcome.stderr))?;
    report["findings"].as_array().cloned().context("no findings")
}

/// Verdicts other than "refused" are those of the operator, after the API server took the object.
fn refusals<'a>(findings: &'a [Value], file: &str) -> Vec<&'a Value> {
    let of_file = |finding: &&Value| {
        let path = finding["file"].as_str().unwrap_or_default();
        Path::new(path).file_name().is_some_and(|name| name == file)
    };
    findings.iter().filter(of_file).filter(|finding| finding["verdict"] == "refused").collect()
}

fn names_field(folder: &str, file: &str, refusals: &[&Value]) -> Result<bool> {
    let text = fs::read_to_string(Path::new(folder).join(file))?;
    let first = text.lines().next().and_then(|line| line.strip_prefix("# "));
    let field = first.with_context(|| format!("{file} does not say which field is wrong"))?;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    Ok(refusals.iter().any(|finding| {
        text(finding, "path").starts_with(field) || text(finding, "message").contains(field)
    }))
}
