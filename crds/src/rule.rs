//! How a CEL rule is put beside the field that it guards.

use serde_json::{Value, json};

/// The key under which the API server looks for rules.
pub(crate) const KEY: &str = "x-kubernetes-validations";

/// The value of [`KEY`]: pairs of a rule and the message for who broke it.
pub(crate) fn list(rules: &[(&str, &str)]) -> Value {
    rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect()
}
