//! From what the derive macros emit to what the API server should be given: no `nullable`, no
//! formats of other languages, defaults and bounds told in the descriptions.

use crate::{Collector, Destination, SamplingPolicy, TelemetryPipeline, rule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

/// Where a definition's only version has its schema.
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// The custom resource definitions, as they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let told = |mut crd| {
        if let Some(schema) = Value::pointer_mut(&mut crd, SCHEMA) {
            describe(schema);
        }
        #[expect(clippy::expect_used, reason = "plain data; each definition is covered by tests")]
        serde_json::from_value(crd).expect("tidying keeps a definition a definition")
    };
    tidy_crds().into_iter().map(told).collect()
}

/// The schema of a definition's only version.
pub fn schema_of(crd: &CustomResourceDefinition) -> Value {
    let mut value = serde_json::to_value(crd).unwrap_or_default();
    whole_numbers(&mut value);
    value.pointer_mut(SCHEMA).map(Value::take).unwrap_or_default()
}

/// The definitions with descriptions as they stand in the code.
pub(crate) fn tidy_crds() -> Vec<Value> {
    [Collector::crd(), TelemetryPipeline::crd(), Destination::crd(), SamplingPolicy::crd()]
        .iter()
        .map(|derived| {
            #[expect(clippy::expect_used, reason = "plain data")]
            let mut crd = serde_json::to_value(derived).expect("a definition is JSON");
            whole_numbers(&mut crd);
            if let Some(schema) = crd.pointer_mut(SCHEMA) {
                install(schema, &derived.spec.names.kind);
            }
            crd
        })
        .collect()
}

/// What the derive macros cannot say: the status's own default, and rules on names.
fn install(schema: &mut Value, kind: &str) {
    tidy(schema);
    if let Some(status) = schema.pointer_mut("/properties/status") {
        strip_defaults(status);
        status["default"] = json!({"observedGeneration": -1});
        status["description"] = "What the operator observed; not to be written.".into();
    }
    if kind == "Collector" {
        schema[rule::KEY] = rule::list(&[(
            "size(self.metadata.name) <= 40 \
             && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must have at most 40 lower-case letters, digits and -: the names of \
             agents are made from it",
        )]);
    }
}

fn tidy(schema: &mut Value) {
    let Some(entries) = schema.as_object_mut() else { return };
    unwrap_option(entries);
    entries.remove("nullable");
    entries.remove("title");
    if entries.get("default").is_some_and(Value::is_null) {
        entries.remove("default");
    }
    if let Some(values) = entries.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    let formats = ["int32", "int64", "date-time"];
    let format = entries.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| !formats.contains(&format)) {
        entries.remove("format");
    }
    if let Some(Value::String(text)) = entries.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    children(schema).for_each(tidy);
}

/// The schemas right below this one.
fn children(schema: &mut Value) -> impl Iterator<Item = &mut Value> {
    let entries = schema.as_object_mut().into_iter().flatten();
    entries.flat_map(|(key, value)| match (key.as_str(), value) {
        ("properties", Value::Object(properties)) => properties.values_mut().collect(),
        ("items" | "additionalProperties", child) => vec![child],
        _ => Vec::new(),
    })
}

/// An optional object is derived as "the object or null"; a null field is simply absent.
fn unwrap_option(schema: &mut Map<String, Value>) {
    let is_null = |branch: &Value| branch.get("enum") == Some(&json!([null]));
    let Some(Value::Array(branches)) = schema.get("anyOf") else { return };
    if !branches.iter().any(is_null) {
        return;
    }
    let inner = branches.iter().find(|branch| !is_null(branch)).and_then(Value::as_object).cloned();
    schema.remove("anyOf");
    for (key, value) in inner.into_iter().flatten() {
        schema.entry(key).or_insert(value);
    }
}

/// A status is written by the operator alone, and whole.
fn strip_defaults(schema: &mut Value) {
    if let Some(entries) = schema.as_object_mut() {
        entries.remove("default");
    }
    children(schema).for_each(strip_defaults);
}

/// Adds to descriptions what `kubectl explain` does not show by itself.
fn describe(schema: &mut Value) {
    children(schema).for_each(describe);
    let Some(entries) = schema.as_object_mut() else { return };
    let Some(text) = entries.get("description").and_then(Value::as_str) else { return };
    let mut sentences = vec![text.to_owned()];
    if let Some(default) = default_of(entries) {
        sentences.push(format!("Default: {default}."));
    }
    sentences.extend(bounds_of(entries).map(|bounds| format!("{bounds}.")));
    for message in messages_of(entries) {
        sentences.push(match message.strip_prefix("must ") {
            Some(rest) => format!("Must {rest}."),
            None => format!("Rule: {message}."),
        });
    }
    entries.insert("description".into(), sentences.join(" ").into());
}

/// As YAML in one line.
pub(crate) fn default_of(schema: &Map<String, Value>) -> Option<String> {
    schema.get("default").map(|default| match default {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string().replace('"', "").replace(':', ": ").replace(',', ", "),
    })
}

/// How large or how many, for people; lengths of text are left to the reference pages.
pub(crate) fn bounds_of(schema: &Map<String, Value>) -> Option<String> {
    let number = |key: &str| schema.get(key).and_then(Value::as_i64);
    if let (Some(min), Some(max)) = (number("minimum"), number("maximum")) {
        return (max < 1 << 32).then(|| format!("{min} to {max}"));
    }
    match (number("minItems"), number("maxItems").or(number("maxProperties"))) {
        (Some(min), Some(max)) => Some(format!("{min} to {max} entries")),
        (None, Some(max)) => Some(format!("At most {max} entries")),
        _ => None,
    }
}

pub(crate) fn messages_of(schema: &Map<String, Value>) -> Vec<&str> {
    let rules = schema.get(rule::KEY).and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(|rule| rule.get("message")?.as_str()).collect()
}

/// The typed schema holds every bound as a float; people and diffs want `1`, not `1.0`.
pub(crate) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(entries) => entries.values_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
            if let Some(whole) = whole.and_then(|float| format!("{float}").parse::<i64>().ok()) {
                *value = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
