//! What the operator made stays as it made it.

use crate::kubectl::{get, kubectl, wait_for};
use crate::stage::{SYSTEM, Stage};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) fn a_child_edited_or_deleted_by_hand_is_repaired(_: &Stage) -> Result<()> {
    let before = get(&["-n", SYSTEM, "service", "sluice-agent"])?;
    let patch = r#"{"spec":{"internalTrafficPolicy":"Cluster"}}"#;
    kubectl(&["-n", SYSTEM, "patch", "service", "sluice-agent", "-p", patch])?;
    wait_for("the edited Service", Duration::from_secs(10), || {
        let now = get(&["-n", SYSTEM, "service", "sluice-agent"])?;
        ensure!(now["spec"]["internalTrafficPolicy"] == "Local", "still edited");
        Ok(())
    })?;
    kubectl(&["-n", SYSTEM, "delete", "service", "sluice-agent"])?;
    wait_for("the deleted Service", Duration::from_secs(10), || {
        let now = get(&["-n", SYSTEM, "service", "sluice-agent"])?;
        ensure!(now["metadata"]["uid"] != before["metadata"]["uid"], "still the old one");
        ensure!(now["spec"]["ports"].as_array().map(Vec::len) == Some(2), "ports differ");
        Ok(())
    })?;
    an_image_set_by_hand_is_taken_back()?;
    a_deleted_configuration_comes_back()?;
    wait_for("the event", Duration::from_secs(10), || {
        let field = "--field-selector=reason=DriftRepaired";
        let events = get(&["-n", "default", "events.events.k8s.io", field])?;
        let notes = events["items"].as_array().into_iter().flatten().map(|event| &event["note"]);
        let of_ours =
            notes.filter(|note| note.to_string().contains("Service sluice-agent had")).count();
        ensure!(of_ours > 0, "no DriftRepaired");
        Ok(())
    })
}

fn an_image_set_by_hand_is_taken_back() -> Result<()> {
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    let read = || kubectl(&["-n", SYSTEM, "get", "daemonset", "sluice-agent", "-o", image]);
    let before = read()?;
    kubectl(&["-n", SYSTEM, "set", "image", "daemonset/sluice-agent", "*=sluice.dev/other:1"])?;
    wait_for("the edited DaemonSet", Duration::from_secs(10), || {
        let now = read()?;
        ensure!(now == before, "the image is {now}");
        Ok(())
    })?;
    let ready = ["rollout", "status", "daemonset/sluice-agent", "--timeout=60s"];
    kubectl(&[&["-n", SYSTEM][..], &ready].concat())?;
    Ok(())
}

fn a_deleted_configuration_comes_back() -> Result<()> {
    let maps = || get(&["-n", SYSTEM, "configmaps", "-l", "sluice.dev/collector=default"]);
    // The mounted copies (`boot`) may have been older, and are made anew from the newest.
    let contents = |list: &Value| -> BTreeSet<String> {
        let items = list["items"].as_array().into_iter().flatten();
        let content = |map: &Value| match &map["metadata"]["name"] {
            Value::String(name) if name.contains("-boot-") => name.clone(),
            name => format!("{name}: {}", map["binaryData"]),
        };
        items.map(content).collect()
    };
    let before = contents(&maps()?);
    ensure!(!before.is_empty(), "there is no configuration");
    kubectl(&["-n", SYSTEM, "delete", "configmaps", "-l", "sluice.dev/collector=default"])?;
    wait_for("the deleted ConfigMaps", Duration::from_secs(10), || {
        let now = contents(&maps()?);
        ensure!(now == before, "there are {now:?} of {before:?}");
        Ok(())
    })
}
