//! Bounded schemas of the Kubernetes types that objects embed: label selectors, tolerations.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A `LabelSelector`; `{}` selects everything.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "description": "Labels that must all be present with exactly these values.",
                "type": "object",
                "maxProperties": 32,
                "additionalProperties": {"type": "string", "maxLength": 63},
            },
            "matchExpressions": {
                "description": "Requirements that must all hold.",
                "type": "array",
                "maxItems": 32,
                "x-kubernetes-list-type": "atomic",
                "items": requirement(),
            },
        },
    })
}

fn requirement() -> Schema {
    json_schema!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": {
                "description": "The label's key. Example: `app.kubernetes.io/name`.",
                "type": "string", "minLength": 1, "maxLength": 317,
            },
            "operator": {
                "description": "How the label relates to `values`; Exists and DoesNotExist take none.",
                "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
            },
            "values": {
                "description": "The values for In and NotIn.",
                "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                "items": {"type": "string", "maxLength": 63},
            },
        },
        "x-kubernetes-validations": [{
            "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "message": "In and NotIn need values; Exists and DoesNotExist take none",
        }],
    })
}

/// `nodeSelector`: labels that a node must carry.
pub(crate) fn node_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// `tolerations` of a pod.
pub(crate) fn tolerations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "properties": {
                "key": {
                    "description": "The taint's key; absent with operator Exists: every taint.",
                    "type": "string", "maxLength": 317,
                },
                "operator": {
                    "description": "Equal (when absent) or Exists.",
                    "type": "string", "enum": ["Exists", "Equal"],
                },
                "value": {
                    "description": "The taint's value, with operator Equal.",
                    "type": "string", "maxLength": 63,
                },
                "effect": {
                    "description": "The taint's effect; absent: every effect.",
                    "type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
                },
                "tolerationSeconds": {
                    "description": "How long a NoExecute taint is tolerated, in seconds; absent: for ever.",
                    "type": "integer", "format": "int64", "minimum": 0, "maximum": 31_536_000,
                },
            },
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                    "message": "a toleration without key needs operator Exists",
                },
                {
                    "rule": "!has(self.value) || !has(self.operator) || self.operator == 'Equal'",
                    "message": "operator Exists takes no value",
                },
                {
                    "rule": "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                    "message": "tolerationSeconds goes with effect NoExecute",
                },
            ],
        },
    })
}
