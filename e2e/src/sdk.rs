//! A pod with the OpenTelemetry SDK of Go (`xtask/go/sdk`), run to its end.

use crate::kubectl::{apply, kubectl, wait_for};
use crate::pod;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) struct Sdk {
    namespace: String,
    name: String,
    arguments: Vec<String>,
    volumes: Vec<Value>,
}

impl Sdk {
    pub(crate) fn new(namespace: &str, name: &str, arguments: &[String]) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { namespace, name, arguments: arguments.to_vec(), volumes: Vec::new() }
    }

    /// One more volume, mounted at `/<its name>`.
    pub(crate) fn with(mut self, volume: Value) -> Self {
        self.volumes.push(volume);
        self
    }

    pub(crate) fn start(&self) -> Result<()> {
        apply(&self.manifest().to_string())?;
        Ok(())
    }

    /// What it printed when it had done all that it was told.
    pub(crate) fn finish(&self, limit: Duration) -> Result<Value> {
        let Self { namespace, name, .. } = self;
        wait_for(&format!("the end of pod {name}"), limit, || {
            let phase = "jsonpath={.status.phase}";
            let phase = kubectl(&["-n", namespace, "get", "pod", name, "-o", phase])?;
            ensure!(phase == "Succeeded" || phase == "Failed", "it is {phase}");
            Ok(())
        })?;
        let log = kubectl(&["-n", namespace, "logs", name])?;
        let last = log.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("{name} says: {log}"))
    }

    fn manifest(&self) -> Value {
        let own = (self.namespace.as_str(), self.name.as_str());
        let mut pod = pod::manifest(own, "sluice.dev/sdk:test", &self.arguments);
        let mounts = self.volumes.iter().map(|volume| {
            let name = &volume["name"];
            json!({"name": name, "mountPath": format!("/{}", name.as_str().unwrap_or_default())})
        });
        pod["spec"]["containers"][0]["volumeMounts"] = mounts.collect();
        pod["spec"]["volumes"] = self.volumes.clone().into();
        pod
    }
}
