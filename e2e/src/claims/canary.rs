//! A Secret's value is in the Secret and on its way to the destination, and nowhere else.

mod gate;
mod sinks;

use crate::kubectl::{apply, condition, get, kubectl, run, wait_for};
use crate::stage::{SYSTEM, Stage};
use anyhow::{Context, Result, ensure};
use gate::Gate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Secret, Destination and pipeline. The chart lets agents read a Secret of this name.
const NAME: &str = "canary";

pub(crate) fn a_secret_s_value_appears_nowhere(stage: &Stage) -> Result<()> {
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let canary = |kind: &str| format!("{kind}-{run:x}");
    a_planted_value_is_found(stage, &canary("planted"))?;

    let (refused, right) = (canary("refused"), canary("right"));
    let gate = Gate::open(&right)?;
    put_secret(&refused)?;
    apply(&objects(&stage.namespace, &gate.endpoint()?))?;
    stage.ready(SYSTEM, &format!("telemetrypipeline/{NAME}"))?;
    let app = stage.sender(&stage.namespace, NAME).with("--signals=traces");
    app.start()?;
    // The destination refuses the first token, and says in its answer what it was shown.
    wait_for("the refusal in the status", Duration::from_secs(30), || {
        let object = get(&["-n", SYSTEM, "destination", NAME])?;
        let (status, reason, _) = condition(&object, "CredentialsValid").context("not said yet")?;
        ensure!((status.as_str(), reason.as_str()) == ("False", "Unauthorized"), "{reason}");
        Ok(())
    })?;
    nowhere(stage, &[&refused, &right])?;
    put_secret(&right)?;
    app.finish()?;
    wait_for("the ids behind the gate", Duration::from_secs(60), || {
        let (admitted, wanted) = (gate.ids()?, app.ids(100));
        ensure!(admitted == wanted, "{} of {} ids are in", admitted.len(), wanted.len());
        Ok(())
    })?;
    // So the search read what was made of this Destination.
    let config_maps = sinks::read(&stage.namespace)?.remove("ConfigMap").unwrap_or_default();
    ensure!(config_maps.contains(&format!("{SYSTEM}/{NAME}")), "not in the boot-strap");
    nowhere(stage, &[&refused, &right])?;
    kubectl(&["-n", SYSTEM, "delete", "secret", NAME])?;
    Ok(())
}

/// Puts a value into each sink, and searches.
fn a_planted_value_is_found(stage: &Stage, value: &str) -> Result<()> {
    let namespace = &stage.namespace;
    apply(&PLANTED.replace("NAMESPACE", namespace).replace("VALUE", value))?;
    let status = STATUS.replace("NAMESPACE", namespace).replace("VALUE", value);
    let flags = ["apply", "--server-side", "--subresource=status", "--field-manager=canary"];
    run("kubectl", &[&flags[..], &["-f", "-"]].concat(), &status)?;
    wait_for("the planted value in each sink", Duration::from_secs(30), || {
        let found = sinks::holding(namespace, &[value])?;
        ensure!(found == sinks::ALL.into(), "found only in {found:?}");
        Ok(())
    })?;
    // The pipeline's name stands in the compressed configuration of the agents.
    kubectl(&["-n", namespace, "delete", "configmap", "planted"])?;
    wait_for("the planted value in the boot-strap", Duration::from_secs(30), || {
        let found = sinks::holding(namespace, &[value])?;
        ensure!(found.contains("ConfigMap"), "found only in {found:?}");
        Ok(())
    })?;
    kubectl(&["-n", namespace, "delete", "tp,destination", "--all"])?;
    Ok(())
}

fn nowhere(stage: &Stage, values: &[&str]) -> Result<()> {
    let found = sinks::holding(&stage.namespace, values)?;
    ensure!(found.is_empty(), "a Secret's value is in {found:?}");
    Ok(())
}

fn put_secret(token: &str) -> Result<()> {
    apply(&format!(
        r"
apiVersion: v1
kind: Secret
metadata: {{name: {NAME}, namespace: {SYSTEM}}}
stringData: {{token: {token}}}
"
    ))?;
    Ok(())
}

fn objects(namespace: &str, endpoint: &str) -> String {
    format!(
        r"
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {{name: {NAME}, namespace: {SYSTEM}}}
spec:
  type: OTLP
  otlp: {{endpoint: '{endpoint}', protocol: HTTP}}
  tls: {{mode: Plaintext}}
  auth: {{type: Bearer, secretRef: {{name: {NAME}, key: token}}}}
  compression: None
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {{name: {NAME}, namespace: {SYSTEM}}}
spec:
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
  traces: {{destinationRefs: [{{name: {NAME}}}]}}
  delivery: {{retry: {{initial: 200ms, max: 1s}}}}
"
    )
}

/// A pipeline's name is a label of the agents' metrics.
const PLANTED: &str = r"
apiVersion: v1
kind: ConfigMap
metadata: {name: planted, namespace: NAMESPACE}
data: {plain: VALUE}
---
apiVersion: v1
kind: Event
metadata: {name: planted, namespace: NAMESPACE}
involvedObject: {kind: ConfigMap, name: planted, namespace: NAMESPACE}
type: Normal
reason: Planted
message: VALUE
---
apiVersion: v1
kind: Pod
metadata: {name: planted, namespace: NAMESPACE}
spec:
  restartPolicy: Never
  containers:
  - name: app
    image: sluice.dev/e2e-load:test
    imagePullPolicy: Never
    args: [--prefix=VALUE, --signals=stdout]
---
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {name: planted, namespace: NAMESPACE}
spec: {type: Debug, debug: {}}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {name: VALUE, namespace: NAMESPACE}
spec: {traces: {destinationRefs: [{name: planted}]}}
";

const STATUS: &str = r"
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {name: planted, namespace: NAMESPACE}
status:
  conditions:
  - {type: Planted, status: 'True', reason: Planted, message: VALUE, lastTransitionTime: '2026-01-01T00:00:00Z'}
";
