//! An app pod that sends numbered items (`src/bin/load.rs`).

use crate::kubectl::{apply, kubectl};
use crate::pod;
use crate::stage::OTLP;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) struct Sender {
    namespace: String,
    name: String,
    arguments: Vec<String>,
    host_network: bool,
}

impl Sender {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        let arguments = vec![format!("--endpoint={OTLP}"), format!("--prefix={name}")];
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { namespace, name, arguments, host_network: false }
    }

    /// One more argument of the load program, such as `--signals=traces`.
    pub(crate) fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub(crate) fn on_host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    pub(crate) fn start(&self) -> Result<()> {
        let own = (self.namespace.as_str(), self.name.as_str());
        let mut pod = pod::manifest(own, "sluice.dev/e2e-load:test", &self.arguments);
        pod["spec"]["hostNetwork"] = self.host_network.into();
        pod["spec"]["dnsPolicy"] = "ClusterFirstWithHostNet".into();
        apply(&pod.to_string())?;
        Ok(())
    }

    /// # Errors
    /// When it has ended: then what went on in the meantime was not under load.
    pub(crate) fn still_sends(&self) -> Result<()> {
        let phase = "jsonpath={.status.phase}";
        let phase = kubectl(&["-n", &self.namespace, "get", "pod", &self.name, "-o", phase])?;
        ensure!(phase == "Running", "the sender is {phase}");
        Ok(())
    }

    /// Waits until every item was accepted.
    pub(crate) fn finish(&self) -> Result<()> {
        self.finish_within(Duration::from_secs(120))
    }

    pub(crate) fn finish_within(&self, limit: Duration) -> Result<()> {
        kubectl(&[
            "-n",
            &self.namespace,
            "wait",
            "--for=jsonpath={.status.phase}=Succeeded",
            &format!("pod/{}", self.name),
            &format!("--timeout={}s", limit.as_secs()),
        ])?;
        Ok(())
    }

    /// The ids of the lines that a run with `--count=<count>` and stdout among its signals prints.
    pub(crate) fn lines(&self, count: usize) -> BTreeSet<String> {
        (0..count).map(|number| format!("{}.line-{number}", self.name)).collect()
    }

    /// The ids that a run with `--count=<count>` sends of each signal.
    pub(crate) fn ids(&self, count: usize) -> BTreeSet<String> {
        (0..count).map(|number| format!("{}-{number}", self.name)).collect()
    }
}
