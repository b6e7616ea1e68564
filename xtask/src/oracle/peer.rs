//! A criterion as the OpenTelemetry Collector's configuration.

use super::DECISION_WAIT;
use super::cases::{Criterion, Texts};
use crate::contest::programs::Place;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

pub(super) fn command(otelcol: &Path, criterion: &Criterion, place: &Place) -> Result<Command> {
    let path = place.folder.path().join("otelcol.yaml");
    // JSON is YAML too.
    fs::write(&path, configuration(criterion, place).to_string()).context("write the config")?;
    let mut command = Command::new(otelcol);
    command.arg("--config").arg(path);
    Ok(command)
}

fn configuration(criterion: &Criterion, place: &Place) -> Value {
    let (name, sampler) = sampler(criterion);
    let exporter = json!({
        "endpoint": place.destination.to_string(),
        "compression": "none",
        "tls": {"insecure": true},
        "sending_queue": {"block_on_overflow": true},
    });
    let endpoint = format!("127.0.0.1:{}", place.grpc);
    json!({
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": endpoint}}}},
        "processors": {name: sampler, "batch": {"timeout": "200ms"}},
        "exporters": {"otlp_grpc": exporter},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {
                "receivers": ["otlp"],
                "processors": [name, "batch"],
                "exporters": ["otlp_grpc"],
            }},
        },
    })
}

/// The name and the settings of the processor.
fn sampler(criterion: &Criterion) -> (&'static str, Value) {
    if let Criterion::Share(share) = criterion {
        let settings = json!({"mode": "equalizing", "sampling_percentage": share.percent()});
        return ("probabilistic_sampler", settings);
    }
    let policies: Vec<Value> = match criterion {
        Criterion::Any(criteria) => criteria.iter().enumerate().map(named).collect(),
        criterion => vec![named((0, criterion))],
    };
    let settings = json!({
        "decision_wait": format!("{}s", DECISION_WAIT.as_secs()),
        "num_traces": 1_000_000,
        "policies": policies,
    });
    ("tail_sampling", settings)
}

fn named((number, criterion): (usize, &Criterion)) -> Value {
    let mut policy = policy(criterion);
    policy["name"] = json!(format!("policy-{number}"));
    policy
}

fn policy(criterion: &Criterion) -> Value {
    match criterion {
        Criterion::Always => json!({"type": "always_sample"}),
        Criterion::Error => {
            json!({"type": "status_code", "status_code": {"status_codes": ["ERROR"]}})
        }
        Criterion::DurationMin { ms } => {
            json!({"type": "latency", "latency": {"threshold_ms": ms}})
        }
        Criterion::SpanCountMin(least) => {
            json!({"type": "span_count", "span_count": {"min_spans": least}})
        }
        Criterion::Number { key, min, max } => {
            // To the processor, 0 is no bound.
            let range = json!({"key": key, "min_value": min, "max_value": max.unwrap_or(0)});
            json!({"type": "numeric_attribute", "numeric_attribute": range})
        }
        Criterion::Text { key, texts } => string_attribute(key, texts, false),
        Criterion::NoText { key, texts } => string_attribute(key, texts, true),
        Criterion::All(criteria) | Criterion::Any(criteria) => {
            let policies: Vec<Value> = criteria.iter().enumerate().map(named).collect();
            json!({"type": "and", "and": {"and_sub_policy": policies}})
        }
        Criterion::Share(share) => {
            let percent = json!({"sampling_percentage": share.percent()});
            json!({"type": "probabilistic", "probabilistic": percent})
        }
    }
}

fn string_attribute(key: &str, texts: &Texts, inverted: bool) -> Value {
    let (values, is_pattern) = match texts {
        Texts::In(texts) => (json!(texts), false),
        Texts::StartsWith(start) => (json!([format!("^{start}")]), true),
        Texts::Contains(part) => (json!([part]), true),
    };
    let matched = json!({
        "key": key,
        "values": values,
        "enabled_regex_matching": is_pattern,
        "invert_match": inverted,
    });
    json!({"type": "string_attribute", "string_attribute": matched})
}
