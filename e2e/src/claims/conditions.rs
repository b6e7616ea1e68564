//! The conditions contract: each row on the real cluster, judged by the real kstatus library too.

use crate::kubectl::{apply, attempt, condition, get, kubectl, run, wait_for};
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;

/// One row: what the object must say.
pub(super) struct Row {
    pub(super) situation: &'static str,
    pub(super) ready: &'static str,
    pub(super) reason: &'static str,
    pub(super) reconciling: bool,
    pub(super) stalled: bool,
    pub(super) kstatus: &'static str,
}

pub(super) const DONE: Row = Row {
    situation: "done",
    ready: "True",
    reason: "Reconciled",
    reconciling: false,
    stalled: false,
    kstatus: "Current",
};

pub(crate) fn conditions_and_kstatus_agree_on_a_pipeline(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    check(namespace, "tp", &DONE)?;
    check(namespace, "destination/otelcol", &DONE)?;

    let refs = |name: &str| {
        format!(r#"{{"spec":{{"traces":{{"destinationRefs":[{{"name":"{name}"}}]}}}}}}"#)
    };
    patch(namespace, "tp/all", &refs("absent"))?;
    let invalid = Row {
        situation: "a missing destination",
        ready: "False",
        reason: "DestinationNotFound",
        stalled: true,
        kstatus: "Failed",
        ..DONE
    };
    check(namespace, "tp", &invalid)?;
    patch(namespace, "tp/all", &refs("otelcol"))?;
    check(namespace, "tp", &DONE)?;

    patch(namespace, "tp/all", r#"{"spec":{"paused":true}}"#)?;
    check(namespace, "tp", &Row { situation: "paused", reason: "Paused", ..DONE })?;
    patch(namespace, "tp/all", r#"{"spec":{"paused":false}}"#)?;
    check(namespace, "tp", &DONE)?;

    kubectl(&["-n", namespace, "delete", "pod", "otelcol", "--wait"])?;
    let app = stage.sender(namespace, "down").with("--signals=traces");
    app.start()?;
    app.finish()?;
    wait_for("FlowHealthy=False", Duration::from_secs(60), || {
        let object = get(&["-n", namespace, "tp", "all"])?;
        let (status, ..) = condition(&object, "FlowHealthy").context("no FlowHealthy")?;
        ensure!(status == "False", "FlowHealthy is {status}");
        Ok(())
    })?;
    check(namespace, "tp", &Row { situation: "destination down", ..DONE })
}

pub(crate) fn a_missing_secret_is_waited_for(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    apply(&format!(
        r"
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {{name: secret, namespace: {namespace}}}
spec:
  type: OTLP
  otlp: {{endpoint: 'otelcol.{namespace}:4317', protocol: GRPC}}
  tls: {{mode: Plaintext}}
  auth: {{type: Bearer, secretRef: {{name: token, key: token}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: sluice-secrets, namespace: {namespace}}}
rules: [{{apiGroups: [''], resources: [secrets], resourceNames: [token], verbs: [get]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: sluice-secrets, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: sluice-secrets}}
subjects: [{{kind: ServiceAccount, name: sluice-agent, namespace: sluice-system}}]
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {{name: all, namespace: {namespace}}}
spec:
  sources: {{otlp: {{enabled: true}}}}
  traces: {{destinationRefs: [{{name: secret}}]}}
"
    ))?;
    let missing = Row {
        situation: "Secret missing",
        ready: "False",
        reason: "SecretMissing",
        reconciling: true,
        kstatus: "InProgress",
        ..DONE
    };
    check(namespace, "destination/secret", &missing)?;
    kubectl(&["-n", namespace, "create", "secret", "generic", "token", "--from-literal=token=1"])?;
    check(namespace, "destination/secret", &DONE)
}

fn patch(namespace: &str, object: &str, patch: &str) -> Result<String> {
    kubectl(&["-n", namespace, "patch", object, "--type=merge", "-p", patch])
}

/// Waits until the object says what the row says, and `kubectl wait` agrees.
pub(super) fn check(namespace: &str, object: &str, row: &Row) -> Result<()> {
    let object = if object.contains('/') { object.to_owned() } else { format!("{object}/all") };
    wait_for(&format!("{object}: {}", row.situation), Duration::from_secs(60), || {
        row_holds(&get(&["-n", namespace, &object])?, row)?;
        // With time 0 it looks once.
        let flags = ["-n", namespace, "wait", "--for=condition=Ready", "--timeout=0", &object];
        let waited = attempt("kubectl", &flags, "")?.succeeded;
        ensure!(waited == (row.ready == "True"), "kubectl wait says {waited}");
        Ok(())
    })
}

fn row_holds(object: &Value, row: &Row) -> Result<()> {
    let (status, reason, message) = condition(object, "Ready").context("no Ready yet")?;
    ensure!(
        (status.as_str(), reason.as_str()) == (row.ready, row.reason),
        "Ready is {status} {reason}: {message}"
    );
    let generation = &object["metadata"]["generation"];
    ensure!(object["status"]["observedGeneration"] == *generation, "an older generation");
    for (kind, wanted) in [("Reconciling", row.reconciling), ("Stalled", row.stalled)] {
        let found = condition(object, kind).is_some_and(|(status, ..)| status == "True");
        ensure!(found == wanted, "{kind} is {found}, not {wanted}");
    }
    let verdict = kstatus(object)?;
    ensure!(verdict == row.kstatus, "kstatus says {verdict}");
    Ok(())
}

/// What the kstatus library says of an object.
pub(super) fn kstatus(object: &Value) -> Result<String> {
    let verdict: Value = serde_json::from_str(&run("kstatus", &[], &object.to_string())?)?;
    Ok(verdict["status"].as_str().context("kstatus says nothing")?.to_owned())
}
