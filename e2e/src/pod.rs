//! A pod of a team: one container that runs once.

use serde_json::{Value, json};

/// The image is one that the node has.
pub(crate) fn manifest(
    (namespace, name): (&str, &str),
    image: &str,
    arguments: &[String],
) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "app", "image": image, "imagePullPolicy": "Never", "args": arguments},
            ],
        },
    })
}
