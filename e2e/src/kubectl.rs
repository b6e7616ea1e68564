//! Calls kubectl and helm, and waits for what they show. Nothing here knows Sluice.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a program printed, and whether it succeeded.
pub(crate) struct Outcome {
    pub(crate) succeeded: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// With the program's own words when it fails.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let outcome = attempt(program, arguments, input)?;
    if !outcome.succeeded {
        bail!("{program} {}: {}", arguments.join(" "), outcome.stderr.trim());
    }
    Ok(outcome.stdout)
}

/// Runs a program to its end, well or badly.
pub(crate) fn attempt(program: &str, arguments: &[&str], input: &str) -> Result<Outcome> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    Ok(Outcome {
        succeeded: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

pub(crate) fn kubectl(arguments: &[&str]) -> Result<String> {
    run("kubectl", arguments, "")
}

/// Server-side apply.
pub(crate) fn apply(manifest: &str) -> Result<String> {
    run("kubectl", &["apply", "--server-side", "--force-conflicts", "-f", "-"], manifest)
}

pub(crate) fn get(arguments: &[&str]) -> Result<Value> {
    let text = kubectl(&[&["get", "-o", "json"], arguments].concat())?;
    serde_json::from_str(&text).context("kubectl printed no JSON")
}

/// Looks again until `probe` finds what it looks for.
///
/// # Errors
/// After `deadline`, with `what` and the last thing that `probe` said.
pub(crate) fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let error = match probe() {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if started.elapsed() > deadline {
            return Err(error.context(format!("waited {deadline:?} for {what}")));
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

/// The condition of an object, as `(status, reason, message)`.
pub(crate) fn condition(object: &Value, kind: &str) -> Option<(String, String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}
