//! What the API server would say to an object, without one: defaults, schema, then the CEL rules.

use crate::planned::API_VERSION;
use crate::problem::Problem;
use crate::schema;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use serde_json::Value;
use sluice_crds::{crds, schema_of};
use std::sync::OnceLock;

/// One kind, ready to check objects with.
struct Rules {
    kind: String,
    namespaced: bool,
    schema: Value,
    cel: CompiledSchema,
}

/// Every problem of an object as it was read from a file, in the order of its fields; none: the
/// API server would take it. Whether what it refers to exists is for [`crate::plan`] to say.
pub fn validate(object: &Value) -> Vec<Problem> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let Some(rules) = rules().iter().find(|rules| rules.kind == kind) else {
        return vec![unknown_kind(kind)];
    };
    let mut found = Vec::new();
    if object["apiVersion"] != API_VERSION {
        let message = format!("{} is not served", object["apiVersion"]);
        found.push(Problem::invalid("apiVersion", message, &format!("use {API_VERSION}")));
    }
    schema::check_metadata(&object["metadata"], &mut found);
    let object = defaulted(&rules.schema, object);
    let mut body = object.clone();
    if let Some(fields) = body.as_object_mut() {
        // What every object has, and no schema describes.
        fields.retain(|name, _| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    }
    schema::check(&rules.schema, &body, "", &mut found);
    if found.is_empty() {
        found.extend(broken_rules(rules, &object));
    }
    found
}

/// The object with the schema's defaults put in, as the API server stores it.
pub fn with_defaults(object: &Value) -> Value {
    let kind = object["kind"].as_str().unwrap_or_default();
    match rules().iter().find(|rules| rules.kind == kind) {
        Some(rules) => defaulted(&rules.schema, object),
        None => object.clone(),
    }
}

/// Whether objects of this kind live in a namespace; `None`: no kind of Sluice.
pub fn is_namespaced(kind: &str) -> Option<bool> {
    rules().iter().find(|rules| rules.kind == kind).map(|rules| rules.namespaced)
}

fn defaulted(schema: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    drop_nulls(schema, &mut object);
    apply_defaults(schema, &object)
}

/// `field:` without a value counts as absent where a default follows; elsewhere it is an error.
fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let of = |name: &str| {
                let own = schema["properties"].get(name);
                own.unwrap_or(&schema["additionalProperties"])
            };
            fields.retain(|name, value| !value.is_null() || of(name).get("default").is_none());
            fields.iter_mut().for_each(|(name, value)| drop_nulls(of(name), value));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| drop_nulls(&schema["items"], item));
        }
        _ => {}
    }
}

fn broken_rules(rules: &Rules, object: &Value) -> Vec<Problem> {
    match Validator::new().validate_compiled(&rules.cel, object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => {
            errors.iter().map(|e| Problem::invalid(&e.field_path, e.message.as_str(), "")).collect()
        }
    }
}

fn unknown_kind(kind: &str) -> Problem {
    let kinds = rules().iter().map(|rules| rules.kind.as_str());
    let remedy = match schema::nearest(kind, kinds.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("use one of {}", kinds.collect::<Vec<_>>().join(", ")),
    };
    Problem::invalid("kind", format!("\"{kind}\" is no kind of Sluice"), &remedy)
}

fn rules() -> &'static [Rules] {
    static RULES: OnceLock<Vec<Rules>> = OnceLock::new();
    RULES.get_or_init(|| {
        let rules = |crd: CustomResourceDefinition| {
            let schema = schema_of(&crd);
            Rules {
                namespaced: crd.spec.scope == "Namespaced",
                kind: crd.spec.names.kind,
                cel: compile_schema(&schema),
                schema,
            }
        };
        crds().into_iter().map(rules).collect()
    })
}
