//! Sluice comes and goes by its chart, in the order that its notes give. Ends with nothing installed.

use crate::kubectl::{kubectl, run, wait_for};
use crate::stage::{SYSTEM, Stage, install_chart, start_fleet};
use anyhow::{Result, ensure};
use std::time::Duration;

const KINDS: [&str; 4] = ["collectors", "destinations", "samplingpolicies", "telemetrypipelines"];
/// No step takes longer.
const STEP: &str = "60s";

pub(crate) fn install_upgrade_uninstall_in_the_documented_order_leaves_nothing(
    stage: &Stage,
) -> Result<()> {
    stage.pipeline(&stage.namespace)?;
    uninstall()?;
    nothing_is_left()?;
    let kept = definitions()?;
    ensure!(kept.len() == KINDS.len(), "of the kinds, {kept:?} were kept");
    // What users wrote is kept with its kind.
    kubectl(&["-n", &stage.namespace, "get", "telemetrypipeline/all", "destination/otelcol"])?;

    install_chart(&stage.chart, &["--set", "crds.keep=false"])?;
    start_fleet()?;
    stage.ready(&stage.namespace, "telemetrypipeline/all")?;
    run("helm", &["test", "sluice", "-n", SYSTEM, "--timeout", STEP], "")?;
    let agents = agents()?;
    let annotated = "operator.podAnnotations.e2e=upgraded";
    install_chart(&stage.chart, &["--set", "crds.keep=false", "--set", annotated])?;
    start_fleet()?;
    stage.ready(&stage.namespace, "telemetrypipeline/all")?;
    // The new operator has taken over once it acts on a change.
    let patch = r#"{"spec":{"enrich":{"resourceAttributes":{"e2e.upgraded":"yes"}}}}"#;
    kubectl(&["-n", &stage.namespace, "patch", "tp", "all", "--type=merge", "-p", patch])?;
    stage.ready(&stage.namespace, "telemetrypipeline/all")?;
    ensure!(!agents.is_empty(), "there are no agents");
    ensure!(agents == self::agents()?, "an upgrade of the operator alone rolled the agents");
    uninstall()?;
    nothing_is_left()?;
    wait_for("the end of the kinds", Duration::from_secs(60), || {
        let left = definitions()?;
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })
}

/// As the chart's notes say.
fn uninstall() -> Result<()> {
    kubectl(&["delete", "collector", "--all", "--wait", "--timeout", STEP])?;
    run("helm", &["uninstall", "sluice", "-n", SYSTEM, "--wait", "--timeout", STEP], "")?;
    Ok(())
}

fn agents() -> Result<String> {
    let names = "app.kubernetes.io/name=sluice-agent";
    kubectl(&["-n", SYSTEM, "get", "pods", "-l", names, "-o", "jsonpath={.items[*].metadata.uid}"])
}

fn definitions() -> Result<Vec<String>> {
    let list = kubectl(&["get", "customresourcedefinitions", "-o", "name"])?;
    Ok(list.lines().filter(|name| name.ends_with(".sluice.dev")).map(str::to_owned).collect())
}

/// Neither in the system namespace nor outside of all.
fn nothing_is_left() -> Result<()> {
    let inside = kinds("true")?;
    let outside = kinds("false")?;
    wait_for("nothing to be left", Duration::from_secs(60), || {
        let own = kubectl(&["-n", SYSTEM, "get", &inside, "-o", "name"])?;
        let label = "app.kubernetes.io/part-of=sluice";
        let labelled = kubectl(&["get", "-A", &inside, "-l", label, "-o", "name"])?;
        ensure!(labelled.is_empty(), "left: {labelled}");
        let all = kubectl(&["get", &outside, "-o", "name"])?;
        let own = own.lines().filter(|name| !BORN_WITH_THE_NAMESPACE.contains(name));
        let all = all.lines().filter(|name| name.contains("sluice") && !is_spared(name));
        let left: Vec<_> = own.chain(all).collect();
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })
}

const BORN_WITH_THE_NAMESPACE: [&str; 2] = ["configmap/kube-root-ca.crt", "serviceaccount/default"];

/// Namespaces are their owners'; the definitions, with the API that they make, are looked at apart.
fn is_spared(name: &str) -> bool {
    let kind = name.split(['/', '.']).next().unwrap_or_default();
    ["namespace", "customresourcedefinition", "apiservice"].contains(&kind)
}

/// Every kind that can be listed, but events: they end by themselves.
fn kinds(namespaced: &str) -> Result<String> {
    let flag = format!("--namespaced={namespaced}");
    let names = kubectl(&["api-resources", &flag, "--verbs=list", "-o", "name"])?;
    let kinds: Vec<_> = names.lines().filter(|name| !name.starts_with("events")).collect();
    Ok(kinds.join(","))
}
