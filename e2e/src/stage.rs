//! Where a claim plays: Sluice installed by its chart, one fleet, and a namespace for each claim.

use crate::Arguments;
use crate::destination::Destination;
use crate::kubectl::{apply, condition, get, kubectl, run, wait_for};
use crate::sender::Sender;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const SYSTEM: &str = "sluice-system";
pub(crate) const OTLP: &str = "http://sluice-agent.sluice-system:4317";

/// One claim's own part of the cluster.
pub(crate) struct Stage {
    /// The claim's namespace; further ones start with its name.
    pub(crate) namespace: String,
    /// The chart that is installed.
    pub(crate) chart: PathBuf,
    arrivals: PathBuf,
}

pub(crate) type Claim = fn(&Stage) -> Result<()>;

/// Settings of the chart: short intervals, and the one Secret that agents may read.
const VALUES: &str = r"
image: {repository: sluice.dev/sluice}
operator:
  extraEnv:
  - {name: SLUICE_PROGRESS_DEADLINE, value: 15s}
  - {name: SLUICE_RESYNC, value: 2s}
  - {name: SLUICE_EVENT_INTERVAL, value: 1s}
agent: {secretNames: [canary]}
";

/// Installs the chart and a fleet with short intervals, and waits until both are ready.
pub(crate) fn install(arguments: &Arguments) -> Result<()> {
    clear(&arguments.arrivals)?;
    install_chart(&arguments.chart, &[])?;
    start_fleet()
}

/// What arrived in an earlier run is no proof of this one.
pub(crate) fn clear(arrivals: &Path) -> Result<()> {
    match fs::remove_dir_all(arrivals) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("clear {}", arrivals.display()))
        }
        _ => Ok(()),
    }
}

/// Installs the chart, or upgrades to it, with further flags.
pub(crate) fn install_chart(chart: &Path, flags: &[&str]) -> Result<()> {
    let chart = chart.to_str().context("the chart's path is not UTF-8")?;
    let install = ["upgrade", "sluice", chart, "--install", "-n", SYSTEM, "--create-namespace"];
    let wait = ["--wait", "--timeout", "90s", "--values", "-"];
    run("helm", &[&install[..], &wait[..], flags].concat(), VALUES)?;
    Ok(())
}

pub(crate) fn start_fleet() -> Result<()> {
    apply(
        r"
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {name: default}
spec:
  clusterName: e2e
  batch: {timeout: 200ms}
",
    )?;
    kubectl(&["wait", "--for=condition=Ready", "collector/default", "--timeout=90s"])?;
    Ok(())
}

/// Runs one claim in a fresh namespace; what a failed one leaves behind is written to a folder.
pub(crate) fn play(arguments: &Arguments, name: &str, claim: Claim) -> Result<()> {
    let short: String = name.chars().take(40).collect();
    let namespace = short.replace('_', "-").trim_end_matches('-').to_owned();
    let (chart, arrivals) = (arguments.chart.clone(), arguments.arrivals.clone());
    let stage = Stage { namespace, chart, arrivals };
    stage.add_namespace(&stage.namespace)?;
    let verdict = claim(&stage);
    if verdict.is_err() {
        stage.dump(&arguments.dumps.join(name));
    }
    kubectl(&["delete", "namespace", "-l", &stage.label(), "--wait=false"])?;
    // Where a claim ends without Sluice, the kinds are gone.
    let _ = kubectl(&[
        "-n",
        SYSTEM,
        "delete",
        "telemetrypipelines,destinations,samplingpolicies",
        "--all",
    ]);
    verdict
}

impl Stage {
    fn label(&self) -> String {
        format!("sluice.dev/claim={}", self.namespace)
    }

    /// Adds a namespace that ends with the claim.
    pub(crate) fn add_namespace(&self, name: &str) -> Result<()> {
        let label = self.label().replace('=', ": ");
        apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{label}}}}}"
        ))?;
        wait_for("the default service account", Duration::from_secs(20), || {
            kubectl(&["-n", name, "get", "serviceaccount", "default"])
        })?;
        Ok(())
    }

    /// Starts an OTel Collector in `namespace` that keeps what arrives.
    pub(crate) fn destination(&self, namespace: &str) -> Result<Destination> {
        Destination::start(namespace, self.arrivals.join(namespace))
    }

    /// Applies a Destination `otelcol` and a pipeline `all` for all signals in `namespace`.
    pub(crate) fn pipeline(&self, namespace: &str) -> Result<()> {
        apply(&format!(
            r"
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {{name: otelcol, namespace: {namespace}}}
spec:
  type: OTLP
  otlp: {{endpoint: 'otelcol.{namespace}:4317', protocol: GRPC}}
  tls: {{mode: Plaintext}}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {{name: all, namespace: {namespace}}}
spec:
  sources: {{otlp: {{enabled: true}}, podLogs: {{enabled: true, startAt: Beginning}}}}
  traces: {{destinationRefs: [{{name: otelcol}}]}}
  metrics: {{destinationRefs: [{{name: otelcol}}]}}
  logs: {{destinationRefs: [{{name: otelcol}}]}}
"
        ))?;
        self.ready(namespace, "telemetrypipeline/all")
    }

    /// Waits until an object is ready in its newest generation.
    pub(crate) fn ready(&self, namespace: &str, object: &str) -> Result<()> {
        wait_for(&format!("{object} to be ready"), Duration::from_secs(60), || {
            let object = get(&["-n", namespace, object])?;
            let (status, reason, message) = condition(&object, "Ready").context("no Ready")?;
            ensure!(status == "True", "Ready is {status} {reason}: {message}");
            let (seen, newest) =
                (&object["status"]["observedGeneration"], &object["metadata"]["generation"]);
            ensure!(seen == newest, "Ready speaks of generation {seen}, not {newest}");
            Ok(())
        })
    }

    /// A pod that sends numbered items and, once accepted, ends.
    pub(crate) fn sender(&self, namespace: &str, name: &str) -> Sender {
        Sender::new(namespace, name)
    }

    /// Writes what helps to understand a failure: objects, events and logs.
    fn dump(&self, folder: &Path) {
        let calls: &[(&str, &[&str])] = &[
            ("sluice.yaml", &["get", "sluice", "-A", "-o", "yaml"]),
            ("pods.txt", &["get", "pods", "-A", "-o", "wide"]),
            ("pods.yaml", &["get", "pods", "-n", &self.namespace, "-o", "yaml"]),
            ("events.txt", &["get", "events", "-A"]),
            ("system.yaml", &["get", "all,configmaps", "-n", SYSTEM, "-o", "yaml"]),
            (
                "operator.log",
                &[
                    "logs",
                    "-n",
                    SYSTEM,
                    "-l",
                    "app.kubernetes.io/name=sluice-operator",
                    "--tail=-1",
                    "--prefix",
                ],
            ),
            (
                "agent.log",
                &[
                    "logs",
                    "-n",
                    SYSTEM,
                    "-l",
                    "app.kubernetes.io/name=sluice-agent",
                    "--tail=-1",
                    "--prefix",
                ],
            ),
        ];
        for (file, call) in calls {
            let text = kubectl(call).unwrap_or_else(|error| format!("{error:#}"));
            // A dump is a help; its own failure must not hide the claim's.
            let _ = fs::create_dir_all(folder).and_then(|()| fs::write(folder.join(file), text));
        }
        for pod in kubectl(&["get", "pods", "-n", &self.namespace, "-o", "name"])
            .unwrap_or_default()
            .lines()
        {
            let text = kubectl(&["logs", "-n", &self.namespace, pod, "--tail=2000"]);
            let file = folder.join(pod.replace('/', "-") + ".log");
            let _ = fs::write(file, text.unwrap_or_else(|error| format!("{error:#}")));
        }
    }
}
