//! What is sent arrives, with the attributes of the pod that sent it.

use crate::destination::ids_in;
use crate::kubectl::{kubectl, wait_for};
use crate::stage::{Stage, start_fleet};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// On the node, where the quickstart's Destination keeps what arrives.
const FILES: &str = "/var/lib/sluice/default/files/sluice-system/shop";

pub(crate) fn the_three_signals_of_an_app_pod_arrive_at_a_real_otel_collector(
    stage: &Stage,
) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let app = stage
        .sender(namespace, "app")
        .with("--signals=traces,metrics,logs,stdout")
        .with("--count=200");
    app.start()?;
    app.finish()?;
    for signal in ["traces", "metrics", "logs"] {
        destination.wait_for_ids(signal, "app", &app.ids(200))?;
    }
    destination.wait_for_ids("logs", "app.line", &app.lines(200))?;
    let kinds = [("traces", "app"), ("metrics", "app"), ("logs", "app"), ("logs", "app.line")];
    for (signal, prefix) in kinds {
        for (key, value) in [
            ("k8s.namespace.name", namespace.as_str()),
            ("k8s.pod.name", "app"),
            ("k8s.cluster.name", "e2e"),
        ] {
            let values = destination.resource_values(signal, prefix, key)?;
            let wanted = [value.to_owned()].into();
            ensure!(values == wanted, "{signal} of {prefix}: {key} is {values:?}, not {value}");
        }
    }
    Ok(())
}

pub(crate) fn the_quickstart_keeps_what_a_pod_of_the_shop_sends(stage: &Stage) -> Result<()> {
    kubectl(&["apply", "-k", "manifests/quickstart"])?;
    stage.ready("shop", "collector/default")?;
    stage.ready("shop", "telemetrypipeline/shop")?;
    let app = stage.sender("shop", "quick").with("--signals=traces,metrics,logs,stdout");
    app.start()?;
    app.finish()?;
    let kinds =
        [("traces", "quick"), ("metrics", "quick"), ("logs", "quick"), ("logs", "quick.line")];
    for (signal, prefix) in kinds {
        let wanted = if prefix == "quick" { app.ids(100) } else { app.lines(100) };
        wait_for(&format!("{signal} in {FILES}"), Duration::from_secs(30), || {
            let text = fs::read_to_string(format!("{FILES}/{signal}.jsonl"))?;
            let found: BTreeSet<_> = ids_in(&text, prefix).into_iter().collect();
            ensure!(found == wanted, "{} of {} ids", found.len(), wanted.len());
            Ok(())
        })?;
    }
    kubectl(&["delete", "namespace", "shop", "--wait=false"])?;
    start_fleet()
}
