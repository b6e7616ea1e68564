//! Gateways come, go and are replaced under load: no trace is torn, and no error is lost.

use super::arrived::Arrived;
use super::sampling::{TENTH, randomness};
use crate::destination::Destination;
use crate::gateways;
use crate::kubectl::{apply, kubectl, run, wait_for};
use crate::sdk::Sdk;
use crate::stage::{OTLP, Stage};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

const TRACES: usize = 4000;
const PER_SECOND: usize = 50;
/// Three services with two spans each.
const SPANS: u64 = 6;
const ERROR_EVERY: usize = 20;
const SEED: usize = 2_000_000;

const POLICY: &str = r"
apiVersion: sluice.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: ring, namespace: NAMESPACE}
spec:
  tail: {decisionWait: 10s}
  keep:
  - {name: errors, match: {status: Error}, atLeastPercent: 100}
  default: {keepPercent: 10}
  tagDecision: true
";

pub(crate) fn no_planned_change_of_the_gateways_tears_a_trace(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    set(2, "10s")?;
    apply(&POLICY.replace("NAMESPACE", namespace))?;
    stage.ready(namespace, "samplingpolicy/ring")?;
    wait_for_gateways(2)?;
    let app = Sdk::new(namespace, "steady", &arguments());
    app.start()?;
    traces_are_open()?;
    set(3, "10s")?;
    wait_for_gateways(3)?;
    traces_are_open()?;
    // Another grace period is another pod: all are replaced, one by one.
    let before = gateways::names()?;
    set(3, "11s")?;
    wait_for("every gateway to be replaced", Duration::from_secs(120), || {
        let names = gateways::names()?;
        let is_new = names.iter().all(|name| !before.contains(name));
        ensure!(is_new && names.len() == 3, "there are {names:?}");
        Ok(())
    })?;
    wait_for_gateways(3)?;
    set(1, "11s")?;
    wait_for_gateways(1)?;
    app.finish(Duration::from_secs(180))?;
    wait_for("all that is kept to arrive, whole", Duration::from_secs(90), || {
        check(&Arrived::read(&destination)?)
    })?;
    explained(namespace, &destination)?;
    let incomplete = gateways::count("sluice_tail_incomplete_traces_total", &[])?;
    ensure!(incomplete == 0, "{incomplete} traces were not handed over");
    kubectl(&[
        "patch",
        "collector",
        "default",
        "--type=merge",
        "-p",
        r#"{"spec":{"gateway":null}}"#,
    ])?;
    kubectl(&["-n", namespace, "delete", "samplingpolicy", "ring"])?;
    gateways::wait_for_none()
}

fn arguments() -> Vec<String> {
    let endpoint = OTLP.trim_start_matches("http://");
    vec![
        format!("--endpoint={endpoint}"),
        format!("--traces={TRACES}"),
        format!("--per-second={PER_SECOND}"),
        format!("--error-every={ERROR_EVERY}"),
        format!("--seed={SEED}"),
        "--slow-every=0".to_owned(),
        "--5xx-every=0".to_owned(),
    ]
}

/// Between two changes each gateway has something to lose.
fn traces_are_open() -> Result<()> {
    wait_for("every gateway to hold traces", Duration::from_secs(60), || {
        for gateway in gateways::all()? {
            let open = gateway.count("sluice_tail_open_traces", &[])?;
            ensure!(0 < open, "one holds none");
        }
        Ok(())
    })
}

/// So many gateways, small enough for one node, and how long one waits for another.
fn set(replicas: u32, timeout: &str) -> Result<()> {
    let patch = json!({"spec": {"gateway": {
        "autoscaling": {"minReplicas": replicas, "maxReplicas": replicas},
        "traceRouting": {"handoff": {"timeout": timeout}},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }}});
    kubectl(&["patch", "collector", "default", "--type=merge", "-p", &patch.to_string()])?;
    Ok(())
}

/// Ready, and those that had to go are gone.
fn wait_for_gateways(count: usize) -> Result<()> {
    wait_for("gateways to come and go", Duration::from_secs(120), || {
        let all = gateways::all()?.len();
        ensure!(all == count, "there are {all} pods");
        Ok(())
    })?;
    gateways::wait_for_summary(&format!("{count}/{count}"))
}

/// The operator finds the gateway that decided a trace.
fn explained(namespace: &str, destination: &Destination) -> Result<()> {
    let spans = destination.spans()?;
    let trace = spans.last().and_then(|span| span["traceId"].as_str()).context("no span")?;
    let own = std::env::current_exe().context("this program has no path")?;
    let sluice = own.parent().context("this program has no folder")?.join("sluice");
    let question = ["explain", "trace", trace, "--cluster", "-o", "json"];
    let answer = run(&sluice.to_string_lossy(), &question, "")?;
    let answer: Value = serde_json::from_str(&answer).context("read what sluice says")?;
    let rule = answer["rule"].as_str().unwrap_or_default();
    let is_its_own = answer["state"] == "decided" && answer["isKept"] == true;
    ensure!(is_its_own && rule.starts_with(&format!("{namespace}/ring/")), "it says {answer}");
    ensure!(gateways::names()?.iter().any(|name| answer["gateway"] == **name), "it says {answer}");
    Ok(())
}

/// Each trace for itself.
fn check(arrived: &Arrived) -> Result<()> {
    for number in 0..TRACES {
        let is_kept = number % ERROR_EVERY == 1 || TENTH <= randomness(SEED + number);
        let spans = arrived.traces.get(&number).map_or(0, |trace| trace.spans.len() as u64);
        let wanted = if is_kept { SPANS } else { 0 };
        ensure!(spans == wanted, "of trace {number} {spans} spans arrived, not {wanted}");
    }
    Ok(())
}
