//! The rows of the conditions contract that take time or a fleet of their own.

use super::conditions::{DONE, Row, check, kstatus};
use crate::kubectl::{apply, attempt, condition, get, kubectl, run, wait_for};
use crate::stage::{SYSTEM, Stage};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const ROLLING_OUT: Row = Row {
    situation: "rolling out",
    ready: "False",
    reason: "Progressing",
    reconciling: true,
    kstatus: "InProgress",
    ..DONE
};
const SECRET_MISSING: Row =
    Row { situation: "Secret missing", reason: "SecretMissing", ..ROLLING_OUT };
const FAILED: Row =
    Row { ready: "False", stalled: true, kstatus: "Failed", situation: "failed", ..DONE };
const NO_NODE: Row = Row { situation: "no eligible node", reason: "NoEligibleNodes", ..DONE };

pub(crate) fn a_new_object_is_in_progress(stage: &Stage) -> Result<()> {
    let manifest = pipeline(&stage.namespace, "new", "absent");
    let answer = run("kubectl", &["create", "-o", "json", "-f", "-"], &manifest)?;
    // What the API server answered: the operator has not seen it yet.
    let object: Value = serde_json::from_str(&answer)?;
    ensure!(object["status"]["observedGeneration"] == -1, "observed: {}", object["status"]);
    ensure!(condition(&object, "Ready").is_none(), "Ready is there at once");
    let verdict = kstatus(&object)?;
    ensure!(verdict == "InProgress", "kstatus says {verdict}");
    Ok(())
}

pub(crate) fn conditions_and_kstatus_agree_as_time_passes(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    // All that has a deadline begins at once.
    apply(FLEETS)?;
    apply(&objects(namespace))?;
    check(namespace, "collector/broken", &ROLLING_OUT)?;
    check(namespace, "destination/secret", &SECRET_MISSING)?;
    check(namespace, "collector/default", &DONE)?;
    check(namespace, "collector/nowhere", &NO_NODE)?;
    let invalid = Row { situation: "an invalid spec", reason: "InvalidSpec", ..FAILED };
    check(namespace, "collector/invalid", &invalid)?;
    check(namespace, "tp/nowhere", &NO_NODE)?;
    let forbidden =
        Row { situation: "a forbidden reference", reason: "DestinationNotAllowed", ..FAILED };
    check(namespace, "tp/forbidden", &forbidden)?;
    helm_wait_agrees(namespace)?;

    let late = Row { situation: "past the deadline", ..FAILED };
    check(namespace, "destination/secret", &Row { reason: "SecretMissing", ..late })?;
    check(namespace, "collector/broken", &Row { reason: "ProgressDeadlineExceeded", ..late })?;
    let broken = get(&["collector", "broken"])?;
    let available = condition(&broken, "AgentsAvailable");
    let why = available.map(|(_, reason, _)| reason);
    ensure!(why.as_deref() == Some("PodsCrashLooping"), "AgentsAvailable says {why:?}");
    let pause = r#"{"spec":{"managementState":"Paused"}}"#;
    kubectl(&["patch", "collector", "broken", "--type=merge", "-p", pause])?;
    check(namespace, "collector/broken", &Row { situation: "paused", reason: "Paused", ..DONE })?;

    kubectl(&["delete", "collector", "broken", "invalid", "--wait"])?;
    // Whose children are orphaned on the way, the operator deletes them.
    kubectl(&["delete", "collector", "nowhere", "--wait", "--cascade=orphan"])?;
    for fleet in ["broken", "invalid", "nowhere"] {
        wait_for(&format!("the end of {fleet}"), Duration::from_secs(60), || {
            let label = format!("sluice.dev/collector={fleet}");
            let kinds = "daemonsets,services,configmaps,pods";
            let left = kubectl(&["-n", SYSTEM, "get", kinds, "-l", &label, "-o", "name"])?;
            ensure!(left.is_empty(), "left: {left}");
            Ok(())
        })?;
    }
    Ok(())
}

pub(crate) fn a_child_that_a_quota_forbids_is_told(stage: &Stage) -> Result<()> {
    let services = get(&["-n", SYSTEM, "services"])?;
    let count = services["items"].as_array().map_or(0, Vec::len);
    apply(&format!(
        r"
apiVersion: v1
kind: ResourceQuota
metadata: {{name: full, namespace: {SYSTEM}}}
spec: {{hard: {{count/services: '{count}'}}}}
"
    ))?;
    let counted = "--for=jsonpath={.status.used}";
    kubectl(&["-n", SYSTEM, "wait", counted, "resourcequota/full", "--timeout=30s"])?;
    apply(
        r"
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {name: full}
spec: {agent: {nodeSelector: {sluice.dev/e2e: nowhere}}}
",
    )?;
    let namespace = &stage.namespace;
    let denied = Row { situation: "a quota forbids", reason: "QuotaDenied", ..FAILED };
    check(namespace, "collector/full", &denied)?;
    let (.., message) = condition(&get(&["collector", "full"])?, "Ready").context("no Ready")?;
    ensure!(
        message.contains("Service sluice-agent-full"),
        "the message does not name it: {message}"
    );
    kubectl(&["-n", SYSTEM, "delete", "resourcequota", "full"])?;
    check(namespace, "collector/full", &NO_NODE)?;
    kubectl(&["delete", "collector", "full", "--wait"])?;
    Ok(())
}

/// Helm waits for a release of ours until kstatus says that it is Current.
fn helm_wait_agrees(namespace: &str) -> Result<()> {
    let chart = std::env::temp_dir().join(format!("sluice-e2e-{namespace}"));
    fs::create_dir_all(chart.join("templates"))?;
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: wait\nversion: 1.0.0\n")?;
    let path = chart.to_string_lossy();
    for (destination, deadline, wanted) in [("file", "60s", true), ("absent", "5s", false)] {
        let template = pipeline(namespace, &format!("helm-{destination}"), destination);
        fs::write(chart.join("templates/pipeline.yaml"), template)?;
        let release = format!("wait-{destination}");
        let flags = ["install", &release, &path, "-n", namespace, "--wait", "--timeout", deadline];
        let outcome = attempt("helm", &flags, "")?;
        ensure!(outcome.succeeded == wanted, "{release}: {}", outcome.stderr);
    }
    fs::remove_dir_all(&chart)?;
    Ok(())
}

fn pipeline(namespace: &str, name: &str, destination: &str) -> String {
    format!(
        r"
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  traces: {{destinationRefs: [{{name: {destination}}}]}}
"
    )
}

/// One whose image has no agent in it, one that no node wants, one that only the planner can judge.
const FLEETS: &str = r"
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {name: broken}
spec:
  image: {repository: sluice.dev/e2e-load, tag: test, pullPolicy: Never}
  agent: {storage: {type: EmptyDir}}
---
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {name: nowhere}
spec:
  agent: {nodeSelector: {sluice.dev/e2e: nowhere}}
---
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {name: invalid}
spec:
  agent: {podTemplatePatch: {spec: {$patch: replace}}}
";

fn objects(namespace: &str) -> String {
    let text = r"
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {name: secret, namespace: NAMESPACE}
spec:
  type: OTLP
  otlp: {endpoint: 'otelcol.NAMESPACE:4317'}
  tls: {mode: Plaintext}
  auth: {type: Bearer, secretRef: {name: token, key: token}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: sluice-agent-secrets, namespace: NAMESPACE}
rules: [{apiGroups: [''], resources: [secrets], resourceNames: [token], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sluice-agent-secrets, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sluice-agent-secrets}
subjects: [{kind: ServiceAccount, name: sluice-agent, namespace: sluice-system}]
---
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {name: file, namespace: NAMESPACE}
spec: {type: File, file: {path: NAMESPACE}}
---
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {name: private, namespace: sluice-system}
spec: {type: Debug, debug: {}}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {name: secret, namespace: NAMESPACE}
spec:
  traces: {destinationRefs: [{name: secret}]}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {name: nowhere, namespace: NAMESPACE}
spec:
  collectorRef: {name: nowhere}
  traces: {destinationRefs: [{name: file}]}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {name: forbidden, namespace: NAMESPACE}
spec:
  traces: {destinationRefs: [{name: private, namespace: sluice-system}]}
";
    text.replace("NAMESPACE", namespace)
}
