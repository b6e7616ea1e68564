//! Where a value could leak to, read as a person could read it.

use crate::http;
use crate::kubectl::{get, kubectl};
use crate::stage::SYSTEM;
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

pub(super) const ALL: [&str; 6] = ["ConfigMap", "data folder", "event", "log", "metric", "object"];
/// What agents keep on the node.
const DATA_FOLDER: &str = "/var/lib/sluice";

/// The sinks that hold one of the values, in clear or in base64.
pub(super) fn holding(namespace: &str, values: &[&str]) -> Result<BTreeSet<&'static str>> {
    let encoded = values.iter().map(|value| STANDARD.encode(value));
    let wanted: Vec<String> =
        values.iter().map(|value| (*value).to_owned()).chain(encoded).collect();
    let holds = |text: &String| wanted.iter().any(|value| text.contains(value));
    let sinks = read(namespace)?.into_iter();
    Ok(sinks.filter(|(_, text)| holds(text)).map(|(name, _)| name).collect())
}

/// The text of every sink. Logs are those of the system namespace and of `namespace`.
pub(super) fn read(namespace: &str) -> Result<BTreeMap<&'static str, String>> {
    Ok(BTreeMap::from([
        ("ConfigMap", config_maps()?),
        ("data folder", files(Path::new(DATA_FOLDER))?),
        ("event", kubectl(&["get", "events.events.k8s.io", "-A", "-o", "json"])?),
        ("log", logs(SYSTEM)? + &logs(namespace)?),
        ("metric", metrics()?),
        ("object", objects()?),
    ]))
}

/// Ours with their status, and what is made of them.
fn objects() -> Result<String> {
    kubectl(&["get", "-A", "sluice,daemonsets,services,pods,leases", "-o", "json"])
}

fn files(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            text += &files(&path)?;
        } else {
            // A file may be replaced by another while it is read.
            text += &String::from_utf8_lossy(&fs::read(&path).unwrap_or_default());
        }
    }
    Ok(text)
}

fn config_maps() -> Result<String> {
    let list = get(&["-A", "configmaps"])?;
    let mut text = list.to_string();
    for map in list["items"].as_array().into_iter().flatten() {
        for encoded in map["binaryData"].as_object().into_iter().flat_map(|data| data.values()) {
            let bytes = STANDARD.decode(encoded.as_str().unwrap_or_default())?;
            text += &String::from_utf8_lossy(&bytes);
            if bytes.starts_with(&[0x1f, 0x8b]) {
                let mut inflated = Vec::new();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut inflated)?;
                text += &String::from_utf8_lossy(&inflated);
            }
        }
    }
    Ok(text)
}

fn logs(namespace: &str) -> Result<String> {
    let mut text = String::new();
    for pod in kubectl(&["-n", namespace, "get", "pods", "-o", "name"])?.lines() {
        let flags = ["-n", namespace, "logs", pod, "--all-containers", "--tail=-1"];
        match kubectl(&flags) {
            Ok(log) => text += &log,
            Err(error) if namespace == SYSTEM => return Err(error),
            // A pod of a claim that is only beginning has none.
            Err(_) => {}
        }
    }
    Ok(text)
}

/// `/metrics` of every operator and agent.
fn metrics() -> Result<String> {
    let (mut text, mut pages) = (String::new(), 0);
    let pods = get(&["-n", SYSTEM, "pods", "--field-selector=status.phase=Running"])?;
    for pod in pods["items"].as_array().context("no list")? {
        let ports = pod["spec"]["containers"][0]["ports"].as_array();
        let metrics = ports.into_iter().flatten().find(|port| port["name"] == "metrics");
        let Some(port) = metrics.and_then(|port| port["containerPort"].as_u64()) else { continue };
        let address = pod["status"]["podIP"].as_str().context("no address")?;
        text += &http::get(address, u16::try_from(port)?, "/metrics")?;
        pages += 1;
    }
    ensure!(pages >= 2, "only {pages} of operator and agent have metrics");
    Ok(text)
}
