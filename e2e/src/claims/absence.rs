//! Nothing is lost while a part of Sluice is away, restarts or changes.

use crate::kubectl::{apply, get, kubectl, run, wait_for};
use crate::stage::{SYSTEM, Stage};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const AGENTS: &str = "app.kubernetes.io/name=sluice-agent";

pub(crate) fn an_operator_away_for_30_s_changes_nothing(stage: &Stage) -> Result<()> {
    operator_away(stage, 30)
}

pub(crate) fn an_operator_away_for_120_s_changes_nothing(stage: &Stage) -> Result<()> {
    operator_away(stage, 120)
}

/// Items flow for that long while there is no operator.
fn operator_away(stage: &Stage, seconds: usize) -> Result<()> {
    // A round of 20 items of each signal each second.
    let count = 20 * (seconds + 2);
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let before = identities()?;
    let app = stage
        .sender(namespace, "away")
        .with("--signals=traces,metrics,logs")
        .with(&format!("--count={count}"))
        .with("--pause-ms=1000");
    kubectl(&["-n", SYSTEM, "scale", "deployment/sluice-operator", "--replicas=0"])?;
    wait_for("the operator's end", Duration::from_secs(45), || {
        let pods = get(&["-n", SYSTEM, "pods", "-l", "app.kubernetes.io/name=sluice-operator"])?;
        let left = pods["items"].as_array().map_or(0, Vec::len);
        ensure!(left == 0, "{left} operator pods left");
        Ok(())
    })?;
    app.start()?;
    app.finish_within(Duration::from_secs(seconds as u64 + 60))?;
    let after = identities();
    kubectl(&["-n", SYSTEM, "scale", "deployment/sluice-operator", "--replicas=2"])?;
    kubectl(&["-n", SYSTEM, "rollout", "status", "deployment/sluice-operator", "--timeout=60s"])?;
    for signal in ["traces", "metrics", "logs"] {
        destination.wait_for_ids(signal, "away", &app.ids(count))?;
    }
    ensure!(before == after?, "agents were restarted while the operator was away");
    // The one that came back has taken over once it has seen a change; agents may attach later.
    apply_version(namespace, 1)?;
    wait_for("a new leader", Duration::from_secs(60), || {
        let pipeline = get(&["-n", namespace, "telemetrypipeline", "all"])?;
        let seen = &pipeline["status"]["observedGeneration"];
        ensure!(*seen == pipeline["metadata"]["generation"], "the change is not seen");
        Ok(())
    })?;
    ensure!(before == identities()?, "agents were restarted by the operator that came back");
    Ok(())
}

type Identities = BTreeSet<(String, u64)>;

/// Uid and restarts of each agent.
fn identities() -> Result<Identities> {
    let pods = get(&["-n", SYSTEM, "pods", "-l", AGENTS])?;
    let pods = pods["items"].as_array().context("no list")?;
    Ok(pods
        .iter()
        .map(|pod| {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            (uid, pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0))
        })
        .collect())
}

fn uids() -> Result<BTreeSet<String>> {
    Ok(identities()?.into_iter().map(|(uid, _)| uid).collect())
}

pub(crate) fn an_agent_killed_loses_no_log_line(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let app = stage
        .sender(namespace, "lines")
        .with("--signals=stdout")
        .with("--count=3000")
        .with("--per-request=100")
        .with("--pause-ms=200");
    app.start()?;
    wait_for("the first lines", Duration::from_secs(30), || {
        ensure!(destination.arrivals("logs", "lines.line")?.len() > 500, "not yet 500 lines");
        Ok(())
    })?;
    app.still_sends()?;
    let before = identities()?;
    run("pkill", &["-KILL", "-x", "sluice-agent"], "")?;
    wait_for("the restarted agent", Duration::from_secs(60), || {
        ensure!(identities()? != before, "not restarted yet");
        Ok(())
    })?;
    app.finish()?;
    let arrivals = destination.wait_for_ids("logs", "lines.line", &app.lines(3000))?;
    let doubled = arrivals.values().filter(|times| **times > 1).count();
    let thrice = arrivals.values().filter(|times| **times > 2).count();
    // A batch of a file holds at most what one read of it held.
    ensure!(thrice == 0 && doubled <= 2000, "{doubled} lines twice, {thrice} more often");
    Ok(())
}

pub(crate) fn a_config_change_under_load_loses_nothing(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let app = stage
        .sender(namespace, "change")
        .with("--signals=traces,metrics,logs")
        .with("--count=1200")
        .with("--pause-ms=100");
    app.start()?;
    destination.wait_for_any("traces", "change")?;
    for version in 1..=3 {
        apply_version(namespace, version)?;
        stage.ready(namespace, "telemetrypipeline/all")?;
    }
    app.still_sends()?;
    app.finish()?;
    for signal in ["traces", "metrics", "logs"] {
        destination.wait_for_ids(signal, "change", &app.ids(1200))?;
    }
    let versions = destination.resource_values("traces", "change", "e2e.version")?;
    let wanted = ["(absent)", "1", "2", "3"].map(str::to_owned).into();
    ensure!(versions == wanted, "not every version ran under load: {versions:?}");
    let probe = stage.sender(namespace, "after").with("--signals=traces");
    probe.start()?;
    probe.finish()?;
    destination.wait_for_ids("traces", "after", &probe.ids(100))?;
    let values = destination.resource_values("traces", "after", "e2e.version")?;
    ensure!(values == ["3".to_owned()].into(), "the last change does not run: {values:?}");
    Ok(())
}

fn apply_version(namespace: &str, version: u32) -> Result<String> {
    let patch = format!(
        r#"{{"spec":{{"enrich":{{"resourceAttributes":{{"e2e.version":"{version}"}}}}}}}}"#
    );
    kubectl(&["-n", namespace, "patch", "tp", "all", "--type=merge", "-p", &patch])
}

pub(crate) fn a_rolling_update_under_load_loses_nothing(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let before = uids()?;
    let app = stage
        .sender(namespace, "rolling")
        .with("--signals=traces,metrics,logs")
        .with("--count=2000")
        .with("--pause-ms=100");
    app.start()?;
    destination.wait_for_any("traces", "rolling")?;
    apply(&fleet("{metadata: {annotations: {e2e: rolled}}}"))?;
    wait_for("a new agent in the place of the old", Duration::from_secs(60), || {
        let pods = get(&["-n", SYSTEM, "pods", "-l", AGENTS])?;
        let (old, new): (Vec<_>, Vec<_>) =
            pods["items"].as_array().context("no list")?.iter().partition(|pod| {
                pod["metadata"]["uid"].as_str().is_some_and(|uid| before.contains(uid))
            });
        let is_ready = |pod: &&Value| pod["status"]["containerStatuses"][0]["ready"] == true;
        let goes = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_string();
        ensure!(new.iter().any(is_ready), "no new agent is ready");
        ensure!(old.iter().all(goes), "the old agent stays");
        Ok(())
    })?;
    app.still_sends()?;
    app.finish()?;
    // What it still held, the old agent sends before it ends.
    wait_for("the end of the old agent", Duration::from_secs(60), || {
        ensure!(uids()?.is_disjoint(&before), "still there");
        Ok(())
    })?;
    for signal in ["traces", "metrics", "logs"] {
        destination.wait_for_ids(signal, "rolling", &app.ids(2000))?;
    }
    Ok(())
}

/// The fleet of the claims, with a patch of its agents' pods.
fn fleet(patch: &str) -> String {
    format!(
        r"
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {{name: default}}
spec:
  clusterName: e2e
  batch: {{timeout: 200ms}}
  agent: {{podTemplatePatch: {patch}}}
"
    )
}

pub(crate) fn the_agent_writes_its_checkpoint_as_uid_65532(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let app = stage.sender(namespace, "checkpoint").with("--signals=stdout");
    app.start()?;
    app.finish()?;
    let uid = get(&["-n", namespace, "pod", "checkpoint"])?["metadata"]["uid"].clone();
    let uid = uid.as_str().context("no uid")?;
    wait_for("the checkpoint", Duration::from_secs(30), || {
        let checkpoint = std::path::Path::new("/var/lib/sluice/default/checkpoints.json");
        let text = fs::read_to_string(checkpoint)?;
        serde_json::from_str::<Value>(&text).context("the checkpoint is no JSON")?;
        ensure!(text.contains(uid), "nothing of the pod yet");
        let owner = run("stat", &["--format=%u", &checkpoint.to_string_lossy()], "")?;
        ensure!(owner.trim() == "65532", "the checkpoint belongs to uid {owner}");
        Ok(())
    })
}
