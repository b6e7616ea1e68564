//! The page of a kind: every field with its type, default, bounds and meaning, and every rule.

use super::{HEADER, head, row};
use crate::schema::{bounds_of, default_of, messages_of};
use serde_json::{Map, Value};

pub(crate) fn page(crd: &Value) -> String {
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let names = &crd["spec"]["names"];
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let scope = if crd["spec"]["scope"] == "Namespaced" { "namespaced" } else { "cluster-scoped" };
    let short = names["shortNames"][0].as_str().map(|name| format!("short name `{name}`; "));
    let mut text = format!(
        "{HEADER}# {}\n\n{}\n\n`{}/{}`, {scope}; {}listed by `kubectl get sluice`. What its conditions \
         say: [conditions](conditions.md).\n",
        text_of(&names["kind"]),
        text_of(&schema["description"]),
        crate::GROUP,
        crate::VERSION,
        short.unwrap_or_default(),
    );
    for part in ["spec", "status"] {
        let schema = &schema["properties"][part];
        text += &format!("\n## {part}\n\n{}\n\n", text_of(&schema["description"]));
        text += &head(&["field", "type", "default", "bounds", "meaning"]);
        fields(part, schema, &mut text);
    }
    text + &rules(schema)
}

/// A row for each property below `schema`, parents first.
fn fields(path: &str, schema: &Value, text: &mut String) {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.contains(&name.into()));
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (name, property) in properties {
        let Some(property) = property.as_object() else { continue };
        let path = format!("{path}.{name}");
        let default = default_of(property).map(|default| format!("`{default}`"));
        let default = default.unwrap_or_else(|| match is_required(name) {
            true => "required".to_owned(),
            false => String::new(),
        });
        let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let bounds = bounds(property);
        *text += &row(&[&format!("`{path}`"), &type_of(property), &default, &bounds, meaning]);
        fields(&path, &Value::Object(property.clone()), text);
        if let Some(items) = property.get("items") {
            fields(&format!("{path}[]"), items, text);
        }
    }
}

fn type_of(schema: &Map<String, Value>) -> String {
    let name = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
        return values.join(", ");
    }
    if schema.contains_key("x-kubernetes-int-or-string") {
        let is_percent = name("pattern") == Some(crate::percent::PATTERN);
        return if is_percent { "percentage" } else { "quantity" }.to_owned();
    }
    let inner = |key: &str| schema.get(key).and_then(Value::as_object).map(type_of);
    match (name("type").unwrap_or("any"), inner("items"), inner("additionalProperties")) {
        ("array", Some(items), _) => format!("list of {items}"),
        ("object", _, Some(values)) => format!("map of {values}"),
        ("string", ..) if name("pattern") == Some(crate::duration::PATTERN) => "duration".into(),
        ("string", ..) if name("pattern") == Some(crate::quantity::SIZE_PATTERN) => "size".into(),
        (other, ..) => other.to_owned(),
    }
}

fn bounds(schema: &Map<String, Value>) -> String {
    let rule = messages_of(schema).into_iter().find_map(|text| text.strip_prefix("must be "));
    let number = |key: &str| schema.get(key).and_then(Value::as_u64);
    let plain =
        !schema.contains_key("enum") && !["duration", "size"].contains(&type_of(schema).as_str());
    let characters = match (number("minLength"), number("maxLength")) {
        (Some(min), Some(max)) if plain => Some(format!("{min} to {max} characters")),
        (None, Some(max)) if plain => Some(format!("at most {max} characters")),
        _ => None,
    };
    let told = rule.filter(|rule| rule.contains(" to ")).map(str::to_owned);
    told.or_else(|| bounds_of(schema)).or(characters).unwrap_or_default()
}

/// What goes beyond single fields, as the API server will say it.
fn rules(schema: &Value) -> String {
    let mut found = Vec::new();
    let root = schema.as_object().map(messages_of).unwrap_or_default();
    found.extend(root.into_iter().map(|text| ("metadata".to_owned(), text.to_owned())));
    collect("spec", schema.pointer("/properties/spec"), &mut found);
    let mut text = "\n## Rules\n\nThe API server refuses what breaks one of these, with this \
                    message; so does `sluice check`.\n\n"
        .to_owned();
    text += &head(&["where", "message"]);
    for (path, message) in found {
        text += &row(&[&format!("`{path}`"), &message]);
    }
    text
}

fn collect(path: &str, schema: Option<&Value>, found: &mut Vec<(String, String)>) {
    let Some(schema) = schema.and_then(Value::as_object) else { return };
    found.extend(messages_of(schema).into_iter().map(|text| (path.to_owned(), text.to_owned())));
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (name, property) in properties {
        collect(&format!("{path}.{name}"), Some(property), found);
    }
    collect(&format!("{path}[]"), schema.get("items"), found);
}
