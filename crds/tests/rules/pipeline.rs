//! Examples for the rules of TelemetryPipeline, and of label selectors.

use crate::{Case, object};
use serde_json::{Value, json};

fn case(at: &'static str, message: &'static str, right: Value, wrong: Value) -> Case {
    let object = |mut spec: Value, collects: bool| {
        if collects {
            spec["traces"] = json!({"destinationRefs": [{"name": "tempo"}]});
        }
        object("TelemetryPipeline", &spec)
    };
    let collects = at != "spec" && !at.starts_with("spec.traces");
    let (right, wrong) = (object(right, collects), object(wrong, collects));
    Case { kind: "TelemetryPipeline", at, message, old: None, right, wrong }
}

pub(super) fn cases() -> Vec<Case> {
    [signals(), shape(), selectors()].into_iter().flatten().collect()
}

fn signals() -> Vec<Case> {
    let to_loki = json!({"destinationRefs": [{"name": "loki"}]});
    let otlp_off = json!({"otlp": {"enabled": false}});
    let files_only = json!({"otlp": {"enabled": false}, "podLogs": {}});
    let mut cases = vec![
        case(
            "spec",
            "at least one of traces, metrics and logs is needed, each with its destinationRefs",
            json!({"metrics": to_loki}),
            json!({}),
        ),
        case(
            "spec",
            "logs needs a source: enable sources.otlp or sources.podLogs",
            json!({"logs": to_loki, "sources": files_only}),
            json!({"logs": to_loki, "sources": otlp_off}),
        ),
        case(
            "spec",
            "traces and metrics come by OTLP: enable sources.otlp",
            json!({"metrics": to_loki, "sources": {"otlp": {}}}),
            json!({"metrics": to_loki, "logs": to_loki, "sources": files_only}),
        ),
        case(
            "spec",
            "sources.podLogs is read for logs: add logs.destinationRefs, or remove podLogs",
            json!({"metrics": to_loki, "sources": {"podLogs": {"enabled": false}}}),
            json!({"metrics": to_loki, "sources": {"podLogs": {}}}),
        ),
        case(
            "spec",
            "excludeNamespaces needs namespaceSelector ({} selects every namespace)",
            json!({"logs": to_loki, "namespaceSelector": {}, "excludeNamespaces": ["kube-system"]}),
            json!({"logs": to_loki, "excludeNamespaces": ["kube-system"]}),
        ),
    ];
    for (at, signal) in [
        ("spec.traces.destinationRefs", "traces"),
        ("spec.metrics.destinationRefs", "metrics"),
        ("spec.logs.destinationRefs", "logs"),
    ] {
        let refs = |refs: Value| json!({signal: {"destinationRefs": refs}});
        cases.push(case(
            at,
            "must not name a destination twice",
            refs(json!([{"name": "a"}, {"name": "a", "namespace": "b"}, {"name": "b"}])),
            refs(json!([{"name": "a", "namespace": "b"}, {"name": "a", "namespace": "b"}])),
        ));
    }
    cases
}

fn shape() -> Vec<Case> {
    let enrich = |enrich: Value| json!({"enrich": enrich});
    let retry = |retry: Value| json!({"delivery": {"retry": retry}});
    vec![
        case(
            "spec.enrich",
            "podLabels needs kubernetes: Full",
            enrich(json!({"kubernetes": "Full", "podLabels": ["app"]})),
            enrich(json!({"podLabels": ["app"]})),
        ),
        case(
            "spec.enrich.resourceAttributes",
            "keys have 1 to 255 characters",
            enrich(json!({"resourceAttributes": {"team": "checkout"}})),
            enrich(json!({"resourceAttributes": {"": "checkout"}})),
        ),
        case(
            "spec.enrich.resourceAttributes",
            "k8s.* attributes come from Kubernetes and cannot be set",
            enrich(json!({"resourceAttributes": {"k8s": "yes"}})),
            enrich(json!({"resourceAttributes": {"k8s.pod.name": "forged"}})),
        ),
        case(
            "spec.delivery.retry",
            "initial must not exceed max (30s when absent)",
            retry(json!({"initial": "30s"})),
            retry(json!({"initial": "1m"})),
        ),
        case(
            "spec.delivery.retry",
            "max must not exceed maxElapsed (5m when absent)",
            retry(json!({"max": "10m", "maxElapsed": "1h"})),
            retry(json!({"max": "10m"})),
        ),
    ]
}

fn selectors() -> Vec<Case> {
    let selector =
        |requirement: Value| json!({"workloadSelector": {"matchExpressions": [requirement]}});
    let message = "In and NotIn need values; Exists and DoesNotExist take none";
    let at = "spec.workloadSelector.matchExpressions[]";
    let in_a = json!({"key": "app", "operator": "In", "values": ["a"]});
    let exists_a = json!({"key": "app", "operator": "Exists", "values": ["a"]});
    vec![
        case(at, message, selector(in_a), selector(json!({"key": "app", "operator": "NotIn"}))),
        case(
            at,
            message,
            selector(json!({"key": "app", "operator": "Exists"})),
            selector(exists_a),
        ),
    ]
}
