//! A pod with the OpenTelemetry SDK of Go (`xtask/go/sdk`), run to its end.

use crate::kubectl::{apply, kubectl, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;

pub(crate) struct Sdk {
    namespace: String,
    name: String,
    arguments: Vec<String>,
    volumes: Vec<(&'static str, &'static str)>,
}

impl Sdk {
    pub(crate) fn new(namespace: &str, name: &str, arguments: &[String]) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { namespace, name, arguments: arguments.to_vec(), volumes: Vec::new() }
    }

    /// One more volume, whose source is in YAML, mounted at `/<its name>`.
    pub(crate) fn with(mut self, name: &'static str, source: &'static str) -> Self {
        self.volumes.push((name, source));
        self
    }

    pub(crate) fn start(&self) -> Result<()> {
        apply(&self.manifest())?;
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

    fn manifest(&self) -> String {
        let list = |texts: Vec<String>| format!("[{}]", texts.join(", "));
        let volumes = self.volumes.iter();
        let arguments = self.arguments.iter().map(|argument| format!("'{argument}'"));
        format!(
            r"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: sluice.dev/sdk:test
    imagePullPolicy: Never
    args: {arguments}
    volumeMounts: {mounts}
  volumes: {volumes}
",
            name = self.name,
            namespace = self.namespace,
            arguments = list(arguments.collect()),
            mounts = list(
                volumes
                    .clone()
                    .map(|(name, _)| format!("{{name: {name}, mountPath: /{name}}}"))
                    .collect()
            ),
            volumes =
                list(volumes.map(|(name, source)| format!("{{name: {name}, {source}}}")).collect()),
        )
    }
}
