//! The destination of a claim: a real OTel Collector whose file exporter keeps what arrives.

use crate::kubectl::{apply, kubectl, wait_for};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) struct Destination {
    folder: PathBuf,
}

impl Destination {
    pub(crate) fn start(namespace: &str, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        apply(
            &MANIFEST.replace("NAMESPACE", namespace).replace("FOLDER", &folder.to_string_lossy()),
        )?;
        kubectl(&[
            "-n",
            namespace,
            "wait",
            "--for=condition=Ready",
            "pod/otelcol",
            "--timeout=60s",
        ])?;
        Ok(Self { folder })
    }

    /// What has arrived of a signal: each line is an export request in OTLP JSON.
    pub(crate) fn requests(&self, signal: &str) -> Result<Vec<Value>> {
        let file = self.folder.join(format!("{signal}.json"));
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("read {}", file.display()))?,
        };
        // The last line may still be being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The spans that have arrived, in OTLP JSON.
    pub(crate) fn spans(&self) -> Result<Vec<Value>> {
        let mut items = self.requests("traces")?;
        for member in ["resourceSpans", "scopeSpans", "spans"] {
            let inner = items.iter_mut().filter_map(|item| match item[member].take() {
                Value::Array(inner) => Some(inner),
                _ => None,
            });
            items = inner.flatten().collect();
        }
        Ok(items)
    }

    /// How often each id with this prefix has arrived as a signal.
    pub(crate) fn arrivals(&self, signal: &str, prefix: &str) -> Result<BTreeMap<String, usize>> {
        let mut arrivals = BTreeMap::new();
        for request in self.requests(signal)? {
            for id in ids_in(&request.to_string(), prefix) {
                *arrivals.entry(id).or_default() += 1;
            }
        }
        Ok(arrivals)
    }

    /// Waits until something has arrived.
    pub(crate) fn wait_for_any(&self, signal: &str, prefix: &str) -> Result<()> {
        wait_for(&format!("the first {signal} of {prefix}"), Duration::from_secs(30), || {
            ensure!(!self.arrivals(signal, prefix)?.is_empty(), "none");
            Ok(())
        })
    }

    /// Waits until the set of ids that arrived is exactly `wanted`.
    pub(crate) fn wait_for_ids(
        &self,
        signal: &str,
        prefix: &str,
        wanted: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, usize>> {
        wait_for(&format!("{signal} of {prefix}"), Duration::from_secs(60), || {
            let arrivals = self.arrivals(signal, prefix)?;
            let missing: Vec<_> = wanted.iter().filter(|id| !arrivals.contains_key(*id)).collect();
            let foreign = arrivals.keys().filter(|id| !wanted.contains(*id)).count();
            if !missing.is_empty() || foreign > 0 {
                let some = &missing[..missing.len().min(5)];
                bail!(
                    "{} of {} missing, such as {some:?}; {foreign} foreign",
                    missing.len(),
                    wanted.len()
                );
            }
            Ok(arrivals)
        })
    }

    /// The values of a resource attribute over the resources that hold an item of `prefix`.
    pub(crate) fn resource_values(
        &self,
        signal: &str,
        prefix: &str,
        key: &str,
    ) -> Result<BTreeSet<String>> {
        let member =
            format!("resource{}", if signal == "traces" { "Spans".into() } else { upper(signal) });
        let mut values = BTreeSet::new();
        for request in self.requests(signal)? {
            for block in request[&member].as_array().into_iter().flatten() {
                if ids_in(&block.to_string(), prefix).is_empty() {
                    continue;
                }
                let attributes = block["resource"]["attributes"].as_array().into_iter().flatten();
                let own = attributes.filter(|attribute| attribute["key"] == key);
                let mut found: Vec<_> = own.map(|own| text_of(&own["value"])).collect();
                if found.is_empty() {
                    found.push("(absent)".to_owned());
                }
                values.extend(found);
            }
        }
        Ok(values)
    }
}

/// Ids are a prefix, a dash and digits, wherever they stand.
pub(crate) fn ids_in(text: &str, prefix: &str) -> Vec<String> {
    let needle = format!("{prefix}-");
    let whole = text.match_indices(&needle).filter(|(start, _)| {
        let before = text[..*start].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '-')
    });
    let numbers = whole.map(|(start, _)| {
        let rest = &text[start + needle.len()..];
        &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())]
    });
    numbers.filter(|digits| !digits.is_empty()).map(|digits| format!("{needle}{digits}")).collect()
}

fn upper(signal: &str) -> String {
    let (first, rest) = signal.split_at(1);
    first.to_uppercase() + rest
}

fn text_of(value: &Value) -> String {
    value["stringValue"].as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const MANIFEST: &str = r"
apiVersion: v1
kind: ConfigMap
metadata: {name: otelcol, namespace: NAMESPACE}
data:
  config.yaml: |
    receivers:
      otlp: {protocols: {grpc: {endpoint: '0.0.0.0:4317'}, http: {endpoint: '0.0.0.0:4318'}}}
    exporters:
      file/traces: {path: /arrivals/traces.json}
      file/metrics: {path: /arrivals/metrics.json}
      file/logs: {path: /arrivals/logs.json}
    service:
      telemetry: {metrics: {level: none}}
      pipelines:
        traces: {receivers: [otlp], exporters: [file/traces]}
        metrics: {receivers: [otlp], exporters: [file/metrics]}
        logs: {receivers: [otlp], exporters: [file/logs]}
---
apiVersion: v1
kind: Pod
metadata: {name: otelcol, namespace: NAMESPACE, labels: {app: otelcol}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: otelcol
    image: sluice.dev/otelcol:test
    imagePullPolicy: Never
    args: ['--config=/config/config.yaml']
    readinessProbe: {tcpSocket: {port: 4317}, periodSeconds: 1}
    volumeMounts:
    - {name: config, mountPath: /config}
    - {name: arrivals, mountPath: /arrivals}
  volumes:
  - {name: config, configMap: {name: otelcol}}
  - {name: arrivals, hostPath: {path: FOLDER, type: Directory}}
---
apiVersion: v1
kind: Service
metadata: {name: otelcol, namespace: NAMESPACE}
spec:
  selector: {app: otelcol}
  ports: [{name: grpc, port: 4317}, {name: http, port: 4318}]
";
