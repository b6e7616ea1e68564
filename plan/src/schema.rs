//! The structural half of what the API server checks: types, bounds, names of fields.

use crate::problem::Problem;
use regex::Regex;
use serde_json::{Map, Value};

/// What may stand in the metadata of an object that a person writes, or that was read back.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Everything at and below `value` that the schema forbids. `path` is the field's own.
pub(crate) fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<Problem>) {
    if let Some(expected) = wrong_type(schema, value) {
        let message = format!("must be {expected}, is {}", type_of(value));
        return found.push(Problem::invalid(path, message, &example(schema)));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(outside_enum(allowed, value, path));
    }
    match value {
        Value::String(text) => check_string(schema, text, path, found),
        Value::Number(number) => check_number(schema, number.as_f64(), path, found),
        Value::Array(items) => check_list(schema, items, path, found),
        Value::Object(fields) => check_object(schema, fields, path, found),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The names of fields in the metadata, which no schema of ours describes.
pub(crate) fn check_metadata(metadata: &Value, found: &mut Vec<Problem>) {
    let Some(fields) = metadata.as_object() else {
        return found.push(Problem::invalid("metadata", "is missing", "add metadata.name"));
    };
    for name in fields.keys().filter(|name| !METADATA.contains(&name.as_str())) {
        found.push(unknown_field("metadata", name, METADATA.into_iter()));
    }
    match metadata["name"].as_str() {
        None => found.push(Problem::invalid("metadata.name", "is missing", "add it")),
        Some(name) if !is_subdomain(name) => found.push(Problem::invalid(
            "metadata.name",
            format!("\"{name}\" is no name of an object"),
            "use at most 253 lower-case letters, digits, - and .; begin and end with a letter or digit",
        )),
        Some(_) => {}
    }
}

fn is_subdomain(name: &str) -> bool {
    let part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().all(|byte| plain(byte) || byte == b'-')
            && part.bytes().next().is_some_and(plain)
            && part.bytes().last().is_some_and(plain)
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// The name of the type that was wanted, when `value` has another.
fn wrong_type(schema: &Value, value: &Value) -> Option<&'static str> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_string() || value.is_i64() || value.is_u64();
        return (!fits).then_some("a whole number or a string");
    }
    let whole =
        |v: &Value| v.is_i64() || v.is_u64() || v.as_f64().is_some_and(|f| f.fract() == 0.0);
    let (expected, fits) = match schema["type"].as_str()? {
        "string" => ("a string", value.is_string()),
        "boolean" => ("true or false", value.is_boolean()),
        "integer" => ("a whole number", value.is_number() && whole(value)),
        "number" => ("a number", value.is_number()),
        "array" => ("a list", value.is_array()),
        _ => ("a map", value.is_object()),
    };
    let nullable = schema["nullable"] == true && value.is_null();
    (!fits && !nullable).then_some(expected)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty (null)",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The example that the field's description holds.
fn example(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    let text = description.split_once("Example: `").and_then(|(_, rest)| rest.split_once('`'));
    text.map_or(String::new(), |(text, _)| format!("write it as {text}"))
}

fn outside_enum(allowed: &[Value], value: &Value, path: &str) -> Problem {
    let names: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
    let message = format!("{value} is none of {}", names.join(", "));
    let near = nearest(value.as_str().unwrap_or_default(), names.into_iter());
    let remedy = near.map_or("use one of them".into(), |near| format!("did you mean {near}?"));
    Problem::invalid(path, message, &remedy)
}

fn check_string(schema: &Value, text: &str, path: &str, found: &mut Vec<Problem>) {
    let length = text.chars().count() as u64;
    check_count(schema, ["minLength", "maxLength"], length, "characters", path, found);
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        let message = format!("\"{text}\" does not match {pattern}");
        found.push(Problem::invalid(path, message, &example(schema)));
    }
}

fn check_number(schema: &Value, number: Option<f64>, path: &str, found: &mut Vec<Problem>) {
    let Some(number) = number else { return };
    if let Some(min) = schema["minimum"].as_f64()
        && number < min
    {
        found.push(Problem::invalid(path, format!("{number} is too low"), &at("least", min)));
    }
    if let Some(max) = schema["maximum"].as_f64()
        && number > max
    {
        found.push(Problem::invalid(path, format!("{number} is too high"), &at("most", max)));
    }
}

fn at(bound: &str, value: f64) -> String {
    format!("it must be at {bound} {value}")
}

fn check_count(
    schema: &Value,
    [min, max]: [&str; 2],
    count: u64,
    what: &str,
    path: &str,
    found: &mut Vec<Problem>,
) {
    if let Some(min) = schema[min].as_u64().filter(|min| count < *min) {
        let message = format!("has {count} {what}, fewer than {min}");
        found.push(Problem::invalid(path, message, ""));
    }
    if let Some(max) = schema[max].as_u64().filter(|max| count > *max) {
        let message = format!("has {count} {what}, more than {max}");
        found.push(Problem::invalid(path, message, ""));
    }
}

fn check_list(schema: &Value, items: &[Value], path: &str, found: &mut Vec<Problem>) {
    check_count(schema, ["minItems", "maxItems"], items.len() as u64, "items", path, found);
    for (i, item) in items.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}[{i}]"), found);
        if items.iter().take(i).any(|other| same_key(schema, other, item)) {
            let message = "stands twice in the list";
            found.push(Problem::invalid(&format!("{path}[{i}]"), message, "remove one of the two"));
        }
    }
}

/// Whether two items of a set or map list may not stand together.
fn same_key(schema: &Value, a: &Value, b: &Value) -> bool {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => a == b,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            let default = |key: &str| &schema["items"]["properties"][key]["default"];
            let part = |of: &Value, key: &str| of.get(key).unwrap_or(default(key)).clone();
            let mut keys = keys.into_iter().flatten().filter_map(Value::as_str);
            keys.all(|key| part(a, key) == part(b, key))
        }
        _ => false,
    }
}

fn check_object(schema: &Value, fields: &Map<String, Value>, path: &str, found: &mut Vec<Problem>) {
    let properties = schema["properties"].as_object();
    let count = fields.len() as u64;
    check_count(schema, ["minProperties", "maxProperties"], count, "entries", path, found);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(Problem::invalid(&below(path, name), "is missing", "add it"));
        }
    }
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    for (name, value) in fields {
        match (properties.and_then(|p| p.get(name)), &schema["additionalProperties"]) {
            (Some(schema), _) => check(schema, value, &below(path, name), found),
            (None, Value::Object(_)) => {
                let schema = &schema["additionalProperties"];
                check(schema, value, &format!("{path}[{name}]"), found);
            }
            (None, Value::Bool(true)) => {}
            (None, _) if open => {}
            (None, _) => {
                let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                found.push(unknown_field(path, name, known));
            }
        }
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn unknown_field<'a>(path: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let remedy = nearest(name, known).map_or("remove it".into(), |n| format!("did you mean {n}?"));
    Problem::invalid(&below(path, name), "is no field that exists here", &remedy)
}

/// The name that a person most likely meant; `None` when none comes near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
