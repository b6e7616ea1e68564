//! The objects for Sluice's local mode, where agent and gateway run in one process: one fleet, one
//! pipeline that refuses rather than drops, one destination, and the SamplingPolicy in question.

use super::message::Codec;
use super::programs::Place;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

const API: &str = "sluice.dev/v1alpha1";
/// Here a pipeline may take the spans of every namespace, and of senders in none.
const NAMESPACE: &str = "sluice-system";

/// How much the collector may use.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    /// No limit is reached: what is compared is what is kept, and what that costs.
    Ample,
    /// An agent's defaults.
    Default,
}

/// `sluice run` with the `spec` of a SamplingPolicy.
pub(crate) fn command(
    sluice: &Path,
    policy: &Value,
    codec: Codec,
    memory: Memory,
    place: &Place,
) -> Result<Command> {
    let folder = place.folder.path();
    let objects = folder.join("objects.json");
    fs::write(&objects, list(policy, codec, memory, place).to_string())
        .context("write the objects")?;
    let mut command = Command::new(sluice);
    command
        .arg("run")
        .arg(objects)
        .arg("--data")
        .arg(folder.join("data"))
        .arg(format!("--grpc-port={}", place.grpc))
        .arg(format!("--http-port={}", place.http))
        .arg(format!("--metrics-port={}", place.metrics))
        // A line a second, at the end of a log that nobody reads, is all that it prints.
        .arg("--json");
    Ok(command)
}

fn list(policy: &Value, codec: Codec, memory: Memory, place: &Place) -> Value {
    let items = [
        json!({
            "apiVersion": API, "kind": "Collector", "metadata": {"name": "default"},
            "spec": collector(memory, place),
        }),
        object("TelemetryPipeline", &pipeline()),
        object("Destination", &destination(codec, place)),
        object("SamplingPolicy", policy),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn object(kind: &str, spec: &Value) -> Value {
    let metadata = json!({"name": "contest", "namespace": NAMESPACE});
    json!({"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec})
}

fn collector(memory: Memory, place: &Place) -> Value {
    let (limit, soft, hard) = match memory {
        Memory::Ample => ("12Gi", "8Gi", "10Gi"),
        Memory::Default => ("640Mi", "400Mi", "500Mi"),
    };
    let receivers = match place.sampling {
        Some([grpc, http]) => {
            let ports = json!({"enabled": true, "grpcPort": grpc, "httpPort": http});
            json!({"jaegerRemoteSampling": ports})
        }
        None => json!({}),
    };
    json!({
        "receivers": receivers,
        "batch": {"timeout": "1s", "sendBatchSize": 8192},
        "agent": {
            "resources": {"limits": {"memory": limit}},
            "memoryLimiter": {"softLimit": soft, "hardLimit": hard},
        },
    })
}

fn pipeline() -> Value {
    json!({
        "namespaceSelector": {},
        "traces": {"destinationRefs": [{"name": "contest"}]},
        "delivery": {"onFull": "Block"},
    })
}

fn destination(codec: Codec, place: &Place) -> Value {
    let compression = match codec {
        Codec::Plain => "None",
        Codec::Gzip => "Gzip",
        Codec::Zstd => "Zstd",
    };
    json!({
        "type": "OTLP",
        "otlp": {"endpoint": place.destination.to_string(), "protocol": "GRPC"},
        "tls": {"mode": "Plaintext"},
        "compression": compression,
    })
}

/// Whether the API has all fields of a `spec`: those that it has not are lost when it is read.
#[cfg(test)]
pub(crate) fn is_known<Spec: serde::de::DeserializeOwned + serde::Serialize>(spec: &Value) -> bool {
    let Ok(read) = serde_json::from_value::<Spec>(spec.clone()) else { return false };
    serde_json::to_value(read).is_ok_and(|known| has_fields_of(&known, spec))
}

#[cfg(test)]
fn has_fields_of(known: &Value, wanted: &Value) -> bool {
    match (known, wanted) {
        // An empty one may be left out.
        (_, Value::Object(fields)) if fields.is_empty() => true,
        (Value::Object(known), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            known.get(name).is_some_and(|known| has_fields_of(known, wanted))
        }),
        (Value::Array(known), Value::Array(wanted)) => {
            known.len() == wanted.len()
                && known.iter().zip(wanted).all(|(known, wanted)| has_fields_of(known, wanted))
        }
        (known, _) => !known.is_null(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_crds::{CollectorSpec, DestinationSpec, TelemetryPipelineSpec};

    #[test]
    fn the_api_has_all_fields_that_are_written() {
        let place = Place::new(([127, 0, 0, 1], 4317).into()).unwrap().with_sampling().unwrap();
        assert!(is_known::<CollectorSpec>(&collector(Memory::Default, &place)));
        assert!(is_known::<TelemetryPipelineSpec>(&pipeline()));
        assert!(is_known::<DestinationSpec>(&destination(Codec::Plain, &place)));
        assert!(!is_known::<CollectorSpec>(&json!({"batch": {"time": "1s"}})));
    }
}
