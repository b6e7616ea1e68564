//! The definitions are what the API server takes, and bound everything that a user can write.

use serde_json::Value;

const SIZE_MAX: usize = 150 * 1024;

/// Calls `visit` with each schema of each definition and its path.
fn for_each(mut visit: impl FnMut(&str, &Value)) {
    for crd in sluice_crds::crds() {
        walk(&crd.spec.names.kind, &sluice_crds::schema_of(&crd), &mut visit);
    }
}

fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(child) = schema.get(key) {
            walk(&format!("{path}{mark}"), child, visit);
        }
    }
}

fn is_int_or_string(schema: &Value) -> bool {
    schema["x-kubernetes-int-or-string"] == true
}

#[test]
fn each_definition_is_below_150_kib() {
    for (path, text) in sluice_crds::generated() {
        assert!(text.len() < SIZE_MAX, "{path} has {} bytes", text.len());
    }
}

#[test]
fn every_schema_is_structural() {
    for_each(|path, schema| {
        let typed = schema["type"].is_string() || is_int_or_string(schema);
        assert!(typed, "{path} has no type");
        for key in ["$ref", "anyOf", "oneOf", "allOf", "not", "nullable", "title", "uniqueItems"] {
            assert!(schema.get(key).is_none(), "{path} has {key}");
        }
        let both =
            schema.get("properties").is_some() && schema.get("additionalProperties").is_some();
        assert!(!both, "{path} has properties and additionalProperties");
    });
}

#[test]
fn everything_is_bounded() {
    for_each(|path, schema| {
        let has = |key: &str| schema.get(key).is_some();
        let bounded = match schema["type"].as_str() {
            Some("string") => has("enum") || has("maxLength"),
            Some("integer") => has("minimum") && has("maximum"),
            Some("array") => has("maxItems") && has("x-kubernetes-list-type"),
            Some("object") if has("additionalProperties") => has("maxProperties"),
            Some("object") => {
                has("properties") || schema["x-kubernetes-preserve-unknown-fields"] == true
            }
            Some("boolean") => true,
            _ => is_int_or_string(schema) && has("maxLength"),
        };
        assert!(bounded, "{path} has no bound");
        let format = schema["format"].as_str();
        assert!(
            matches!(format, None | Some("int32" | "int64" | "date-time")),
            "{path} {format:?}"
        );
    });
}

#[test]
fn every_field_is_described() {
    for_each(|path, schema| {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let text = property["description"].as_str().unwrap_or_default();
            assert!(text.len() > 8 && text.ends_with('.'), "{path}.{name} says {text:?}");
        }
    });
}

#[test]
fn nothing_inside_a_list_has_a_default() {
    for_each(|path, schema| {
        assert!(!path.contains("[]") || schema.get("default").is_none(), "{path}");
    });
}

#[test]
fn no_enum_value_is_a_boolean_or_null_to_yaml() {
    let ambiguous = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];
    for_each(|path, schema| {
        for value in schema["enum"].as_array().into_iter().flatten() {
            let text = value.as_str().unwrap().to_lowercase();
            let is_condition_status = path.ends_with("conditions[].status");
            assert!(is_condition_status || !ambiguous.contains(&text.as_str()), "{path} {text}");
        }
    });
}

#[test]
fn a_new_object_has_not_been_observed() {
    for crd in sluice_crds::crds() {
        let schema = sluice_crds::schema_of(&crd);
        let default = &schema["properties"]["status"]["default"];
        assert_eq!(default, &serde_json::json!({"observedGeneration": -1}));
        assert!(crd.spec.versions[0].subresources.as_ref().unwrap().status.is_some());
        assert_eq!(crd.spec.names.categories.as_deref(), Some(&["sluice".to_owned()][..]));
    }
}

#[test]
fn users_must_write_only_what_has_no_default() {
    let mut required = Vec::new();
    for_each(|path, schema| {
        let names = schema["required"].as_array().into_iter().flatten();
        let shared = path.contains("Selector") || path.contains("allowedNamespaces");
        if !path.contains("status") && !shared {
            required.extend(names.map(|name| format!("{path}.{}", name.as_str().unwrap())));
        }
    });
    let expected = [
        "Collector.spec",
        "TelemetryPipeline.spec",
        "TelemetryPipeline.spec.collectorRef.name",
        "TelemetryPipeline.spec.logs.destinationRefs",
        "TelemetryPipeline.spec.logs.destinationRefs[].name",
        "TelemetryPipeline.spec.metrics.destinationRefs",
        "TelemetryPipeline.spec.metrics.destinationRefs[].name",
        "TelemetryPipeline.spec.traces.destinationRefs",
        "TelemetryPipeline.spec.traces.destinationRefs[].name",
        "Destination.spec",
        "Destination.spec.type",
        "Destination.spec.auth.secretRef.name",
        "Destination.spec.file.path",
        "Destination.spec.otlp.endpoint",
        "Destination.spec.tempo.endpoint",
        "Destination.spec.tls.caSecretRef.key",
        "Destination.spec.tls.caSecretRef.name",
        "Destination.spec.tls.clientSecretRef.name",
        "SamplingPolicy.spec",
        "SamplingPolicy.spec.default.keepPercent",
        "SamplingPolicy.spec.head.probabilistic.keepPercent",
        "SamplingPolicy.spec.head.rateLimit.tracesPerSecond",
        "SamplingPolicy.spec.keep[].atLeastPercent",
        "SamplingPolicy.spec.keep[].match",
        "SamplingPolicy.spec.keep[].name",
        "SamplingPolicy.spec.keep[].match.attributes[].key",
        "SamplingPolicy.spec.keep[].match.attributes[].operator",
        "SamplingPolicy.spec.keep[].match.rareOperation.belowPercent",
        "SamplingPolicy.spec.keep[].match.slowerThan.percentile",
        "SamplingPolicy.spec.limit[].match",
        "SamplingPolicy.spec.limit[].name",
        "SamplingPolicy.spec.limit[].match.attributes[].key",
        "SamplingPolicy.spec.limit[].match.attributes[].operator",
        "SamplingPolicy.spec.limit[].match.rareOperation.belowPercent",
        "SamplingPolicy.spec.limit[].match.slowerThan.percentile",
        "SamplingPolicy.spec.targetRefs[].kind",
        "SamplingPolicy.spec.targetRefs[].name",
    ];
    assert_eq!(required, expected);
}
