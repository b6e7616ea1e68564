//! Applying the same manifests again and again never meets a change of ours.

use crate::kubectl::{get, run};
use crate::stage::Stage;
use anyhow::{Result, ensure};
use serde_json::Value;

pub(crate) fn the_same_manifests_applied_20_times_change_nothing(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    stage.destination(namespace)?;
    let manifest = format!(
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
  sources: {{otlp: {{enabled: true}}}}
  traces: {{destinationRefs: [{{name: otelcol}}]}}
"
    );
    let server_side = ["apply", "--server-side", "--field-manager=gitops", "-f", "-"];
    let three_way = ["apply", "-f", "-"];
    for arguments in [&server_side[..], &three_way[..]] {
        run("kubectl", arguments, &manifest)?;
        stage.ready(namespace, "telemetrypipeline/all")?;
        let before = outside_status(namespace)?;
        for _ in 0..20 {
            run("kubectl", arguments, &manifest)?;
        }
        let after = outside_status(namespace)?;
        ensure!(before == after, "changed:\n{before:#}\n{after:#}");
        let ours = after.to_string().contains("\"manager\":\"sluice");
        ensure!(!ours, "a manager of ours: {after:#}");
    }
    Ok(())
}

/// Generation, spec and managed fields (but those of the status) of each object.
fn outside_status(namespace: &str) -> Result<Value> {
    let mut objects = Vec::new();
    for kind in ["destinations", "telemetrypipelines"] {
        let list = get(&["-n", namespace, kind, "--show-managed-fields"])?;
        for object in list["items"].as_array().into_iter().flatten() {
            let fields = object["metadata"]["managedFields"].as_array().into_iter().flatten();
            let mut fields: Vec<Value> =
                fields.filter(|entry| entry["subresource"] != "status").cloned().collect();
            for entry in &mut fields {
                entry["time"] = Value::Null;
            }
            objects.push(serde_json::json!({
                "name": object["metadata"]["name"],
                "generation": object["metadata"]["generation"],
                "annotations": object["metadata"]["annotations"],
                "spec": object["spec"],
                "managedFields": fields,
            }));
        }
    }
    Ok(Value::Array(objects))
}
