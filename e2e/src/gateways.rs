//! The gateways of the fleet: how many there are, where they are, and what they count.

use crate::http;
use crate::kubectl::{get, kubectl, wait_for};
use crate::stage::SYSTEM;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;

const LABEL: &str = "app.kubernetes.io/name=sluice-gateway";

pub(crate) struct Gateway {
    address: String,
    /// Where agents send to.
    forward: u16,
    metrics: u16,
}

/// Waits until the fleet's status says so, such as `2/2`.
pub(crate) fn wait_for_summary(wanted: &str) -> Result<()> {
    wait_for(&format!("gateways to be {wanted}"), Duration::from_secs(120), || {
        let path = "jsonpath={.status.gateways.summary}";
        let found = kubectl(&["get", "collector", "default", "-o", path])?;
        ensure!(found == wanted, "gateways are {found:?}");
        Ok(())
    })
}

/// Waits until there are none.
pub(crate) fn wait_for_none() -> Result<()> {
    wait_for("no gateway", Duration::from_secs(120), || {
        let pods = kubectl(&["-n", SYSTEM, "get", "pods", "-l", LABEL, "-o", "name"])?;
        ensure!(pods.is_empty(), "there are {pods}");
        Ok(())
    })
}

pub(crate) fn all() -> Result<Vec<Gateway>> {
    let pods = get(&["-n", SYSTEM, "pods", "-l", LABEL])?;
    pods["items"].as_array().context("no list")?.iter().map(Gateway::of).collect()
}

/// Of the pods that are not told to end.
pub(crate) fn names() -> Result<Vec<String>> {
    let pods = get(&["-n", SYSTEM, "pods", "-l", LABEL])?;
    let pods = pods["items"].as_array().context("no list")?.clone();
    let stay = pods.iter().map(|pod| &pod["metadata"]);
    let stay = stay.filter(|metadata| metadata["deletionTimestamp"].is_null());
    Ok(stay.filter_map(|metadata| Some(metadata["name"].as_str()?.to_owned())).collect())
}

impl Gateway {
    fn of(pod: &Value) -> Result<Self> {
        let ports = pod["spec"]["containers"][0]["ports"].as_array().context("no ports")?;
        let port = |name: &str| -> Result<u16> {
            let named = ports.iter().find(|port| port["name"] == name);
            let number = named.and_then(|port| port["containerPort"].as_u64());
            Ok(number.with_context(|| format!("no port {name}"))?.try_into()?)
        };
        let address = pod["status"]["podIP"].as_str().context("no address")?.to_owned();
        Ok(Self { address, forward: port("forward")?, metrics: port("metrics")? })
    }

    pub(crate) fn forward_address(&self) -> String {
        format!("{}:{}", self.address, self.forward)
    }

    /// The sum of a counter's series that have all of these labels, each as `name="value"`.
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> Result<u64> {
        let page = http::get(&self.address, self.metrics, "/metrics")?;
        let series = page.lines().filter_map(|line| line.rsplit_once(' '));
        let wanted = series.filter(|(series, _)| {
            series.split('{').next() == Some(name)
                && labels.iter().all(|label| series.contains(label))
        });
        wanted.map(|(_, value)| Ok(value.parse::<f64>()? as u64)).sum()
    }
}

/// The same over all gateways.
pub(crate) fn count(name: &str, labels: &[&str]) -> Result<u64> {
    all()?.iter().map(|gateway| gateway.count(name, labels)).sum()
}
