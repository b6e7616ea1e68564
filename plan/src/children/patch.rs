//! A strategic merge of plain JSON: maps merge, `null` removes, lists of named things merge by name.

use serde_json::{Map, Value};

/// The fields by which Kubernetes tells the items of a pod's lists apart.
const KEYS: [(&str, &str); 9] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("volumeMounts", "mountPath"),
    ("ports", "containerPort"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
];

pub(super) fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, change) in patch {
        match (target.get_mut(name), change) {
            (_, Value::Null) => _ = target.remove(name),
            (Some(Value::Object(target)), Value::Object(change)) => merge(target, change),
            (Some(Value::Array(items)), Value::Array(changes)) => {
                merge_list(key_of(name), items, changes);
            }
            (_, change) => _ = target.insert(name.clone(), without_nulls(change)),
        }
    }
}

fn key_of(list: &str) -> Option<&'static str> {
    KEYS.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

/// Lists without a key are replaced.
fn merge_list(key: Option<&str>, items: &mut Vec<Value>, changes: &[Value]) {
    let Some(key) = key else {
        *items = changes.iter().map(without_nulls).collect();
        return;
    };
    for change in changes {
        let same = |item: &&mut Value| item.get(key).is_some() && item.get(key) == change.get(key);
        match (items.iter_mut().find(same), change) {
            (Some(Value::Object(item)), Value::Object(change)) => merge(item, change),
            _ => items.push(without_nulls(change)),
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(target: Value, patch: Value, expected: Value) {
        let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else {
            panic!("not maps")
        };
        merge(&mut target, &patch);
        assert_eq!(Value::Object(target), expected);
    }

    #[test]
    fn maps_merge_and_null_removes() {
        check(
            json!({"a": 1, "b": {"c": 2, "d": 3}}),
            json!({"a": null, "b": {"c": 4}, "e": {"f": null, "g": 5}}),
            json!({"b": {"c": 4, "d": 3}, "e": {"g": 5}}),
        );
    }

    #[test]
    fn containers_merge_by_name_and_new_ones_are_added() {
        check(
            json!({"containers": [{"name": "agent", "image": "a", "env": [{"name": "A", "value": "1"}]}]}),
            json!({"containers": [{"name": "agent", "env": [{"name": "B", "value": "2"}]}, {"name": "x"}]}),
            json!({"containers": [
                {"name": "agent", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "x"},
            ]}),
        );
    }

    #[test]
    fn a_list_without_a_key_is_replaced() {
        check(
            json!({"tolerations": [1, 2]}),
            json!({"tolerations": [3]}),
            json!({"tolerations": [3]}),
        );
    }
}
