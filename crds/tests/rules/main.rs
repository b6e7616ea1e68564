//! Every rule of every definition lets a right object pass and stops a wrong one, with its message.

mod collector;
mod destination;
mod pipeline;
mod samplingpolicy;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::{ErrorKind, Validator};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One rule, named by where it stands and what it says.
struct Case {
    kind: &'static str,
    at: &'static str,
    message: &'static str,
    /// The object before the change, for rules about changes.
    old: Option<Value>,
    right: Value,
    wrong: Value,
}

fn schemas() -> BTreeMap<String, Value> {
    let named = |crd: CustomResourceDefinition| {
        let schema = sluice_crds::schema_of(&crd);
        (crd.spec.names.kind, schema)
    };
    sluice_crds::crds().into_iter().map(named).collect()
}

fn cases() -> Vec<Case> {
    [collector::cases(), pipeline::cases(), destination::cases(), samplingpolicy::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// Objects of a kind, from their spec.
fn object(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "sample", "generation": 1},
        "spec": spec,
    })
}

/// Where rules were broken, and what they say; lists without their index.
fn broken(schema: &Value, object: &Value, old: Option<&Value>) -> BTreeSet<(String, String)> {
    let Err(errors) = Validator::new().validate(schema, object, old) else {
        return BTreeSet::new();
    };
    let plain = |path: &str| {
        let kept =
            path.split('[').map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
        kept.collect::<Vec<_>>().join("[")
    };
    errors
        .iter()
        .inspect(|error| assert_eq!(error.kind, ErrorKind::ValidationFailure, "{error}"))
        .map(|error| (plain(&error.field_path), error.message.clone()))
        .collect()
}

#[test]
fn every_rule_passes_the_right_object_and_stops_the_wrong_one() {
    let schemas = schemas();
    for Case { kind, at, message, old, right, wrong } in cases() {
        let schema = &schemas[kind];
        let rule = (at.to_owned(), message.to_owned());
        let passed = broken(schema, &right, old.as_ref());
        assert!(passed.is_empty(), "{kind} {rule:?}: the right object breaks {passed:?}");
        let stopped = broken(schema, &wrong, old.as_ref());
        assert!(stopped.contains(&rule), "{kind} {rule:?}: the wrong object breaks {stopped:?}");
    }
}

/// Bounds of durations, sizes and percentages have examples of their own: their ends, and beyond
/// them.
#[test]
fn durations_sizes_and_percentages_are_held_within_their_bounds() {
    let mut seen = 0;
    for (kind, schema) in schemas() {
        for (at, message) in rules(&schema) {
            let Some((min, max)) = bounds(&message) else { continue };
            seen += 1;
            let (below, above) = match max.trim_start_matches(|c: char| c.is_ascii_digit()) {
                "Mi" | "Gi" | "Ti" => ("1k", "999999Ti"),
                "s" | "m" | "h" => ("-1ms", "9999h"),
                _ => ("-1", "101"),
            };
            let rule = (at.clone(), message.clone());
            for (value, allowed) in [(min, true), (max, true), (below, false), (above, false)] {
                let mut spec = at_path(at.trim_start_matches("spec."), value.into());
                if kind == "Destination" {
                    spec["type"] = "Debug".into();
                }
                let object = object(&kind, &spec);
                let broken = broken(&schema, &object, None).contains(&rule);
                assert_eq!(broken, !allowed, "{kind} {at} {value}");
            }
        }
    }
    assert!(seen >= 30, "only {seen} bounds found");
}

#[test]
fn every_rule_has_an_example() {
    let cases: BTreeSet<_> = cases()
        .iter()
        .map(|c| (c.kind.to_owned(), c.at.to_owned(), c.message.to_owned()))
        .collect();
    let mut missing = Vec::new();
    for (kind, schema) in schemas() {
        for (at, message) in rules(&schema) {
            let shared = at.contains("Selector") || at.contains("allowedNamespaces");
            let rule = (kind.clone(), at, message);
            if bounds(&rule.2).is_none() && !shared && !cases.contains(&rule) {
                missing.push(rule);
            }
        }
    }
    assert!(missing.is_empty(), "rules without example: {missing:#?}");
}

fn bounds(message: &str) -> Option<(&str, &str)> {
    let (min, rest) = message.strip_prefix("must be ")?.split_once(" to ")?;
    let max = rest.split_whitespace().next()?;
    (!min.contains(' ')).then_some((min, max))
}

fn at_path(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, name| match name.strip_suffix("[]") {
        Some(list) => json!({list: [inner]}),
        None => json!({name: inner}),
    })
}

/// Every rule of a schema: where it stands and what it says.
fn rules(schema: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect("", schema, &mut found);
    found
}

fn collect(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    let own = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages = own.filter_map(|rule| rule["message"].as_str());
    found.extend(messages.map(|message| (path.to_owned(), message.to_owned())));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let separator = if path.is_empty() { "" } else { "." };
        collect(&format!("{path}{separator}{name}"), property, found);
    }
    if let Some(items) = schema.get("items") {
        collect(&format!("{path}[]"), items, found);
    }
    if let Some(values) = schema.get("additionalProperties") {
        collect(&format!("{path}[]"), values, found);
    }
}
